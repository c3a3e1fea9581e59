"""Where the time of a run goes: its parts add up, and each is where it belongs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.measure import Measurement
from bench.steps import ENGINE, EVIDENCE, Imports, divide

IMPORTS = Imports(0.75, 0.25)


def event(at: float, kind: str, step: str | None = None, **laps: float) -> Any:
    metadata = {f"seconds: {name}": SimpleNamespace(value=seconds) for name, seconds in laps.items()}
    data = SimpleNamespace(materialization=SimpleNamespace(metadata=metadata))
    told = SimpleNamespace(event_type_value=kind, step_materialization_data=data)
    return SimpleNamespace(timestamp=at, step_key=step, dagster_event=told, user_message="")


def message(at: float, text: str) -> Any:
    return SimpleNamespace(timestamp=at, step_key=None, dagster_event=None, user_message=text)


LOG = [
    event(102.0, "ASSET_MATERIALIZATION_PLANNED", "table"),
    event(102.5, "ASSET_MATERIALIZATION_PLANNED", "landing"),
    # Landing: 1 s of landing, 4 s of compute with the engine's start of 3 s, 1 s of audit, then the checks and publish.
    event(103.0, "STEP_START", "landing"),
    message(107.5, "Sail 0.7 started in 3.00 s"),
    event(109.0, "STEP_OUTPUT", "landing"),
    event(109.25, "ASSET_CHECK_EVALUATION", "landing"),
    event(109.5, "STEP_OUTPUT", "landing"),
    event(109.75, "ASSET_CHECK_EVALUATION", "landing"),
    event(111.5, "STEP_OUTPUT", "landing"),
    event(111.75, "ASSET_MATERIALIZATION", "landing", landing=1.0, compute=4.0, audit=1.0, publish=2.0, report=0.5),
    event(112.0, "STEP_SUCCESS", "landing"),
    event(112.5, "STEP_START", "table"),
    event(114.5, "STEP_OUTPUT", "table"),
    event(114.5, "ASSET_MATERIALIZATION", "table", compute=1.5, report=0.25),
    event(115.0, "STEP_SUCCESS", "table"),
    event(115.0, "STEP_START", "query_evidence"),
    event(117.0, "STEP_OUTPUT", "query_evidence"),
    event(117.0, "ASSET_MATERIALIZATION", "query_evidence", table_counts=0.125),
    event(117.25, "STEP_SUCCESS", "query_evidence"),
]
RUN = Measurement(began=100.0, seconds=18.0, peak_mb=None)


def test_all_parts_together_are_the_wall_time() -> None:
    steps = divide(LOG, RUN)
    assert sum(steps.totals(IMPORTS).values()) == pytest.approx(RUN.seconds)
    assert (steps.loading, steps.planning, steps.between, steps.ending) == (2.0, 1.0, 0.5, 0.75)


def test_the_parts_of_an_asset_are_its_step() -> None:
    assets = divide(LOG, RUN).assets
    assert {name: sum(parts.values()) for name, parts in assets.items()} == {
        "landing": 9.0,
        "table": 2.5,
        "query_evidence": 2.25,
    }


def test_assets_are_in_the_order_of_their_steps() -> None:
    assert list(divide(LOG, RUN).assets) == ["landing", "table", "query_evidence"]


def test_the_engine_s_start_is_no_part_of_the_lap_in_which_it_happened() -> None:
    landing = divide(LOG, RUN).assets["landing"]
    assert landing[ENGINE] == 3.0
    assert landing["landing"] + landing["parse"] == pytest.approx(2.0)


def test_what_dagster_notes_of_checks_is_no_part_of_publishing() -> None:
    assert divide(LOG, RUN).assets["landing"]["publish"] == pytest.approx(2.0 - 0.75)


def test_a_feed_is_parsed_and_a_table_is_computed() -> None:
    assets = divide(LOG, RUN).assets
    assert (assets["landing"]["compute"], assets["table"]["compute"]) == (0.0, 1.5)
    assert (assets["landing"]["parse"] > 0, assets["table"]["parse"]) == (True, 0.0)


def test_an_asset_without_a_stopwatch_is_one_part_whatever_seconds_it_notes() -> None:
    assert divide(LOG, RUN).assets["query_evidence"][EVIDENCE] == 2.0


def test_imports_are_told_apart_from_what_dagster_does_until_its_first_event() -> None:
    totals = divide(LOG, RUN).totals(IMPORTS)
    first_three = list(totals.values())[:3]
    assert first_three == [0.75, 0.25, 1.0]


def test_a_run_whose_engine_told_nothing_has_no_engine_start() -> None:
    steps = divide([entry for entry in LOG if not entry.user_message], RUN)
    assert steps.totals(IMPORTS)["engine start"] == 0.0
    assert sum(steps.totals(IMPORTS).values()) == pytest.approx(RUN.seconds)
