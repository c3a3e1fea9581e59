"""A disk that is full, or can only be read: a real file system's refusals are told, and lose nothing.

Belongs here: tests that need a disk of their own. `test_storage.py` runs them where whoever runs the tests may mount
one.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.world import NOTHING, OLD, Scene, World, select


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> Iterator[Scene]:
    """The scene on a disk of 4 MB."""
    folder = tmp_path_factory.mktemp("disk")
    root, copy = folder / "lakehouse", folder / "as it was"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root], capture_output=True).returncode:
        pytest.skip("nobody may mount a disk here")
    try:
        world = World(folder)
        world.deliver(OLD)
        world.materialize(scene.selection)
        shutil.copytree(root, copy)
        old = {**NOTHING, **{name: scene.old[name] for name in scene.chosen}}
        yield replace(scene, world=world, old=old, as_it_was=copy)
    finally:
        subprocess.run(["umount", "-l", root], check=True)


@contextmanager
def full_but_for(root: Path, size: int) -> Iterator[None]:
    filler = root / "filler"
    try:
        with filler.open("wb", buffering=0) as out, suppress(OSError):
            while True:
                out.write(bytes(4096))
        os.truncate(filler, max(0, filler.stat().st_size - size))
        yield
    finally:
        filler.unlink()


def test_a_disk_that_becomes_full_at_any_moment_stops_the_run_and_loses_nothing(
    disk: Scene, rounds: Callable[[int, int], int]
) -> None:
    dice, failed = random.Random(3), 0
    sizes = [0, *(dice.randrange(4096, 100_000 * rounds(1, 4), 4096) for _ in range(rounds(1, 30)))]
    for size in sizes:
        before = disk.put_back()
        with full_but_for(disk.world.root, size):
            run = disk.start()
            code = run.ends()
            assert disk.world.differs_from(before, disk.after(before)) == {}
        if code:
            failed += 1
            assert code == 1
            assert "No space left" in run.said or "disk is full" in run.said, run.said[-3000:]
            assert "Make room in" in run.said or "make room there" in run.said, run.said[-3000:]
        disk.mend(before)
    print(f"{failed} of {len(sizes)} runs found the disk full")
    assert failed


def test_a_disk_that_can_only_be_read_is_told(disk: Scene) -> None:
    before, root = disk.put_back(), disk.world.root
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
    anew = replace(disk.world, environment={**disk.world.environment, "STEDI_REBUILD": "1"})
    for table in ("customer_landing", "customer_trusted"):
        run = anew.start(select(table))
        assert run.ends() == 1
        assert "Read-only file system" in run.said
        assert "Set STEDI_LAKEHOUSE to a folder that can be written" in run.said
    subprocess.run(["mount", "-o", "remount,bind,rw", root], check=True)
    disk.assert_stopped(before, "read-only")
