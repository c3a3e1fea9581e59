"""A table's new version is invisible until it is published, published in one commit, or leaves no trace."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import LakehouseError
from resources.iceberg.catalogs import LocalLakehouse
from resources.iceberg.staging import StagingDir
from resources.iceberg.version import Staged, Version
from tests.resources.writers import hold_to_the_history, publish_at_once
from tests.support import ROOT

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    meaning: str = ""
    personal: bool = False


@dataclass(frozen=True)
class Table:
    """All that the lakehouse needs to know of a table."""

    name: str
    columns: tuple[Column, ...]


USER, STEPS, SPEED = Column("user", "string", "Whose"), Column("steps", "bigint", "How many"), Column("speed", "double")
WALKS = Table("walks", (USER, STEPS))
ANN, BOB, EVE = ("ann", 1), ("bob", 2), ("eve", None)
Row = tuple[Any, ...]


@dataclass
class House:
    """A lakehouse in a temporary folder, and the engine that fills it."""

    root: Path
    spark: SparkSession

    @property
    def lakehouse(self) -> LocalLakehouse:
        """Another process's view of it: nothing is shared but the files."""
        return LocalLakehouse(root=str(self.root), namespace="stedi")

    @property
    def data(self) -> Path:
        return self.root / "stedi" / "walks" / "data"

    @property
    def folders(self) -> set[str]:
        """Every folder and lock beside the published files, hidden ones too."""
        return {path.name for path in self.data.iterdir()} if self.data.is_dir() else set()

    @property
    def iceberg(self) -> IcebergTable:
        """The table as any other Iceberg reader opens it: from the catalog alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        return SqlCatalog("stedi", uri=f"sqlite:///{self.root}/catalog.db").load_table("stedi.walks")

    @property
    def strays(self) -> set[str]:
        """Files in the catalog's own folder that no version of the table needs."""
        table = self.iceberg
        needed = {entry.metadata_file for entry in table.metadata.metadata_log} | {table.metadata_location}
        for snapshot in table.metadata.snapshots:
            needed |= {snapshot.manifest_list, *(one.manifest_path for one in snapshot.manifests(table.io))}
        return {path.name for path in (self.data.with_name("metadata")).iterdir()} - {
            path.rpartition("/")[2] for path in needed
        }

    def frame(self, *rows: Row, table: Table = WALKS) -> DataFrame:
        ddl = ", ".join(f"{column.name} {column.type}" for column in table.columns)
        return self.spark.createDataFrame(list(rows), ddl)

    def stage(self, *rows: Row, table: Table = WALKS, run_id: str = "run") -> Staged:
        return self.lakehouse.stage(self.frame(*rows, table=table), table, run_id)

    def publish(self, *rows: Row, table: Table = WALKS) -> Version:
        return self.lakehouse.publish(self.stage(*rows, table=table), {"stedi.run-id": "r1"})

    def rows(self, table: Table = WALKS, snapshot_id: int | None = None) -> list[Row]:
        frame, _ = self.lakehouse.read(self.spark, table, snapshot_id)
        return sorted((tuple(row) for row in frame.collect()), key=repr)


@pytest.fixture
def house(tmp_path: Path, spark: SparkSession) -> House:
    return House(tmp_path / "lakehouse", spark)


def arrow_rows(table: pa.Table) -> list[Row]:
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)


# Publishing


def test_staged_rows_are_invisible_until_they_are_published(house: House) -> None:
    house.publish(ANN)
    staged = house.stage(BOB, EVE)
    assert house.rows() == [ANN]
    assert arrow_rows(house.iceberg.scan().to_arrow()) == [ANN]
    assert [version.rows for version in house.lakehouse.history("walks")] == [1]
    house.lakehouse.publish(staged, {})
    assert house.rows() == [BOB, EVE]


