"""DAGSTER_HOME does not grow for ever: old runs are forgotten, and what a page shows stays.

Through Dagster's own runs, in a home with the project's `dagster.yaml`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy

from resources.history import Instance, keep_event_log_open
from tests.support import ROOT

DAY = timedelta(days=1)
CHECKS = [f"kept_{number}" for number in range(9)]
SENTENCE = "All rows keep the promise."


def asset_named(name: str) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=name,
        specs=[dg.AssetSpec(name)],
        check_specs=[dg.AssetCheckSpec(check, asset=name, blocking=True) for check in CHECKS],
        can_subset=True,
    )
    def made() -> Iterator[Any]:
        found = [dg.AssetCheckResult(passed=True, check_name=check, description=SENTENCE) for check in CHECKS]
        yield dg.MaterializeResult(asset_key=name, metadata={"rows": 3}, check_results=found)

    return made


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    keep_event_log_open()  # three times as fast
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance, Instance)
        yield instance


@pytest.fixture
def run(instance: Instance) -> Callable[..., str]:
    """Make these assets in one run; its id."""

    def make(*names: str) -> str:
        return dg.materialize([asset_named(name) for name in names], instance=instance).run_id

    return make


def runs(instance: Instance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def found(instance: Instance, name: str) -> list[str]:
    """The runs in which a check of the asset was executed, newest first."""
    key = dg.AssetCheckKey(dg.AssetKey(name), CHECKS[0])
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    return [record.run_id for record in history]


def test_a_run_is_forgotten_once_all_that_it_made_was_made_again(instance: Instance, run: Callable[..., str]) -> None:
    both, first_alone = run("first", "second"), run("first")
    assert instance.forget_runs(DAY) == 0  # they have just ended
    assert instance.forget_runs(-DAY) == 0
    assert runs(instance) == {both, first_alone}  # the second was not made since
    second_alone = run("second")
    assert instance.forget_runs(-DAY) == 1
    assert runs(instance) == {first_alone, second_alone}
    assert not list(instance.all_logs(both))
    assert (found(instance, "first"), found(instance, "second")) == ([first_alone], [second_alone])
    for name in ("first", "second"):
        made = instance.get_latest_materialization_event(dg.AssetKey(name))
        assert made is not None
        assert made.asset_materialization is not None
        assert made.asset_materialization.metadata["rows"].value == 3


def test_what_a_run_printed_goes_with_it_and_a_run_at_work_stays(
    instance: Instance, run: Callable[..., str], tmp_path: Path
) -> None:
    ended = run("first")
    at_work = instance.add_run(dg.DagsterRun(job_name="a job", status=dg.DagsterRunStatus.STARTED)).run_id
    run("first")
    printed = tmp_path / "storage" / ended / "compute_logs" / "x.err"
    printed.parent.mkdir(parents=True, exist_ok=True)
    printed.write_text("a line")
    assert instance.forget_runs(-DAY) == 1
    assert not (tmp_path / "storage" / ended).exists()
    assert at_work in runs(instance)


def test_a_home_whose_old_runs_are_forgotten_stays_as_it_is(instance: Instance, run: Callable[..., str]) -> None:
    pages = []
    for _ in range(7):
        run("first")
        instance.forget_runs(-DAY)
        with instance.event_log_storage.index_connection() as connection:
            pages.append(connection.execute(sqlalchemy.text("PRAGMA page_count")).scalar())
    assert len(runs(instance)) == 1
    # Five together leave less than one that is kept. They left more where the results of their checks stayed.
    assert pages[-1] - pages[1] < pages[1] - pages[0]


def test_a_message_is_kept_once_and_told_as_ever(instance: Instance, run: Callable[..., str]) -> None:
    entries = [entry for entry in instance.all_logs(run("first")) if entry.dagster_event]
    said = f"Asset check '{CHECKS[0]}' on 'first' passed. Description: '{SENTENCE}'"
    assert said in {entry.message for entry in entries}
    assert {entry.user_message for entry in entries} == {""}
