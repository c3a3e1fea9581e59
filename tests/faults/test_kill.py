"""kill -9: whatever moment it hits, a table is wholly its old or its new version, and the next run mends the rest.

A plain `frame.write.mode("overwrite").parquet(folder)` is not like that. Killed at a random moment of the first half
second in which it replaces 1,000 rows by 200,000 (12 rounds on the embedded engine), it left the new rows in 3 rounds,
the old ones in none, and no row at all in 9: Spark removes the old files first.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.command import COPIES, POINTS, At
from tests.faults.world import PUBLISHED, Scene

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_at_any_moment_leaves_each_table_old_or_new_and_the_next_run_mends_it(
    scene: Scene, rounds: Callable[[int, int], int]
) -> None:
    dice, published, hit = random.Random(9), Counter[int](), 0
    scene.put_back()
    began = time.monotonic()
    scene.mend(scene.old)
    seconds = time.monotonic() - began
    kills = rounds(2, 200)
    for number in range(kills):
        before = scene.put_back(first_run=number % 4 == 1)
        run = scene.start()
        time.sleep(dice.uniform(0.2, 1) * seconds)
        run.kill()
        hit += run.process.exitcode == -9
        found = scene.world.state
        assert scene.world.differs_from(before, scene.after(before)) == {}
        published[sum(found[name] == scene.new[name] for name in PUBLISHED)] += 1
        scene.mend(before)
    assert hit >= kills / 2
    print("how many tables were new when the run was killed, and how often:", sorted(published.items()))


def test_a_run_that_is_killed_at_a_point_leaves_each_table_old_or_new_and_the_next_run_mends_it(
    scene: Scene, rounds: Callable[[int, int], int]
) -> None:
    for place, point in enumerate(POINTS):
        feeds = len(scene.chosen & {"customer_records", "accelerometer_records", "step_trainer_records"})
        times = feeds if point in (COPIES, "while a feed lands") else len(scene.chosen)
        for number in range(place, place + rounds(1, times)):
            before = scene.put_back(first_run=number % 4 == 3)
            run = scene.start(at=At(point, number % times + 1))
            assert run.ends() == -9, f"{point}\n{run.said[-3000:]}"
            assert scene.world.differs_from(before, scene.after(before)) == {}, point
            scene.mend(before)