def test_the_audits_can_read_what_is_staged(house: House) -> None:
    staged = house.stage(BOB, EVE)
    rows = house.lakehouse.read_staged(house.spark, staged).collect()
    assert sorted(tuple(row) for row in rows) == [BOB, EVE]
    assert staged.rows == 2
    assert staged.columns == [("user", "string"), ("steps", "bigint")]


def test_a_version_is_one_snapshot_that_carries_its_origin(house: House) -> None:
    house.publish(ANN)
    published = house.lakehouse.publish(house.stage(BOB), {"stedi.run-id": "r2", "stedi.consent": "customer"})
    snapshots = house.iceberg.metadata.snapshots
    assert len(snapshots) == 2
    assert snapshots[-1].summary is not None
    assert snapshots[-1].summary.operation.value == "overwrite"
    assert snapshots[-1].parent_snapshot_id == snapshots[0].snapshot_id
    assert published.properties["stedi.run-id"] == "r2"
    assert published.properties["stedi.consent"] == "customer"
    assert house.lakehouse.version("walks") == published


def test_what_the_commit_says_is_what_is_there(house: House) -> None:
    for rows in ([ANN, BOB, EVE], [BOB], [], [ANN, ANN]):
        published = house.publish(*rows)
        files = [Path(task.file.file_path.removeprefix("file://")) for task in house.iceberg.scan().plan_files()]
        assert published.rows == len(rows) == len(house.rows())
        assert published.size == sum(path.stat().st_size for path in files)
        assert published.files == len(files)
        snapshot = house.iceberg.current_snapshot()
        assert snapshot is not None
        assert published.snapshot_id == snapshot.snapshot_id
        assert published.committed_ms == snapshot.timestamp_ms


def test_publishing_again_replaces_the_rows_and_keeps_the_history(house: House) -> None:
    first, second = house.publish(ANN, BOB), house.publish(EVE)
    assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == [EVE]
    assert house.lakehouse.history("walks") == [first, second]
    assert house.rows(snapshot_id=first.snapshot_id) == [ANN, BOB]


def test_a_version_that_is_no_more_is_never_taken_for_the_newest(house: House) -> None:
    house.publish(ANN)
    with pytest.raises(LakehouseError, match=r"walks.* 4711"):
        house.rows(snapshot_id=4711)


def test_a_reader_that_planned_before_keeps_reading_its_version(house: House) -> None:
    house.publish(ANN, BOB)
    frame, version = house.lakehouse.read(house.spark, WALKS)
    plan = house.iceberg.scan()
    house.publish(EVE)
    house.publish(ANN)
    assert sorted(tuple(row) for row in frame.collect()) == [ANN, BOB]
    assert version.rows == 2
    assert arrow_rows(plan.to_arrow()) == [ANN, BOB]


def test_the_first_publication_makes_the_table_and_its_rows_in_one_commit(house: House) -> None:
    staged = house.stage(ANN)
    assert house.lakehouse.load("walks") is None
    house.lakehouse.publish(staged, {})
    (metadata,) = (house.root / "stedi" / "walks" / "metadata").glob("*.metadata.json")
    assert len(json.loads(metadata.read_text())["snapshots"]) == 1


def test_an_empty_frame_publishes_an_empty_table(house: House) -> None:
    published = house.publish()
    assert (published.rows, published.files, published.size) == (0, 0, 0)
    assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == []
    house.publish(ANN)
    assert house.publish().rows == 0
    assert house.rows() == []


def test_every_reader_finds_format_version_2_and_columns_by_name(house: House) -> None:
    house.publish(ANN)
    table = house.iceberg
    assert table.format_version == 2
    mapping = json.loads(table.properties["schema.name-mapping.default"])
    assert mapping == [{"field-id": 1, "names": ["user"]}, {"field-id": 2, "names": ["steps"]}]
    assert [(field.name, str(field.field_type), field.doc) for field in table.schema().fields] == [
        ("user", "string", "Whose"),
        ("steps", "long", "How many"),
    ]


values = st.tuples(
    st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=6))
