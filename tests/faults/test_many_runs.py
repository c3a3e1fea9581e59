"""Runs that crowd one lakehouse: each does its work or says why not, and no table is worse for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from shutil import copytree

import pytest

from tests.faults.reasons import OTHER_SOURCE, reasons
from tests.faults.world import ALL, SELECTIONS, Scene

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first_run", [True, False], ids=["first runs", "later runs"])
def test_runs_at_the_same_time_succeed_or_say_why_not_and_one_more_run_makes_all_right(
    scene: Scene, rounds: Callable[[int, int], int], first_run: bool
) -> None:
    told = Counter[str]()
    for _ in range(rounds(1, 3)):
        before = scene.put_back(first_run=first_run)
        runs = [scene.world.start(selection) for selection in SELECTIONS[: rounds(4, 11)]]
        for run in runs:
            code = run.ends()
            why = reasons(run.said)
            assert code in ({0, 1} if why else {0}), run.said[-6000:]
            told.update(why if code else ["succeeded"])
        assert scene.world.differs_from(before, scene.new) == {}
        scene.mend(before, ALL)
    print(dict(told))
    # Who is overtaken tries again.
    assert told["succeeded"] >= rounds(4, 18)


def test_runs_on_two_sources_at_the_same_time_succeed_or_name_the_other_one(
    scene: Scene, rounds: Callable[[int, int], int]
) -> None:
    before, one = scene.put_back(), scene.world
    elsewhere = copytree(one.source, one.folder / "elsewhere")  # of the same records: tables are right from either
    other = replace(one, environment={**one.environment, "STEDI_SOURCE": str(elsewhere)}, runs=1_000)
    told = Counter[str]()
    for _ in range(rounds(1, 8)):
        runs = [world.start(ALL) for world in (one, other, one)]
        for run in runs:
            code = run.ends()
            why = reasons(run.said) if code else {"succeeded"}
            assert code in (0, 1), run.said[-6000:]
            told.update(why)
        assert scene.world.differs_from(before, scene.new) == {}
    print(dict(told))
    assert told[OTHER_SOURCE] > 0
    scene.mend(before, ALL)
