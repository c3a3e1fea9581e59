"""Runs from the UI's queue, launched, crowded and terminated: they do their work, or say why not, and leave nothing.

Belongs here: a real webserver and daemon, asked as the UI's pages ask them. The command is in `test_many_runs.py` and
`test_kill.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import dagster as dg
import pytest

from tests.faults.command import At
from tests.faults.reasons import reasons
from tests.faults.served import order
from tests.faults.ui import Ui, ui_of
from tests.faults.world import ALL, PHASES, SELECTIONS, Scene, wait_until
from tests.support import require

pytestmark = pytest.mark.slow

ENDS = {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
SECONDS_TO_END = 30


@pytest.fixture(scope="module")
def ui(scene: Scene) -> Iterator[Ui]:
    with ui_of(scene.world) as ui:
        yield ui


def told_by(history: dg.DagsterInstance, run: str) -> set[str]:
    """Why the run, which came from the queue, failed, of all errors that it recorded; `succeeded`, if it did."""
    events = [entry.dagster_event for entry in history.all_logs(run) if entry.dagster_event]
    happened = {event.event_type for event in events}
    assert dg.DagsterEventType.RUN_ENQUEUED in happened
    errors = [getattr(event.event_specific_data, "error", None) for event in events]
    why = reasons("\n".join(error.to_string() for error in errors if error))
    if happened & ENDS == {dg.DagsterEventType.RUN_SUCCESS}:
        return {"succeeded"}
    assert why
    assert happened & ENDS == {dg.DagsterEventType.RUN_FAILURE}
    return why


def were_at_work_together(one: dg.RunRecord, other: dg.RunRecord) -> bool:
    return (one.start_time or 0) < (other.end_time or 0) and (other.start_time or 0) < (one.end_time or 0)


def test_runs_from_the_queue_succeed_or_say_why_not_and_one_more_run_makes_all_right(
    scene: Scene, ui: Ui, rounds: Callable[[int, int], int]
) -> None:
    told = Counter[str]()
    for number in range(rounds(1, 2)):
        before = scene.put_back(first_run=number % 2 == 1)
        runs = [ui.launch(selection) for selection in SELECTIONS[: rounds(2, 10)]]
        ui.wait_for(runs)
        with ui.history as history:
            for run in runs:
                told.update(told_by(history, run))
            records = [record for run in runs if (record := history.get_run_record_by_id(run))]
            assert any(were_at_work_together(*pair) for pair in combinations(records, 2))
        assert scene.world.differs_from(before, scene.new) == {}
        scene.mend(before, ALL)
    print(dict(told))
    assert told["succeeded"] >= rounds(2, 10)


def test_a_run_that_is_terminated_publishes_nothing_half_made_and_leaves_nothing_running(
    scene: Scene, ui: Ui, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    require(Path("/proc/self/environ").exists(), "the system has no /proc")
    for phase in PHASES if rounds(0, 1) else ["before the check"]:
        terminate(scene, ui, At(phase, waits=tmp_path / phase))


def test_a_run_on_apache_spark_that_is_terminated_leaves_nothing_running(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    if not rounds(0, 1):
        pytest.skip("the embedded engine stands for both, but under --full")
    with ui_of(replace(scene.world, environment={"STEDI_SPARK": "local"})) as ui:
        for phase in PHASES:
            terminate(scene, ui, At(phase, waits=tmp_path / phase))


def terminate(scene: Scene, ui: Ui, at: At) -> None:
    """Terminate a run of the UI that waits; it is canceled, and all that it started has ended."""
    before, idle, waits = scene.put_back(), ui.processes(), at.waits
    assert waits is not None
    with order(ui.world.home, at):
        run = ui.launch(scene.selection)
        wait_until(waits.exists, lambda: (at, ui.client.get_run_status(run)))
    assert ui.processes() > idle
    ui.client.terminate_run(run)
    ui.wait_for([run])
    assert ui.client.get_run_status(run) is dg.DagsterRunStatus.CANCELED, at
    wait_until(lambda: ui.processes() == idle, lambda: (at, ui.processes() ^ idle), SECONDS_TO_END)
    scene.assert_stopped(before, at.point)
    scene.mend(before)
