"""Ctrl-C, and what Dagster's UI sends to end a run: nothing half-made is published, and nothing runs on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from tests.faults.command import COMPUTES, COPIES, At
from tests.faults.served import order
from tests.faults.ui import PATIENCE, Ui, ui_of
from tests.faults.world import Scene, State
from tests.support import require

pytestmark = pytest.mark.slow

PHASES = (COMPUTES, COPIES, "while a feed lands", "before the audit", "before commit")
SECONDS_TO_END = 30


def wait_until(condition: Callable[[], bool], said: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


def interrupt(scene: Scene, at: At, sign: signal.Signals) -> None:
    """Send the signal to a run of the command that waits; it ends, and with it all that it started."""
    run, waits = scene.start(at=at), at.waits
    assert waits is not None
    wait_until(lambda: waits.exists() or not run.process.is_alive(), lambda: run.said[-3000:])
    os.kill(run.process.pid, sign)
    assert run.ends() != 0, at
    with pytest.raises(ProcessLookupError):
        os.killpg(run.process.pid, 0)


def terminate(ui: Ui, selection: str, at: At) -> None:
    """Terminate a run of the UI that waits; it is canceled, and all that it started has ended."""
    idle, waits = ui.processes(), at.waits
    assert waits is not None
    order(ui.world.home, at)
    run = ui.launch(selection)
    wait_until(waits.exists, lambda: (at, ui.client.get_run_status(run)))
    assert ui.processes() > idle
    ui.client.terminate_run(run)
    ui.wait_for([run])
    assert ui.client.get_run_status(run) is dg.DagsterRunStatus.CANCELED, at
    wait_until(lambda: ui.processes() == idle, lambda: (at, ui.processes() ^ idle), SECONDS_TO_END)


def hold(scene: Scene, before: State, phase: str) -> None:
    """The tables are as before, nothing is left of the run, and the next one succeeds."""
    assert scene.world.differs_from(before) == {}, phase
    if phase != "before commit":  # whether a commit was sent is for the next run to see
        assert scene.world.untidy() == [], phase
    scene.mend(before)


def test_a_run_that_is_terminated_publishes_nothing_half_made_and_leaves_nothing_running(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    signals = [signal.SIGINT, signal.SIGTERM]
    for number, phase in enumerate(PHASES):
        for sign in [signals[number % 2]] if rounds(1, 2) == 1 else signals:
            before = scene.put_back()
            interrupt(scene, At(phase, waits=tmp_path / f"{phase} {sign}"), sign)
            hold(scene, before, phase)


def test_a_run_that_is_terminated_in_the_ui_publishes_nothing_half_made_and_leaves_nothing_running(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    require(Path("/proc/self/environ").exists(), "the system has no /proc")
    for engine in ("embedded", "local")[: rounds(1, 2)]:
        world = replace(scene.world, environment={"STEDI_SPARK": engine})
        with ui_of(world, location=("-m", "tests.faults.served")) as ui:
            for phase in PHASES[: rounds(1, len(PHASES))]:
                before = scene.put_back()
                terminate(ui, scene.selection, At(phase, waits=tmp_path / f"{phase} {engine}"))
                hold(scene, before, phase)
