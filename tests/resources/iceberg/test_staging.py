"""What is not published leaves no trace: not what fails, and not what a crashed run left, however it crashed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO

from resources.errors import LakehouseError
from resources.files import locks
from resources.iceberg import staging
from resources.iceberg.days import DAY_MS
from resources.iceberg.staging import StagingDir
from tests.resources.iceberg.house import ANN, BOB, EVE, STRIDES, WALKS, GlueHouse, House, LocalHouse, Row
from tests.support import ROOT


def note(name: str) -> str:
    """The path of the note beside a folder that is not published."""
    return f"data/.{name}.staging"


# Not publishing


def test_a_version_that_is_not_published_is_removed_at_the_end_of_its_block(house: House) -> None:
    house.publish(ANN)
    before = house.paths
    with house.stage(BOB) as staged:
        assert house.paths > before
    assert house.paths == before
    with pytest.raises(KeyError), house.stage(BOB):
        raise KeyError
    staged.directory.discard()
    assert house.paths == before
    assert house.everybody_reads([ANN])


def test_the_end_of_the_block_removes_nothing_that_is_published(house: House) -> None:
    with house.stage(ANN) as staged:
        house.lakehouse.publish(staged, {})
        published = house.paths
    assert house.paths == published
    assert house.folders == {staged.directory.name}
    assert house.everybody_reads([ANN])


def test_a_frame_that_cannot_be_computed_leaves_no_file(house: House) -> None:
    house.publish(ANN)
    before = house.paths
    broken = house.spark.sql("select raise_error('no') as user, cast(1 as bigint) as steps")
    with pytest.raises(Exception, match="no"):
        house.lakehouse.stage([broken], WALKS, "run")
    assert house.paths == before
    assert house.everybody_reads([ANN])


@pytest.mark.usefixtures("days_later")
def test_a_publication_that_fails_for_another_reason_is_cleared_by_the_next_run(house: House) -> None:
    """Whether such a commit arrived is unknown, so its files stay until the table itself tells."""
    house.publish(ANN)
    with house.stage(BOB) as staged:
        house.write(f"data/{staged.directory.name}/{Path(staged.files[0]).name}", b"no Parquet")
        with pytest.raises(LakehouseError, match="What was staged of walks is gone or was changed"):
            house.lakehouse.publish(staged, {})
    assert staged.directory.name in house.folders
    assert house.everybody_reads([ANN])
    house.clear_up()
    assert staged.directory.name not in house.folders
    assert house.strays == set()
    assert house.everybody_reads([ANN])


# What an interrupted run leaves behind

INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from resources.engines.embedded import EmbeddedSpark
from resources.iceberg.catalogs import LocalLakehouse
from tests.resources.iceberg.house import WALKS

class Interrupt(BaseException):
    "Of the kind that Dagster's is."

def interrupt(*_):
    raise Interrupt

def when_its_first_file_is_there():
    while not any(data.glob("broken_*/*")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)

data, lakehouse = Path(sys.argv[1], "stedi/walks/data"), LocalLakehouse(root=sys.argv[1], namespace="stedi")
engine = EmbeddedSpark()
frame = engine.spark_session.range(1_000_000).selectExpr("uuid() as user", "id as steps")
signal.signal(signal.SIGTERM, interrupt)
threading.Thread(target=when_its_first_file_is_there, daemon=True).start()
try:
    lakehouse.stage([frame], WALKS, "broken_off")
except Interrupt:
    (note,) = data.glob(".broken_*")
    late = data / note.name[1:].removesuffix(".staging") / "late.parquet"
    late.parent.mkdir(exist_ok=True)
    late.touch()
    lakehouse.clear_up("walks")
    print(late, late.exists())
engine.close()
"""


