"""Runs from the UI's queue: whatever is launched while others run does its work or says why not.

Belongs here: a real webserver and daemon, asked as the UI's pages ask them. Commands that crowd one lakehouse are in
`test_many_runs.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import dagster as dg
import pytest

from tests.faults.reasons import reasons
from tests.faults.test_many_runs import SELECTIONS
from tests.faults.ui import Ui, ui_of
from tests.faults.world import Scene

pytestmark = pytest.mark.slow

ENDS = {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}


@pytest.fixture
def ui(scene: Scene) -> Iterator[Ui]:
    with ui_of(scene.world) as ui:
        yield ui


def why(history: dg.DagsterInstance, run: str) -> set[str]:
    """Why the run, which came from the queue, failed, of all errors that it recorded; nothing, if it succeeded."""
    events = [entry.dagster_event for entry in history.all_logs(run) if entry.dagster_event]
    happened = {event.event_type for event in events}
    assert dg.DagsterEventType.RUN_ENQUEUED in happened
    errors = [getattr(event.event_specific_data, "error", None) for event in events]
    told = reasons("\n".join(error.to_string() for error in errors if error))
    assert happened & ENDS == {dg.DagsterEventType.RUN_FAILURE if told else dg.DagsterEventType.RUN_SUCCESS}
    return told


def were_at_work_together(history: dg.DagsterInstance, runs: Sequence[str]) -> bool:
    records = [history.get_run_record_by_id(run) for run in runs]
    times = [(record.start_time or 0, record.end_time or 0) for record in records if record]
    return any(one[0] < other[1] and other[0] < one[1] for one, other in combinations(times, 2))


def test_runs_from_the_queue_of_the_ui_succeed_or_say_why_not_and_one_more_run_makes_all_right(
    scene: Scene, ui: Ui, rounds: Callable[[int, int], int]
) -> None:
    told = Counter[str]()
    for number in range(rounds(1, 2)):
        before = scene.put_back(first_run=number % 2 == 1)
        runs = [ui.launch(selection) for selection in SELECTIONS[: rounds(3, 10)]]
        ui.wait_for(runs)
        with ui.history as history:
            for run in runs:
                told.update(why(history, run) or ["succeeded"])
            assert were_at_work_together(history, runs)
        assert scene.world.differs_from(before, scene.new) == {}
        scene.world.materialize()
        assert scene.world.differs_from(scene.new) == {}
        assert scene.world.untidy() == []
    print(dict(told))
    assert told["succeeded"]