def test_any_rows_are_read_as_they_were_published_by_the_engine_and_by_other_readers(
    house: House, rows: list[Row]
) -> None:
    table = Table("walks", (USER, STEPS, SPEED))
    assert house.publish(*rows, table=table).rows == len(rows)
    assert house.rows(table) == arrow_rows(house.iceberg.scan().to_arrow()) == sorted(rows, key=repr)


@pytest.mark.parametrize("name", ["my lake", "Müller ☃", "100%", "100%20", "day=1", "a+b&c;d", 'it\'s "it"'])
def test_the_lakehouse_may_lie_in_a_folder_of_any_name(tmp_path: Path, spark: SparkSession, name: str) -> None:
    house = House(tmp_path / name / "lakehouse", spark)
    house.publish(ANN, BOB)
    house.publish(BOB)
    assert house.rows() == [BOB]
    iceberg = house.lakehouse.load("walks")
    assert iceberg is not None
    assert arrow_rows(iceberg.scan().to_arrow()) == [BOB]
    assert [path.name for path in tmp_path.iterdir()] == [name]


# Reading what cannot be read


def test_a_table_that_was_never_published_says_so(house: House) -> None:
    house.stage(ANN)
    for sentence in (partial(house.rows), partial(house.rows, snapshot_id=1)):
        with pytest.raises(LakehouseError) as stopped:
            sentence()
        assert str(stopped.value.description) == f"walks has never been published in {house.root}."
        assert not stopped.value.allow_retries
    assert house.lakehouse.version("walks") is None
    assert house.lakehouse.history("walks") == []


def delete_first_row(table: IcebergTable, path: Path) -> None:
    """Delete a row as another engine does: by a file that names its place, beside the data file.

    PyIceberg writes no such file by itself, but commits one, so that the plan is what its own planner makes of it.
    """
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    (task,) = table.scan().plan_files()
    ids = {"file_path": b"2147483546", "pos": b"2147483545"}
    schema = pa.schema(
        [
            pa.field("file_path", pa.string(), nullable=False, metadata={b"PARQUET:field_id": ids["file_path"]}),
            pa.field("pos", pa.int64(), nullable=False, metadata={b"PARQUET:field_id": ids["pos"]}),
        ]
    )
    pq.write_table(pa.table({"file_path": [task.file.file_path], "pos": [0]}, schema=schema), path)
    deletes = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=path.as_uri(),
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=path.stat().st_size,
    )
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        append.append_data_file(deletes)


def test_rows_that_another_engine_deleted_are_never_brought_back(house: House) -> None:
    house.publish(ANN, BOB, EVE)
    delete_first_row(house.iceberg, house.root / "deletes.parquet")
    assert house.iceberg.scan().to_arrow().num_rows == 2
    with pytest.raises(LakehouseError, match="walks carries row deletes"):
        house.rows()
    house.publish(BOB)
    assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == [BOB]


# Two writers


@pytest.mark.parametrize("before", [None, [], [ANN]], ids=["never published", "empty", "full"])
@pytest.mark.parametrize("first", [[], [BOB]], ids=["the first publishes nothing", "the first publishes rows"])
def test_of_two_writers_the_second_is_refused_and_leaves_no_file(
    house: House, before: list[Row] | None, first: list[Row]
) -> None:
    if before is not None:
        house.publish(*before)
    one, two = house.stage(*first), house.stage(EVE, EVE)
    kept = house.folders - {two.directory.name, f".{one.directory.name}.staging", f".{two.directory.name}.lock"}
    published = house.lakehouse.publish(one, {})
    with pytest.raises(LakehouseError) as refused:
        house.lakehouse.publish(two, {})
    assert "walks" in str(refused.value.description)
    assert "Materialize walks again" in str(refused.value.description)
    assert refused.value.allow_retries
    assert house.folders == kept
    assert house.lakehouse.version("walks") == published
    assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == first


