"""Where the time of a run goes: its parts add up, and each is where it belongs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.measure import Measurement
from bench.steps import DAGSTER, ENGINE, EVIDENCE, Imports, divide

IMPORTS = Imports(0.75, 0.25)


def event(at: float, kind: str, step: str | None = None, **laps: float) -> Any:
    metadata = {f"seconds: {name}": SimpleNamespace(value=seconds) for name, seconds in laps.items()}
    data = SimpleNamespace(materialization=SimpleNamespace(metadata=metadata))
    told = SimpleNamespace(event_type_value=kind, step_materialization_data=data)
    return SimpleNamespace(timestamp=at, step_key=step, dagster_event=told, user_message="")


def message(at: float, text: str) -> Any:
    return SimpleNamespace(timestamp=at, step_key=None, dagster_event=None, user_message=text)


MADE = {"compute": 4.0, "check": 1.0, "publish": 2.0}
LOG = [
    event(102.0, "ASSET_MATERIALIZATION_PLANNED", "ingest"),
    event(102.5, "ASSET_MATERIALIZATION_PLANNED", "landing"),
    event(103.0, "STEP_START", "landing"),
    event(104.5, "ASSET_MATERIALIZATION", "landing", sync=1.25),
    event(105.0, "STEP_SUCCESS", "landing"),
    # One step makes two tables: 4 s of compute with the engine's start of 3 s, and a report of each.
    event(105.0, "STEP_START", "ingest"),
    message(108.5, "Sail 0.7 started in 3.00 s"),
    event(112.5, "ASSET_MATERIALIZATION", "ingest", **MADE, report=0.5),
    event(113.0, "ASSET_MATERIALIZATION", "ingest", **MADE, report=0.25),
    event(113.5, "STEP_OUTPUT", "ingest"),
    event(114.0, "STEP_SUCCESS", "ingest"),
    event(114.5, "STEP_START", "query_evidence"),
    event(116.5, "STEP_OUTPUT", "query_evidence"),
    event(116.5, "ASSET_MATERIALIZATION", "query_evidence", table_counts=0.125),
    event(116.75, "STEP_SUCCESS", "query_evidence"),
]
RUN = Measurement(began=100.0, seconds=18.0, peak_mb=None)


@pytest.mark.parametrize("log", [LOG, [entry for entry in LOG if not entry.user_message]])
def test_all_parts_together_are_the_wall_time(log: list[Any]) -> None:
    steps = divide(log, RUN)
    assert sum(steps.totals(IMPORTS).values()) == pytest.approx(RUN.seconds)
    assert (steps.loading, steps.planning, steps.between, steps.ending) == (2.0, 1.0, 0.5, 1.25)


def test_the_parts_of_a_step_are_its_time_and_in_the_order_of_the_run() -> None:
    shown = {
        name: {phase: seconds for phase, seconds in parts.items() if seconds}
        for name, parts in divide(LOG, RUN).assets.items()
    }
    # The engine's start is no part of the phase in which it happened.
    assert shown == {
        "landing": {"sync": 1.25, DAGSTER: 0.75},
        "ingest": {ENGINE: 3.0, "compute": 1.0, "check": 1.0, "publish": 2.0, "report": 0.75, DAGSTER: 1.25},
        # An asset that names no phases is one part, whatever seconds it notes.
        "query_evidence": {EVIDENCE: 2.0, DAGSTER: 0.25},
    }
    assert list(shown) == ["landing", "ingest", "query_evidence"]


def test_imports_are_told_apart_from_what_dagster_does_until_its_first_event() -> None:
    assert list(divide(LOG, RUN).totals(IMPORTS).values())[:3] == [0.75, 0.25, 1.0]
