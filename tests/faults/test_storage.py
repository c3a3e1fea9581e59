"""Storage that refuses: a sentence that says what happened and what to do, exit code 1, and nothing lost."""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from tests.faults.world import SCENE, Scene, rows, select
from tests.support import ROOT

pytestmark = pytest.mark.slow


def as_an_impatient_user() -> None:
    """Make this process heed permissions, which root does not, and wait for no lock that is not given up."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    dg.RetryPolicy.calculate_delay = lambda *_: 0.01  # type: ignore[method-assign]
    event.listen(Engine, "do_connect", lambda _, __, args, options: options.update(timeout=0.1))
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    data[0] &= ~0b1110  # effective: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    assert libc.capset(header, data) == 0


@contextmanager
def modes(mode: int, *paths: Path) -> Iterator[None]:
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(mode)
    yield
    for path in paths:
        path.chmod(before[path])


@contextmanager
def another_holds_it(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def overwritten(path: Path, head: int, byte: bytes) -> Iterator[None]:
    """The file with these bytes in place of all but the first few."""
    before = path.read_bytes()
    path.write_bytes(before[:head] + byte * (len(before) - head))
    yield
    path.write_bytes(before)


NO_RIGHT = ("Permission denied", "the right to")
DAMAGED = "catalog.db is damaged: put a copy of it back"
BREAKS: dict[str, tuple[Callable[[Path], AbstractContextManager[None]], str, tuple[str, ...]]] = {
    "no right to stage": (
        lambda root: modes(0o555, root / "stedi/customer_trusted/data"),
        "customer_trusted",
        ("Could not stage customer_trusted", *NO_RIGHT),
    ),
    "no right to land": (
        lambda root: modes(0o555, root / "customer_landing"),
        "customer_landing",
        ("Could not sync ", *NO_RIGHT),
    ),
    "no right to a data file": (
        lambda root: modes(0, *(root / "stedi/customer_records/data").rglob("*.parquet")),
        "customer_trusted",
        ("Could not", *NO_RIGHT),
    ),
    "no right to commit": (
        lambda root: modes(0o555, root / "stedi/customer_records/metadata"),
        "customer_landing customer_records",
        ("Could not publish customer_records", *NO_RIGHT),
    ),
    "a catalog to read only": (
        lambda root: modes(0o555, root / "catalog.db", root),
        "customer_landing customer_records",
        ("Could not", "the right to write catalog.db and its folder"),
    ),
    "a catalog that another holds": (
        lambda root: another_holds_it(root / "catalog.db"),
        "customer_trusted",
        ("Could not", "«database is locked»", "wait for it to end"),
    ),
    "no database": (
        lambda root: overwritten(root / "catalog.db", 0, b"no database "),
        "customer_trusted",
        ("«file is not a database»", DAMAGED),
    ),
    "a damaged database": (
        lambda root: overwritten(root / "catalog.db", 100, b"\xff"),
        "customer_trusted",
        ("malformed»", DAMAGED),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_storage_refuses_is_told_with_what_to_do_and_loses_nothing(scene: Scene, name: str) -> None:
    breaks, assets, said = BREAKS[name]
    before = scene.put_back()
    anew = replace(scene.world, environment={**scene.world.environment, "STEDI_REBUILD": "1"})
    with breaks(scene.world.root):
        run = anew.start(select(*assets.split()), prepare=as_an_impatient_user)
        assert run.ends() == 1, run.said[-3000:]
    for words in said:
        assert words in run.said
    scene.assert_not_published(before)
    scene.mend(before)


def test_of_a_table_whose_data_file_was_deleted_the_older_version_is_read_and_the_table_made_anew(scene: Scene) -> None:
    before = scene.put_back()
    scene.mend(before)
    table = scene.world.tables["customer_trusted"]
    for task in table.scan().plan_files():
        Path(task.file.file_path.removeprefix("file://")).unlink()
    run = scene.world.start(select("accelerometer_trusted"))
    assert run.ends() == 1
    assert "data files of customer_trusted are gone" in run.said
    assert "Materialize customer_trusted again to make it anew" in run.said
    [first, _] = table.metadata.snapshots
    older = table.scan(snapshot_id=first.snapshot_id).to_arrow()
    assert sorted((tuple(row.values()) for row in older.to_pylist()), key=repr) == before["customer_trusted"]
    scene.world.materialize(select("customer_trusted"))
    assert rows(scene.world.tables["customer_trusted"]) == scene.new["customer_trusted"]


def test_a_catalog_that_was_lost_and_comes_back_finds_the_files_of_its_versions(scene: Scene) -> None:
    before = scene.put_back()
    catalog, kept = scene.world.root / "catalog.db", scene.world.folder / "kept.db"
    shutil.move(catalog, kept)
    scene.world.materialize(scene.selection)
    shutil.move(kept, catalog)
    assert scene.world.differs_from(before) == {}


# A small disk -------------------------------------------------------------------------------------------------


def namespace(folder: Path) -> list[str]:
    """The command in which a disk may be mounted that nobody else sees: as anybody, or as root; empty where none is."""
    probe = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    for options in (["--user", "--map-root-user", "--mount"], ["--mount"]):
        command = ["unshare", *options]
        if shutil.which("unshare") and not subprocess.run([*command, *probe], capture_output=True).returncode:
            return command
    return []


def test_what_a_small_disk_refuses_is_told_and_loses_nothing(
    scene: Scene, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    (tmp_path / "scene").write_bytes(pickle.dumps(scene))
    options = ["-q", "-rs", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inside'}", *["--full"] * rounds(0, 1)]
    done = subprocess.run(
        [*namespace(tmp_path), sys.executable, "-m", "pytest", *options, "tests/faults/on_a_small_disk.py"],
        cwd=ROOT,
        env={**os.environ, SCENE: str(tmp_path / "scene")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout)
    if skipped := re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE):
        pytest.skip(f"it takes `unshare --user --map-root-user --mount`, or root who may mount: {'; '.join(skipped)}")
