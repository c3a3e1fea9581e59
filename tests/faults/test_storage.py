"""Storage that refuses: a sentence that says what happened and what to do, exit code 1, and nothing lost."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import NEW, OLD, PUBLISHED, Scene, State, World, iceberg, rows

pytestmark = pytest.mark.faults

Breaks = Callable[[Path], Any]
"""Breaks the lakehouse in that folder for a block."""


def as_a_user() -> None:
    """Make this process heed permissions, which root does not."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    data[0] &= ~0b1110  # effective: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    assert libc.capset(header, data) == 0


@contextmanager
def modes(**paths: int) -> Iterator[None]:
    before = {path: Path(path).stat().st_mode for path in paths}
    try:
        for path, mode in paths.items():
            os.chmod(path, mode)
        yield
    finally:
        for path, mode in before.items():
            os.chmod(path, mode)


def no_right_to_stage(root: Path) -> Any:
    return modes(**{str(root / "stedi/customer_trusted/data"): 0o555})


def no_right_to_land(root: Path) -> Any:
    return modes(**{str(root / "customer_landing"): 0o555})


def no_right_to_a_data_file(root: Path) -> Any:
    files = (root / "stedi/customer_records/data").rglob("*.parquet")
    return modes(**{str(path): 0 for path in files})


def no_right_to_commit(root: Path) -> Any:
    return modes(**{str(root / "stedi/customer_records/metadata"): 0o555})


def read_only_catalog(root: Path) -> Any:
    return modes(**{str(root / "catalog.db"): 0o444, str(root): 0o555})


@contextmanager
def another_holds_the_catalog(root: Path) -> Iterator[None]:
    connection = sqlite3.connect(root / "catalog.db", isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


@contextmanager
def overwritten(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    yield
    path.write_bytes(before)


def no_database(root: Path) -> Any:
    return overwritten(root / "catalog.db", b"this is no database " * 500)


def damaged_database(root: Path) -> Any:
    content = (root / "catalog.db").read_bytes()
    return overwritten(root / "catalog.db", content[:100] + b"\xff" * (len(content) - 100))


REFUSALS: list[tuple[Breaks, str, tuple[str, ...]]] = [
    (no_right_to_stage, "customer_trusted", ("Could not stage customer_trusted", "Permission denied", "the right to")),
    (no_right_to_land, "customer_landing", ("could not be brought", "Permission denied", "the right to")),
    (no_right_to_a_data_file, "customer_trusted", ("Could not", "Permission denied", "the right to")),
    (no_right_to_commit, "customer_landing", ("Could not publish customer_records", "Permission denied", "the right")),
    (read_only_catalog, "customer_landing", ("Could not", "the right to write catalog.db and its folder")),
    (another_holds_the_catalog, "customer_trusted", ("Could not", "«database is locked»", "wait for it to end")),
    (no_database, "customer_trusted", ("«file is not a database»", "catalog.db is damaged: put a copy of it back")),
    (damaged_database, "customer_trusted", ("malformed»", "catalog.db is damaged: put a copy of it back")),
]


@pytest.mark.parametrize(("breaks", "table", "said"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_storage_refuses_is_told_with_what_to_do_and_loses_nothing(
    scene: Scene, breaks: Breaks, table: str, said: tuple[str, ...]
) -> None:
    before = scene.put_back()
    with breaks(scene.world.root):
        run = scene.world.start(f'key:"{table}"', prepare=as_a_user)
        assert run.ends() == 1, run.said[-3000:]
    for words in said:
        assert words in run.said
    assert scene.world.differs_from(before) == {}
    scene.mend(before)


def test_of_a_table_whose_data_file_was_deleted_the_older_version_is_read_and_the_table_made_anew(scene: Scene) -> None:
    before = scene.put_back()
    scene.mend(before)
    table = iceberg(scene.world.root).load_table("stedi.customer_trusted")
    for task in table.scan().plan_files():
        Path(task.file.file_path.removeprefix("file://")).unlink()
    run = scene.world.start('key:"accelerometer_trusted"')
    assert run.ends() == 1
    assert "data files of customer_trusted are gone" in run.said
    assert "Materialize customer_trusted again to make it anew" in run.said
    [first, _] = table.metadata.snapshots
    older = table.scan(snapshot_id=first.snapshot_id).to_arrow()
    assert sorted((tuple(row.values()) for row in older.to_pylist()), key=repr) == before["customer_trusted"]
    scene.world.materialize(select='key:"customer_trusted"')
    assert rows(iceberg(scene.world.root).load_table("stedi.customer_trusted")) == scene.new["customer_trusted"]


def test_a_catalog_that_was_lost_and_comes_back_finds_the_files_of_its_versions(scene: Scene) -> None:
    before = scene.put_back()
    catalog, kept = scene.world.root / "catalog.db", scene.world.folder / "kept.db"
    shutil.move(catalog, kept)
    run = scene.world.materialize(select=scene.selection)
    assert "STEP_FAILURE" not in run.said
    shutil.move(kept, catalog)
    assert scene.world.differs_from(before) == {}


# A small disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path, scene: Scene) -> Iterator[Scene]:
    """The scene on a disk of 4 MB: only what runs make anew is there."""
    world = World(tmp_path)
    world.root.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(world.root)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    try:
        world.materialize(OLD, select=scene.selection)
        nothing: State = {name: [] for name in PUBLISHED}
        yield replace(scene, world=world, old={**nothing, **{name: scene.old[name] for name in scene.chosen}})
    finally:
        subprocess.run(["umount", "-l", str(world.root)], check=True)


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


def test_a_disk_that_can_only_be_read_is_told(disk: Scene) -> None:
    disk.world.deliver(NEW)
    subprocess.run(["mount", "-o", "remount,ro", str(disk.world.root)], check=True)
    for table in ("customer_landing", "customer_trusted"):
        run = disk.world.start(f'key:"{table}"')
        assert run.ends() == 1
        assert "Read-only file system" in run.said
        assert "Set STEDI_LAKEHOUSE to a folder that can be written" in run.said
    assert disk.world.differs_from(disk.old) == {}
    subprocess.run(["mount", "-o", "remount,rw", str(disk.world.root)], check=True)
    disk.mend(disk.old)
