"""Whoever reads while tables are published finds each of them whole, in one version, at every moment."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import NEW, OLD, PUBLISHED, Scene, State, iceberg, rows

pytestmark = pytest.mark.slow


def with_pyiceberg(root: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    return lambda name: rows(iceberg(root).load_table(f"stedi.{name}"))


def with_the_lakehouse(root: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    from stedi_assets.pipeline.publish import Tables

    from resources.engines.embedded import EmbeddedSpark
    from resources.iceberg.catalogs import LocalLakehouse
    from stedi_assets.rules import Consent

    engine, lakehouse = EmbeddedSpark(), LocalLakehouse(root=str(root), namespace="stedi")

    def read(name: str) -> list[tuple[Any, ...]]:
        frame = Tables(engine, lakehouse, Consent.CUSTOMER).frame(name)
        found = frame.select(*(column for column in frame.columns if column != "run")).collect()
        return sorted((tuple(row) for row in found), key=repr)

    return read


def poll(reader: Callable[[Path], Any], root: Path, states: list[State], stop: Path, told: Path) -> None:
    """Read every table again and again; tell how often, and what was neither the one version nor the other."""
    read, polls, wrong = reader(root), 0, list[str]()
    while not stop.exists():
        for name in PUBLISHED:
            try:
                found = read(name)
                if all(found != state[name] for state in states):
                    wrong.append(f"{name}: {len(found)} rows of neither version")
            except Exception as error:
                wrong.append(f"{name}: {error!r}")
            polls += 1
    told.write_text(json.dumps([polls, wrong]))


@pytest.mark.parametrize("reader", [with_pyiceberg, with_the_lakehouse])
def test_readers_never_find_a_table_missing_broken_or_of_two_versions(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int], reader: Callable[[Path], Any]
) -> None:
    scene.put_back()
    stop, told = tmp_path / "stop", tmp_path / "told"
    polling = multiprocessing.get_context("forkserver").Process(
        target=poll, args=(reader, scene.world.root, [scene.old, scene.new], stop, told), daemon=True
    )
    polling.start()
    runs = rounds(1, 10)
    for number in range(runs):
        scene.world.materialize(OLD if number % 2 else NEW, select=scene.selection)
    stop.touch()
    polling.join(60)
    polls, wrong = json.loads(told.read_text())
    published = sum(len(iceberg(scene.world.root).load_table(f"stedi.{name}").history()) - 1 for name in scene.chosen)
    print(f"{reader.__name__}: {polls} reads during {runs} runs that published {published} versions")
    assert wrong == []
    assert polls > runs * len(PUBLISHED)
    assert published == runs * len(scene.chosen)


def test_a_reader_with_a_plan_reads_on(scene: Scene) -> None:
    """The files of the version that it has planned to read stay where they are."""
    before = scene.put_back()
    plans = {name: iceberg(scene.world.root).load_table(f"stedi.{name}") for name in PUBLISHED}
    scene.mend(before)
    assert {name: rows(plan) for name, plan in plans.items()} == before
