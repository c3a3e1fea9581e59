"""kill -9, Ctrl-C: whenever it hits, a table is wholly its old or its new version, and the next run mends the rest.

A plain `frame.write.mode("overwrite").parquet(folder)` is not like that. Killed at a random moment of the first half
second in which it replaces 1,000 rows by 200,000 (12 rounds on the embedded engine), it left the new rows in 3 rounds,
the old ones in none, and no row at all in 9: Spark removes the old files first.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.command import COPIES, LANDS, POINTS, At
from tests.faults.world import PHASES, PUBLISHED, Scene, wait_until

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_at_any_moment_leaves_each_table_old_or_new_and_the_next_run_mends_it(
    scene: Scene, rounds: Callable[[int, int], int]
) -> None:
    dice, published, kills, hits = random.Random(9), Counter[int](), rounds(2, 200), 0
    scene.put_back()
    began = time.monotonic()
    scene.mend(scene.old)
    seconds = time.monotonic() - began
    for number in range(10 * kills):
        if hits == kills:
            break
        before = scene.put_back(first_run=number % 4 == 1)
        run = scene.start()
        time.sleep(dice.uniform(0.1, 0.9) * seconds)
        run.kill()
        if run.process.exitcode == 0:  # the machine is less busy than it was
            seconds *= 0.8
        hits += run.process.exitcode == -9
        found = scene.world.state
        assert scene.world.differs_from(before, scene.after(before)) == {}
        published[sum(found[name] == scene.new[name] for name in PUBLISHED)] += 1
        scene.mend(before)
    assert hits == kills
    print("how many tables were new when the run was killed, and how often:", sorted(published.items()))


def killed_at(scene: Scene, at: At) -> None:
    run = scene.start(at=at)
    assert run.ends() == -9, f"{at}\n{run.said[-3000:]}"


def test_runs_that_are_killed_one_after_the_other_each_further_on_leave_nothing_behind(scene: Scene) -> None:
    """Each comes further than the one before, so what that left does not stand in its way."""
    before = scene.put_back()
    for point in POINTS:
        killed_at(scene, At(point))
        # Of the last one, the first of the two tables of a step is published, and the second is not.
        allowed = [before, scene.new] if point == POINTS[-1] else [before]
        assert scene.world.differs_from(*allowed) == {}, point
    scene.mend(before)


def test_a_run_that_is_killed_at_a_point_leaves_each_table_old_or_new_and_the_next_run_mends_it(
    scene: Scene, rounds: Callable[[int, int], int]
) -> None:
    for place, point in enumerate(POINTS):
        feeds = len([name for name in scene.chosen if name.endswith("_records")])
        times = feeds if point in (COPIES, LANDS) else len(scene.chosen)
        for number in range(rounds(0, times)):
            before = scene.put_back(first_run=(place + number) % 4 == 3)
            killed_at(scene, At(point, number + 1))
            assert scene.world.differs_from(before, scene.after(before)) == {}, point
            scene.mend(before)


def test_a_run_that_is_interrupted_publishes_nothing_half_made_and_leaves_nothing_running(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    """Ctrl-C, and what Dagster's UI sends to end a run."""
    signals = [signal.SIGINT, signal.SIGTERM]
    before = scene.put_back()
    for number, phase in enumerate(PHASES):
        for sign in [signals[number % 2]] if rounds(1, 2) == 1 else signals:
            waits = tmp_path / f"{phase} {sign}"
            run = scene.start(at=At(phase, waits=waits))
            wait_until(
                lambda run=run, waits=waits: waits.exists() or not run.process.is_alive(), lambda run=run: run.said
            )
            os.kill(run.process.pid, sign)
            assert run.ends() != 0, phase
            with pytest.raises(ProcessLookupError):
                os.killpg(run.process.pid, 0)
            scene.assert_stopped(before, phase)
    scene.mend(before)
