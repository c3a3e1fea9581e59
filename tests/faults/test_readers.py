"""Whoever reads while tables are published finds each of them whole, in one version, at every moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.command import FORKS
from tests.faults.world import NEW, OLD, PUBLISHED, Scene, State, World, rows

pytestmark = pytest.mark.slow


def with_pyiceberg(world: World) -> Callable[[str], list[tuple[Any, ...]]]:
    return lambda name: rows(world.tables[name])


def with_the_lakehouse(world: World) -> Callable[[str], list[tuple[Any, ...]]]:
    from resources.engines.embedded import EmbeddedSpark
    from resources.iceberg.catalogs import LocalLakehouse
    from stedi_assets.pipeline.inputs import Inputs

    engine, lakehouse = EmbeddedSpark(), LocalLakehouse(root=str(world.root), namespace="stedi")

    def read(name: str) -> list[tuple[Any, ...]]:
        frame = Inputs(engine, lakehouse, {}).frame(name)
        found = frame.select(*(column for column in frame.columns if column != "run")).collect()
        return sorted((tuple(row) for row in found), key=repr)

    return read


def poll(reader: Callable[[World], Any], world: World, states: list[State], stop: Path, told: Path) -> None:
    """Read every table again and again; tell how often, and what was neither the one version nor the other."""
    read, polls, wrong = reader(world), 0, list[str]()
    while not stop.exists() or polls < 2 * len(PUBLISHED):
        for name in PUBLISHED:
            try:
                found = read(name)
                if all(found != state[name] for state in states):
                    wrong.append(f"{name}: {len(found)} rows of neither version")
            except Exception as error:
                wrong.append(f"{name}: {error!r}")
            polls += 1
    told.write_text(json.dumps([polls, wrong]))


def test_readers_never_find_a_table_missing_broken_or_of_two_versions(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    before = scene.put_back()
    # The files of the version that a reader has planned to read stay where they are.
    plans = scene.world.tables
    stop, states = tmp_path / "stop", [scene.old, scene.new]
    polling = {
        tmp_path / reader.__name__: FORKS.Process(
            target=poll, args=(reader, scene.world, states, stop, tmp_path / reader.__name__), daemon=True
        )
        for reader in (with_pyiceberg, with_the_lakehouse)
    }
    for process in polling.values():
        process.start()
    runs = rounds(1, 10)
    for number in range(runs):
        scene.world.deliver(OLD if number % 2 else NEW)
        scene.world.materialize(scene.selection)
    stop.touch()
    for told, process in polling.items():
        process.join(60)
        polls, wrong = json.loads(told.read_text())
        print(f"{told.name}: {polls} reads during {runs} runs")
        assert wrong == []
    published = sum(len(scene.world.tables[name].history()) - 1 for name in scene.chosen)
    assert published == runs * len(scene.chosen)
    assert {name: rows(plan) for name, plan in plans.items()} == before
