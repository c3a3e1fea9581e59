"""Ctrl-C, and what Dagster's UI sends to end a run: nothing half-made is published, and nothing runs on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.command import COMPUTES, At
from tests.faults.world import Scene

pytestmark = pytest.mark.faults

PHASES = ("while a feed lands", COMPUTES, "before the audit", "before commit")


def test_a_run_that_is_terminated_publishes_nothing_half_made_and_leaves_nothing_running(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    signals = [signal.SIGINT, signal.SIGTERM]
    for number, phase in enumerate(PHASES):
        for sign in [signals[number % 2]] if rounds(1, 2) == 1 else signals:
            before, waits = scene.put_back(), tmp_path / f"{phase} {sign}"
            run = scene.start(at=At(phase, waits=waits))
            while not waits.exists():
                assert run.process.is_alive(), run.said[-3000:]
                time.sleep(0.02)
            os.kill(run.process.pid, sign)
            assert run.ends() != 0, f"{phase} {sign}"
            with pytest.raises(ProcessLookupError):
                os.killpg(run.process.pid, 0)
            assert scene.world.differs_from(before) == {}, f"{phase} {sign}"
            if phase != "before commit":  # whether a commit was sent is for the next run to see
                assert scene.world.untidy() == [], f"{phase} {sign}"
            scene.mend(before)
