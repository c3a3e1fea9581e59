"""Runs from the UI's queue: whatever is launched while others run does its work or says why not.

Belongs here: a real webserver and daemon, asked as the UI's pages ask them. Commands that crowd one lakehouse are in
`test_many_runs.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient

from resources.settings import Settings
from stedi_assets.definitions import build_definitions
from tests.dagster_dev import dagster_dev
from tests.faults.reasons import reasons
from tests.faults.test_many_runs import SELECTIONS
from tests.faults.world import Scene, World

pytestmark = pytest.mark.faults

ALL_ASSETS = "__ASSET_JOB"
"""What the UI calls a run of assets that were chosen by hand."""
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
ENDS = {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
PATIENCE = 300  # seconds: a run is a new process, and the machine may be busy


@dataclass
class Ui:
    """The UI of a world."""

    world: World
    client: DagsterGraphQLClient

    def launch(self, selection: str) -> str:
        """Put a run of these assets into the queue; its id."""
        graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
        keys = dg.AssetSelection.from_string(selection).resolve(graph)
        run_id: str = self.client.submit_job_execution(ALL_ASSETS, asset_selection=sorted(keys))
        return run_id

    def wait_for(self, runs: Sequence[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while {self.client.get_run_status(run) for run in runs} - ENDED:
            assert time.monotonic() < deadline, [self.client.get_run_status(run) for run in runs]
            time.sleep(0.2)

    @property
    def history(self) -> dg.DagsterInstance:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.world.home))
            return dg.DagsterInstance.get()


@pytest.fixture
def ui(scene: Scene) -> Iterator[Ui]:
    with dagster_dev(scene.world.settings, scene.world.folder / "dev.log") as port:
        yield Ui(scene.world, DagsterGraphQLClient("127.0.0.1", port_number=port))


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