@pytest.mark.parametrize("before", [None, [ANN]], ids=["never published", "published"])
def test_a_writer_that_is_faster_by_a_moment_wins(
    house: House, before: list[Row] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is not None:
        house.publish(*before)
    faster, lakehouse = house.stage(BOB), house.lakehouse
    slower = lakehouse.stage(house.frame(EVE), WALKS, "run")
    write = lakehouse.catalog._write_metadata

    def meanwhile(*arguments: Any, **options: Any) -> None:
        """Between the slower one's last look at the catalog and its commit."""
        write(*arguments, **options)
        house.lakehouse.publish(faster, {})

    monkeypatch.setattr(lakehouse.catalog, "_write_metadata", meanwhile)
    with pytest.raises(LakehouseError, match="at the same time"):
        lakehouse.publish(slower, {})
    assert slower.directory.name not in house.folders
    assert house.rows() == [BOB]


def test_a_new_shape_is_refused_too_if_another_writer_was_faster(house: House) -> None:
    house.publish(ANN)
    wide = Table("walks", (USER, STEPS, SPEED))
    one, two = house.stage(BOB), house.stage(("eve", 1, 1.5), table=wide)
    house.lakehouse.publish(one, {})
    with pytest.raises(LakehouseError):
        house.lakehouse.publish(two, {})
    assert house.iceberg.schema().column_names == ["user", "steps"]
    assert house.rows() == [BOB]


# A commit of which nobody knows whether it arrived


@pytest.fixture(params=[None, [ANN]], ids=["never published", "published"])
def before(request: pytest.FixtureRequest, house: House) -> list[Row]:
    if request.param:
        house.publish(*request.param)
    rows: list[Row] = request.param or []
    return rows


def break_the_connection(monkeypatch: pytest.MonkeyPatch, *, arrives: bool, again: bool) -> None:
    """The commit arrives or not, and in either case its answer is an error; after that, nothing works, or all does."""
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.orm import Session

    commit, scalar, broken = Session.commit, Session.scalar, list[bool]()

    def send(session: Session) -> None:
        if arrives:
            commit(session)
        broken.append(True)
        raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    def ask(session: Session, *arguments: Any, **options: Any) -> Any:
        if broken and not again:
            raise OperationalError("SELECT", None, Exception("disk I/O error"))
        return scalar(session, *arguments, **options)

    monkeypatch.setattr(Session, "commit", send)
    monkeypatch.setattr(Session, "scalar", ask)  # how a table is looked up


def test_a_commit_that_arrived_although_its_answer_was_lost_is_a_commit(
    house: House, before: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, lakehouse = house.stage(BOB), house.lakehouse
    assert lakehouse.load("walks") is not None or not before  # its catalog is open
    break_the_connection(monkeypatch, arrives=True, again=True)
    version = lakehouse.publish(staged, {})
    monkeypatch.undo()
    assert version == house.lakehouse.version("walks")
    assert f".{staged.directory.name}.staging" not in house.folders
    assert house.rows() == [BOB]


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost"])
def test_files_that_may_be_live_stay_until_the_next_run_knows(
    house: House, before: list[Row], arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, lakehouse = house.stage(BOB), house.lakehouse
    assert lakehouse.load("walks") is not None or not before
    break_the_connection(monkeypatch, arrives=arrives, again=False)
    with pytest.raises(LakehouseError, match="Could not publish walks"):
        lakehouse.publish(staged, {})
    monkeypatch.undo()
    assert staged.directory.name in house.folders
    if arrives:
        assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == [BOB]
    elif before:
        assert house.rows() == before
    house.publish(EVE)
    assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == [EVE]
    assert (staged.directory.name in house.folders) is arrives  # an older version is made of it
    assert house.strays == set()


def test_a_refused_commit_leaves_nothing_in_the_catalogs_folder_either(house: House, before: list[Row]) -> None:
    one, two = house.stage(BOB), house.stage(EVE)
    house.lakehouse.publish(one, {})
    with pytest.raises(LakehouseError, match="at the same time"):
        house.lakehouse.publish(two, {})
    assert house.strays == set()


@pytest.mark.parametrize("half", [b"", b'{"format-version": 2, "snapshots": [{}'])
def test_what_a_commit_wrote_by_half_is_removed_unless_a_writer_is_at_work(house: House, half: bytes) -> None:
    house.publish(ANN)
    notes = house.data.with_name("metadata") / "00001-a.metadata.json"
    (house.data / ".crashed.staging").touch()
    notes.write_bytes(half)
    with another_process_stages(house.data):
        house.stage(BOB).directory.discard()
        assert notes.exists()
    house.stage(BOB).directory.discard()
    assert house.strays == set()
    assert house.rows() == [ANN]


def test_folders_that_no_run_left_are_not_touched(house: House) -> None:
    """Another engine's, or those of a catalog that was lost and may come back."""
    house.publish(ANN)
    (house.data / "day=1").mkdir()
    (house.root / "catalog.db").rename(house.root / "kept.db")
    house.publish(BOB)
    (house.root / "kept.db").replace(house.root / "catalog.db")
    assert house.rows() == [ANN]
    assert "day=1" in house.folders


# Not publishing


def test_discarding_removes_the_staged_files_and_leaves_the_published_version(house: House) -> None:
    house.publish(ANN)
    before = house.folders
    staged = house.stage(BOB)
    assert house.folders > before
    staged.directory.discard()
    staged.directory.discard()
    assert house.folders == before
    assert house.rows() == [ANN]


def test_discarding_after_publishing_removes_nothing(house: House) -> None:
    staged = house.stage(ANN)
    house.lakehouse.publish(staged, {})
    before = house.folders
    staged.directory.discard()
    assert house.folders == before == {staged.directory.name}
    assert house.rows() == [ANN]


def test_a_frame_that_cannot_be_computed_leaves_no_file(house: House) -> None:
    house.publish(ANN)
    before = house.folders
    broken = house.spark.sql("select raise_error('no') as user, cast(1 as bigint) as steps")
    with pytest.raises(Exception, match="no"):
        house.lakehouse.stage(broken, WALKS, "run")
    assert house.folders == before
    assert house.rows() == [ANN]


def test_a_publication_that_fails_for_another_reason_is_cleared_by_the_next_run(house: House) -> None:
    """Whether such a commit arrived is unknown, so its files stay until the table itself tells."""
    house.publish(ANN)
    staged = house.stage(BOB)
    Path(staged.files[0]).write_bytes(b"no Parquet")
    with pytest.raises(Exception, match=r"[Pp]arquet"):
        house.lakehouse.publish(staged, {})
    assert house.rows() == [ANN]
    house.publish(EVE)
    assert staged.directory.name not in house.folders
    assert house.rows() == [EVE]


# What crashed runs leave behind

WRITER = """
import sys, time
from pathlib import Path
from resources.iceberg.staging import StagingDir
area = StagingDir(Path(sys.argv[1]))
folder = Path(area.open("crashed"))
folder.mkdir()
(folder / "part-0.parquet").write_bytes(b"half")
print(area.name, flush=True)
time.sleep(60)
"""


@contextmanager
def another_process_stages(data: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A run in another process, in the middle of staging; and how to kill it as the machine would."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, data], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
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


def test_the_next_run_removes_what_a_crashed_one_left_and_nothing_of_a_living_one(house: House) -> None:
    house.publish(ANN)
    house.publish(BOB)
    published = house.folders
    with another_process_stages(house.data) as (name, kill):
        both = published | {name, f".{name}.staging"}
        assert house.folders == both
        house.stage(EVE).directory.discard()
        assert house.folders == both
        kill()
        assert house.folders == both
        house.stage(EVE).directory.discard()
        assert house.folders == published
    assert house.rows() == [BOB]
    assert len(house.lakehouse.history("walks")) == 2


def test_a_run_that_crashed_right_after_its_commit_loses_nothing(house: House) -> None:
    published = house.publish(ANN)
    (house.data / f".{published.properties['stedi.staged-in']}.staging").touch()
    house.stage(BOB).directory.discard()
    assert house.folders == {published.properties["stedi.staged-in"]}
    assert house.rows() == [ANN]


def test_a_lock_without_a_folder_is_removed(house: House) -> None:
    house.publish(ANN)
    (house.data / ".crashed-early.staging").touch()
    house.stage(BOB).directory.discard()
    assert ".crashed-early.staging" not in house.folders


def test_a_version_published_while_another_run_clears_up_keeps_its_files(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who clears up has seen the lock; then the version is published and its lock let go."""
    house.publish(ANN)
    staged = house.stage(BOB)
    waiting = [staged]
    find = Path.glob

    def meanwhile(path: Path, pattern: str) -> Iterator[Path]:
        found = list(find(path, pattern))
        while waiting and pattern == ".*.staging":
            house.lakehouse.publish(waiting.pop(), {})
        return iter(found)

    monkeypatch.setattr(Path, "glob", meanwhile)
    late = house.stage(EVE)
    assert not waiting
    assert house.rows() == [BOB]
    late.directory.discard()


def test_a_lock_on_a_file_that_was_removed_meanwhile_guards_nothing_and_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who clears up may catch a lock file between its making and its locking, and another one after that."""
    lock, caught = fcntl.flock, list[Path]()

    def meanwhile(descriptor: int, operation: int) -> None:
        if len(caught) < 2:
            (path,) = tmp_path.glob(".*.staging")
            path.unlink()
            if caught:
                path.touch()
            caught.append(path)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    area = StagingDir(tmp_path)
    area.open("run")
    monkeypatch.undo()
    assert f".{area.name}.staging" not in {path.name for path in caught}
    (tmp_path / area.name).mkdir()
    StagingDir(tmp_path).remove_leftovers(set)
    assert (tmp_path / area.name).is_dir()
    area.discard()


def test_folders_tell_which_run_they_are_of_and_never_meet(tmp_path: Path) -> None:
    areas = [StagingDir(tmp_path) for _ in range(3)]
    names = [Path(area.open("0123456789")).name for area in areas]
    assert len(set(names)) == 3
    assert all(name.startswith("01234567-") for name in names)
    for area in areas:
        area.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_engines_data_files_are_staged(tmp_path: Path) -> None:
    area = StagingDir(tmp_path)
    folder = Path(area.open("run"))
    folder.mkdir()
    for name in ("b.parquet", "a.parquet", "_SUCCESS", ".a.parquet.crc", "_c.parquet", ".d.parquet"):
        (folder / name).touch()
    assert [Path(path).name for path in area.data_files()] == ["a.parquet", "b.parquet"]
    area.discard()


# Tables that change their shape

SHAPES = {
    "a column more": ((USER, STEPS, SPEED), [("bob", 2, 1.5)]),
    "a column less": ((USER,), [("bob",)]),
    "another type": ((USER, Column("steps", "double")), [("bob", 2.5)]),
    "another order": ((STEPS, USER), [(2, "bob")]),
    "another meaning": ((USER, Column("steps", "bigint", "How many steps")), [("bob", 2)]),
    "all at once": ((SPEED, Column("steps", "string"), Column("at", "bigint")), [(1.5, "two", 3)]),
    "all columns anew": ((Column("at", "bigint"),), [(3,)]),
}


@pytest.mark.parametrize(("columns", "rows"), SHAPES.values(), ids=SHAPES)
def test_a_new_shape_arrives_with_its_rows_in_one_commit(
    house: House, columns: tuple[Column, ...], rows: list[Row]
) -> None:
    old = house.publish(ANN)
    shape = Table("walks", columns)
    staged = house.stage(*rows, table=shape)
    assert house.iceberg.schema().column_names == ["user", "steps"]
    commits = len(house.iceberg.metadata.metadata_log)
    house.lakehouse.publish(staged, {})
    table = house.iceberg
    assert len(table.metadata.metadata_log) == commits + 1
    types = {"string": "string", "bigint": "long", "double": "double"}
    assert [(field.name, str(field.field_type), field.doc or "") for field in table.schema().fields] == [
        (column.name, types[column.type], column.meaning) for column in columns
    ]
    assert house.rows(shape) == arrow_rows(table.scan().to_arrow()) == rows
    assert house.rows(WALKS, old.snapshot_id) == [ANN]


def test_a_column_that_was_removed_is_still_in_the_older_versions_for_every_reader(house: House) -> None:
    old = house.publish(ANN)
    house.publish(("bob",), table=Table("walks", (USER,)))
    assert arrow_rows(house.iceberg.scan(snapshot_id=old.snapshot_id).to_arrow()) == [ANN]


def test_a_column_that_comes_back_is_a_new_one_and_brings_no_old_values(house: House) -> None:
    house.publish(ANN)
    house.publish(("bob",), table=Table("walks", (USER,)))
    house.publish(EVE)
    assert house.rows() == arrow_rows(house.iceberg.scan().to_arrow()) == [EVE]


def test_the_same_shape_again_is_no_change_of_shape(house: House) -> None:
    house.publish(ANN)
    house.publish(BOB)
    assert len(house.iceberg.metadata.schemas) == 1


column_names: Sequence[str] = ("user", "steps", "speed", "at")
shapes = st.lists(
    st.builds(Column, st.sampled_from(column_names), st.sampled_from(["string", "bigint", "double"])),
    min_size=1,
    max_size=4,
    unique_by=lambda column: column.name,
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(shapes, min_size=2, max_size=3))
def test_a_table_may_change_from_any_shape_to_any_other(house: House, history: list[list[Column]]) -> None:
    samples = {"string": "x", "bigint": 7, "double": 0.5}
    for columns in history:
        row = tuple(samples[column.type] for column in columns)
        house.publish(row, table=Table("walks", tuple(columns)))
        table = house.iceberg
        assert table.schema().column_names == [column.name for column in columns]
        assert arrow_rows(table.scan().to_arrow()) == [row]


def test_a_data_file_that_is_gone_is_told_and_not_taken_for_an_empty_one(house: House) -> None:
    house.publish(ANN, BOB)
    for path in house.data.rglob("*.parquet"):
        path.unlink()
    with pytest.raises(LakehouseError) as told:
        house.rows()
    assert "data files of walks are gone" in str(told.value.description)


@pytest.mark.slow
def test_of_many_writers_every_commit_is_in_the_history_or_reported_as_a_conflict(
    house: House, rounds: Callable[[int, int], int]
) -> None:
    house.publish(ANN)
    told = publish_at_once(house.lakehouse, rounds(3, 5), rounds(5, 10))
    hold_to_the_history(told, house.iceberg)
    assert house.strays == set()
    assert len(house.folders) == len(house.iceberg.metadata.snapshots)


def test_of_two_first_runs_one_makes_the_catalog_and_the_other_waits_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes when the first one has seen that nothing is there yet."""
    from pyiceberg.catalog.sql import SqlCatalog

    look, others = SqlCatalog.namespace_exists, list[threading.Thread]()

    def meanwhile(self: SqlCatalog, namespace: Any) -> bool:
        found = look(self, namespace)
        if not others:
            others.append(threading.Thread(target=lambda: opened.append(house.lakehouse.catalog)))
            others[0].start()
            others[0].join(0.5)
        return found

    opened: list[Any] = []
    monkeypatch.setattr(SqlCatalog, "namespace_exists", meanwhile)
    opened.append(house.lakehouse.catalog)
    others[0].join()
    assert [catalog.list_namespaces() for catalog in opened] == [[("stedi",)], [("stedi",)]]