def test_a_write_that_is_interrupted_leaves_nothing_although_the_engine_goes_on_writing(
    local_house: LocalHouse,
) -> None:
    """470 rows with names and addresses stayed, without a note, after 1 of 16 runs that were stopped as they wrote."""
    local_house.publish(ANN)
    before = local_house.paths
    run = [sys.executable, "-c", INTERRUPTED, local_house.root]
    said = subprocess.run(run, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=True).stdout
    late, was_there = said.split()
    assert was_there == "True"  # as long as the engine is there, nobody else takes its folder for tidied up
    assert not Path(late).exists()
    local_house.write(Path(late).relative_to(local_house.table).as_posix(), b"later than late")
    local_house.clear_up()
    assert local_house.paths == before


# What crashed runs leave behind

WRITER = """
import sys, time
from pathlib import Path
from pyiceberg.io.pyarrow import PyArrowFileIO
from resources.iceberg.staging import StagingDir
directory = StagingDir(PyArrowFileIO(), sys.argv[1])
folder = Path(directory.open("crashed"))
folder.mkdir()
(folder / "part-0.parquet").write_bytes(b"half")
print(directory.name, flush=True)
time.sleep(60)
"""


@contextmanager
def another_process_stages(house: LocalHouse) -> Iterator[tuple[str, Callable[[], None]]]:
    """A run in another process, in the middle of staging; and how to kill it as the machine would."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, house.table], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert writer.stdout is not None

    def kill() -> None:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()

    try:
        yield writer.stdout.readline().strip(), kill
    finally:
        kill() if writer.poll() is None else None
        writer.stdout.close()


@pytest.mark.parametrize("before", [[], [ANN]], ids=["never published", "published"])
def test_the_next_run_removes_what_a_crashed_one_left_and_nothing_of_a_living_one(
    local_house: LocalHouse, before: list[Row]
) -> None:
    if before:
        local_house.publish(*before)
    published = local_house.folders
    with another_process_stages(local_house) as (name, kill):
        both = published | {name, f".{name}.staging"}
        local_house.clear_up()
        assert local_house.folders == both
        kill()
        assert local_house.folders == both
        local_house.clear_up()
        assert local_house.folders == published
    assert not before or local_house.everybody_reads(before)


@pytest.mark.parametrize("half", [b"", b'{"format-version": 2, "snapshots": [{}'])
def test_what_a_commit_wrote_by_half_is_removed_unless_a_writer_is_at_work(
    local_house: LocalHouse, half: bytes
) -> None:
    local_house.publish(ANN)
    local_house.stage(BOB).directory.release()
    local_house.write("metadata/00001-a.metadata.json", half)
    with another_process_stages(local_house):
        local_house.clear_up()
        assert local_house.strays == {"00001-a.metadata.json"}
    local_house.clear_up()
    assert local_house.strays == set()
    assert local_house.everybody_reads([ANN])


def test_in_s3_what_a_crashed_run_left_is_removed_once_no_run_can_be_writing_it(
    glue_house: House, request: pytest.FixtureRequest
) -> None:
    glue_house.publish(ANN)
    published = glue_house.paths
    crashed = glue_house.stage(BOB).directory.name
    glue_house.clear_up()
    assert glue_house.folders > {crashed, f".{crashed}.staging"}
    request.getfixturevalue("days_later")
    glue_house.clear_up()
    assert glue_house.paths == published


MAGIC = ("__magic_job-1/", "__magic_job-1/tasks/attempt_1/__base/", "__magic_job-1/job-1/task_1.pendingset")


@pytest.mark.parametrize("left", MAGIC)
@pytest.mark.usefixtures("days_later")
def test_what_s3as_committer_leaves_of_a_dead_run_is_removed(glue_house: GlueHouse, left: str) -> None:
    glue_house.publish(ANN)
    before = glue_house.keys
    name = f"0f0f0f0f-{uuid.uuid4()}"
    glue_house.write(note(name))
    glue_house.write(f"data/{name}/{left}")
    glue_house.clear_up()
    assert glue_house.keys == before


def test_a_run_that_was_taken_for_dead_publishes_nothing(glue_house: House, request: pytest.FixtureRequest) -> None:
    """It would publish a version whose files are gone."""
    glue_house.publish(ANN)
    before = glue_house.paths
    with glue_house.stage(BOB) as late:
        request.getfixturevalue("days_later")
        clears = glue_house.lakehouse.staging_dir("walks")
        removed = type(clears)._remove

        def publish_meanwhile(directory: StagingDir, live: Collection[str]) -> None:
            with pytest.raises(LakehouseError, match="another one has taken over its lock") as refused:
                glue_house.lakehouse.publish(late, {})
            assert refused.value.allow_retries
            removed(directory, live)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(clears), "_remove", publish_meanwhile)
            clears.remove_leftovers(set)
    assert glue_house.paths == before
    assert glue_house.everybody_reads([ANN])


@pytest.mark.parametrize("rows", [[], [ANN]], ids=["an empty version", "a full one"])
@pytest.mark.usefixtures("days_later")
def test_a_run_that_crashed_right_after_its_commit_loses_nothing(house: House, rows: list[Row]) -> None:
    published = house.publish(*rows)
    house.write(note(published.properties["stedi.staged-in"]))
    paths = house.paths
    house.clear_up()
    assert house.paths == paths - {note(published.properties["stedi.staged-in"])}
    assert house.everybody_reads(rows)


def test_what_a_crashed_run_of_the_version_before_left_is_removed_too(local_house: LocalHouse) -> None:
    """Its note was a `.…lock`, and was never looked at again: names and addresses lay there for good."""
    published = local_house.publish(ANN)
    before = local_house.paths
    name = f"0f0f0f0f-{uuid.uuid4()}"
    for path in (f"data/.{name}.lock", f"data/{name}/part-0.parquet", f"metadata/{name[9:]}-m0.avro"):
        local_house.write(path, b"eve")
    local_house.write(f"data/.{published.properties['stedi.staged-in']}.lock")
    with (local_house.table / f"data/.{name}.lock").open() as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        local_house.clear_up()
        assert name in local_house.folders
    local_house.clear_up()
    assert local_house.paths == before
    assert local_house.everybody_reads([ANN])


@pytest.mark.usefixtures("days_later")
def test_files_that_another_version_has_taken_over_are_no_leftover(house: House) -> None:
    """What Athena's INSERT and VACUUM leave: a version that is made of the files of one that is gone."""
    first = house.publish(ANN)
    table = house.iceberg
    table.append(house.frame(BOB).toArrow().cast(table.schema().as_arrow()))
    table.maintenance.expire_snapshots().by_id(first.snapshot_id).commit()
    house.write(note(first.properties["stedi.staged-in"]))
    house.clear_up()
    # As any reader of Iceberg does; the engine would not read PyIceberg's own files, whose texts are of another kind.
    assert {row["user"] for row in house.iceberg.scan().to_arrow().to_pylist()} == {ANN[0], BOB[0]}


