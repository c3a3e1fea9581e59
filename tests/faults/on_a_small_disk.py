"""A disk that is full, or can only be read: a real file system's refusals are told, and lose nothing.

Belongs here: tests that need a disk of their own. `test_storage.py` runs them where whoever runs the tests may mount
one. Where nobody may, a small file system that is there anyway will do for one of them.
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
from tempfile import TemporaryDirectory

import pytest

from tests.faults.world import NEW, OLD, PUBLISHED, Scene, State, World

SMALL = [Path("/dev"), Path("/dev/shm")]
"""What containers give 64 MB."""


@contextmanager
def folder_on_a_small_disk() -> Iterator[Path | None]:
    """A folder on a small disk that is there anyway; None where there is none."""
    small = [one for one in SMALL if os.access(one, os.W_OK) and shutil.disk_usage(one).total <= 64 << 20]
    if not small:
        yield None
        return
    with TemporaryDirectory(dir=small[0], prefix="stedi-") as folder:
        yield Path(folder)


def made_there(world: World, scene: Scene) -> Scene:
    """The scene in that world: only what runs make anew is there."""
    world.materialize(OLD, select=scene.selection)
    nothing: State = {name: [] for name in PUBLISHED}
    return replace(scene, world=world, old={**nothing, **{name: scene.old[name] for name in scene.chosen}})


@pytest.fixture
def mounted(tmp_path: Path, scene: Scene) -> Iterator[Scene | None]:
    """The scene on a disk of 4 MB; None where it cannot be mounted."""
    root = tmp_path / "lakehouse"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root], capture_output=True).returncode:
        root.rmdir()
        yield None
        return
    try:
        yield made_there(World(tmp_path), scene)
    finally:
        subprocess.run(["umount", "-l", root], check=True)


@pytest.fixture
def disk(mounted: Scene | None, tmp_path: Path, scene: Scene) -> Iterator[Scene]:
    """The scene on a disk of a few megabytes."""
    if mounted is not None:
        yield mounted
        return
    with folder_on_a_small_disk() as folder:
        if folder is None:
            pytest.skip(f"nobody may mount a disk here, and neither of {SMALL} is one of at most 64 MB")
        (tmp_path / "lakehouse").symlink_to(folder)
        yield made_there(World(tmp_path), scene)


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
    dice, copy, failed = random.Random(3), disk.world.folder / "copy", 0
    shutil.copytree(disk.world.root, copy)
    disk = replace(disk, as_it_was=copy)
    sizes = [0, *(dice.randrange(4096, 100_000 * rounds(1, 4), 4096) for _ in range(rounds(2, 30)))]
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


def test_a_disk_that_can_only_be_read_is_told(mounted: Scene | None) -> None:
    if mounted is None:
        pytest.skip("nobody may mount a disk here")
    world = mounted.world
    world.deliver(NEW)
    subprocess.run(["mount", "-o", "remount,bind,ro", world.root], check=True)
    for table in ("customer_landing", "customer_trusted"):
        run = world.start(f'key:"{table}"')
        assert run.ends() == 1
        assert "Read-only file system" in run.said
        assert "Set STEDI_LAKEHOUSE to a folder that can be written" in run.said
    assert world.differs_from(mounted.old) == {}
    subprocess.run(["mount", "-o", "remount,bind,rw", world.root], check=True)
    mounted.mend(mounted.old)