@pytest.mark.usefixtures("days_later")
def test_what_is_left_of_a_version_that_is_gone_stays_while_another_one_has_it(house: House) -> None:
    """The folder of the days that a commit did not replace, long after the version that they were staged for."""
    days = [("ann", DAY_MS), ("bob", 2 * DAY_MS)]
    first = house.publish(*days, table=STRIDES)
    house.replace({2 * DAY_MS}, onto=first.snapshot_id)
    house.iceberg.maintenance.expire_snapshots().by_id(first.snapshot_id).commit()
    house.write(note(first.properties["stedi.staged-in"]))
    house.clear_up()
    assert house.rows(STRIDES) == days[:1]


@pytest.mark.usefixtures("days_later")
def test_folders_that_no_run_left_are_not_touched(house: House) -> None:
    """Another engine's, or those of a catalog that was lost and may come back."""
    house.publish(ANN)
    house.write("data/day=1/x.parquet")
    before = house.paths
    house.lose_the_table()
    house.publish(BOB)
    house.publish(EVE)
    assert house.paths > before


def test_a_version_published_while_another_run_clears_up_keeps_its_files(
    local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who clears up has seen the note; then the version is published and its lock let go."""
    local_house.publish(ANN)
    staged = local_house.stage(BOB)
    waiting, take = [staged], locks.try_lock

    def meanwhile(path: Path) -> int | None:
        if waiting and staged.directory.name in path.name:
            local_house.lakehouse.publish(waiting.pop(), {})
        return take(path)

    monkeypatch.setattr(staging, "try_lock", meanwhile)
    local_house.clear_up()
    assert not waiting
    assert local_house.folders == {one.properties["stedi.staged-in"] for one in local_house.lakehouse.history("walks")}
    assert local_house.everybody_reads([BOB])


def test_a_note_that_was_caught_before_it_was_locked_guards_nothing_and_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who clears up may catch a note between its making and its locking, and another one after that."""
    lock, caught = fcntl.flock, list[Path]()

    def meanwhile(descriptor: int, operation: int) -> None:
        if len(caught) < 2:
            (path,) = tmp_path.glob("data/.*.staging")
            path.unlink()
            if caught:
                path.touch()
            caught.append(path)
        lock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", meanwhile)
    directory = StagingDir(PyArrowFileIO(), str(tmp_path))
    folder = Path(directory.open("run"))
    monkeypatch.undo()
    assert f".{directory.name}.staging" not in {path.name for path in caught}
    folder.mkdir()
    StagingDir(PyArrowFileIO(), str(tmp_path)).remove_leftovers(set)
    assert folder.is_dir()


def test_a_folder_tells_which_run_it_is_of_and_only_the_engines_data_files_are_staged(tmp_path: Path) -> None:
    directory = StagingDir(PyArrowFileIO(), str(tmp_path))
    folder = Path(directory.open("0123456789"))
    assert folder.name.startswith("01234567-")
    folder.mkdir()
    wanted = ("_day=-1/a.parquet", "_day=20000/c.parquet", "b.parquet")
    others = ("_SUCCESS", ".b.parquet.crc", "_c.parquet", ".d.parquet", "_temporary/0/e.parquet")
    for name in (*wanted, *others):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert list(directory.data_files) == [f"file://{folder}/{name}" for name in wanted]


# A clean-up that storage refuses


class NothingGoes:
    """A file system where everything can be done but remove something."""

    def __init__(self, files: FileSystem) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name) if not name.startswith("delete") else self.refuse

    def refuse(self, path: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


def publish(house: LocalHouse) -> None:
    house.publish(BOB)


def break_off(house: LocalHouse) -> None:
    with pytest.raises(KeyError, match="mine"), house.stage(BOB):
        raise KeyError("mine")


def compute_what_cannot_be(house: LocalHouse) -> None:
    broken = house.spark.sql("select raise_error('mine') as user, cast(1 as bigint) as steps")
    with pytest.raises(Exception, match="mine"):
        house.lakehouse.stage([broken], WALKS, "run")


@pytest.mark.parametrize(("run", "served"), [(publish, [BOB]), (break_off, [ANN]), (compute_what_cannot_be, [ANN])])
def test_a_clean_up_that_is_refused_is_logged_once_and_done_by_the_next_run(
    local_house: LocalHouse,
    caplog: pytest.LogCaptureFixture,
    run: Callable[[LocalHouse], None],
    served: list[Row],
) -> None:
    """It said «Could not finish the step: Read-only file system» after the tables were published, or of another end."""
    local_house.publish(ANN)
    files = StagingDir._files.fget
    assert files is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StagingDir, "_files", property(lambda self: NothingGoes(files(self))))
        run(local_house)
    [warning] = caplog.messages
    assert warning.startswith("Could not clear up ")
    assert warning.endswith("The next run tries again.")
    assert local_house.everybody_reads(served)
    assert any(name.startswith(".") for name in local_house.folders)
    local_house.clear_up()
    assert local_house.folders == {one.properties["stedi.staged-in"] for one in local_house.lakehouse.history("walks")}
