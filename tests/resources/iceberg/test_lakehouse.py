"""A table's new version is invisible until it is published, and is then what every reader finds, in its own shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import LakehouseError
from tests.resources.iceberg.house import (
    ANN,
    BOB,
    EVE,
    SPEED,
    STEPS,
    USER,
    WALKS,
    WIDE,
    Column,
    House,
    LocalHouse,
    Row,
    Table,
    arrow_rows,
)

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

# Publishing


def test_staged_rows_are_for_the_checks_alone_until_they_are_published(house: House) -> None:
    first = house.publish(ANN)
    staged = house.stage(BOB, EVE)
    assert sorted(map(tuple, house.lakehouse.read_staged(house.spark, staged).collect())) == [BOB, EVE]
    assert (staged.rows, staged.columns) == (2, [("user", "string"), ("steps", "bigint")])
    assert house.everybody_reads([ANN])
    assert house.lakehouse.history("walks") == [first]
    second = house.lakehouse.publish(staged, {})
    assert house.everybody_reads([BOB, EVE])
    assert house.lakehouse.history("walks") == [first, second]
    assert house.rows(snapshot_id=first.snapshot_id) == [ANN]


def test_a_version_is_one_snapshot_that_carries_its_origin(house: House) -> None:
    house.publish(ANN)
    published = house.lakehouse.publish(house.stage(BOB), {"stedi.run-id": "r2", "stedi.consent": "customer"})
    first, second = house.iceberg.metadata.snapshots
    assert second.summary is not None
    assert second.summary.operation.value == "overwrite"
    assert second.parent_snapshot_id == first.snapshot_id
    assert published.properties["stedi.run-id"] == "r2"
    assert published.properties["stedi.consent"] == "customer"
    assert house.lakehouse.version("walks") == published


def test_what_the_commit_says_is_what_is_there(house: House) -> None:
    for rows in ([], [ANN, BOB, EVE], [], [ANN, ANN]):
        published = house.publish(*rows)
        table = house.iceberg
        files = [task.file for task in table.scan().plan_files()]
        assert house.everybody_reads(rows)
        assert published.rows == len(rows)
        assert published.size == sum(len(table.io.new_input(file.file_path)) for file in files)
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert (published.snapshot_id, published.committed_ms) == (snapshot.snapshot_id, snapshot.timestamp_ms)
    assert len(table.metadata.schemas) == 1


def test_a_version_that_is_no_more_is_never_taken_for_the_newest(local_house: House) -> None:
    local_house.publish(ANN)
    with pytest.raises(LakehouseError, match=r"walks.* 4711"):
        local_house.rows(snapshot_id=4711)


def test_a_reader_that_planned_before_keeps_reading_its_version(house: House) -> None:
    house.publish(ANN, BOB)
    found = house.lakehouse.read(house.spark, WALKS)
    plan = house.iceberg.scan()
    house.publish(EVE)
    house.publish(ANN)
    assert found is not None
    assert sorted(tuple(row) for row in found[0].collect()) == [ANN, BOB]
    assert found[1].rows == 2
    assert arrow_rows(plan.to_arrow()) == [ANN, BOB]


def test_the_first_publication_makes_the_table_and_its_rows_in_one_commit(house: House) -> None:
    staged = house.stage(ANN)
    assert house.lakehouse.load("walks") is None
    house.lakehouse.publish(staged, {})
    assert len([path for path in house.paths if path.endswith(".metadata.json")]) == 1
    assert len(house.iceberg.metadata.snapshots) == 1


def test_every_reader_finds_format_version_2_and_columns_by_name(house: House) -> None:
    house.publish(ANN)
    table = house.iceberg
    assert table.location() == house.lakehouse.uri("walks")
    assert table.format_version == 2
    mapping = json.loads(table.properties["schema.name-mapping.default"])
    assert mapping == [{"field-id": 1, "names": ["user"]}, {"field-id": 2, "names": ["steps"]}]
    assert [(field.name, str(field.field_type), field.doc) for field in table.schema().fields] == [
        ("user", "string", "Whose"),
        ("steps", "long", "How many"),
    ]


def test_what_a_personal_column_holds_is_in_no_manifest(house: House) -> None:
    """Iceberg keeps each file's least and greatest value of a column, in plain text, unless it is told not to."""
    secret = ("ann@example.com", 7)
    house.publish(secret)
    assert b"ann@example.com" in bounds(house.iceberg)
    personal = Table("walks", (Column("user", "string", "Whose", personal=True), STEPS))
    house.publish(secret, table=personal)
    assert b"ann@example.com" not in bounds(house.iceberg)
    assert (7).to_bytes(8, "little") in bounds(house.iceberg)
    assert house.everybody_reads([secret])


def bounds(table: IcebergTable) -> bytes:
    """All bounds of columns in the manifests of the newest version."""
    files = [task.file for task in table.scan().plan_files()]
    return b" ".join(
        value for file in files for part in (file.lower_bounds, file.upper_bounds) for value in part.values()
    )


values = st.tuples(
    st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=6))
def test_any_rows_are_read_as_they_were_published_by_the_engine_and_by_other_readers(
    local_house: House, rows: list[Row]
) -> None:
    assert local_house.publish(*rows, table=WIDE).rows == len(rows)
    found = arrow_rows(local_house.iceberg.scan().to_arrow())
    assert local_house.rows(WIDE) == found == sorted(rows, key=repr)


def test_a_preview_has_some_rows_of_that_version_and_needs_no_engine(house: House) -> None:
    first = house.publish(ANN)
    second = house.publish(BOB, BOB, BOB)
    lakehouse = house.lakehouse
    assert lakehouse.preview("walks", first.snapshot_id, ("steps", "user"), 5) == [{"steps": 1, "user": "ann"}]
    assert lakehouse.preview("walks", second.snapshot_id, ["user"], 2) == [{"user": "bob"}] * 2


# Reading what cannot be read


def test_a_table_that_was_never_published_is_none(house: House) -> None:
    house.stage(ANN)
    lakehouse = house.lakehouse
    assert lakehouse.read(house.spark, WALKS) is lakehouse.read(house.spark, WALKS, 1) is None
    assert lakehouse.version("walks") is None
    assert lakehouse.history("walks") == []
    assert lakehouse.preview("walks", 1, ["user"], 5) == []


@pytest.mark.parametrize(
    "columns", [(USER, STEPS, SPEED), (USER,), (USER, Column("steps", "string"))], ids=["more", "less", "another type"]
)
def test_a_table_of_an_earlier_version_of_the_project_is_refused_with_what_to_do(
    local_house: LocalHouse, columns: tuple[Column, ...]
) -> None:
    local_house.publish(ANN)
    with pytest.raises(LakehouseError) as refused:
        local_house.rows(Table("walks", columns))
    assert refused.value.description == (
        f"walks in {local_house.root} has other columns than this version of the project makes, it is from an earlier "
        "one. Materialize everything once."
    )
    assert local_house.rows(Table("walks", (STEPS, Column("user", "string", "The walker")))) == [(1, "ann")]


def delete_first_row(house: House) -> None:
    """Delete a row as another engine does: by a file that names its place, beside the data file.

    PyIceberg writes no such file by itself, but commits one, so that the plan is what its own planner makes of it.
    """
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    table = house.iceberg
    (task,) = table.scan().plan_files()
    ids = {"file_path": b"2147483546", "pos": b"2147483545"}
    schema = pa.schema(
        [
            pa.field("file_path", pa.string(), nullable=False, metadata={b"PARQUET:field_id": ids["file_path"]}),
            pa.field("pos", pa.int64(), nullable=False, metadata={b"PARQUET:field_id": ids["pos"]}),
        ]
    )
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"file_path": [task.file.file_path], "pos": [0]}, schema=schema), out)
    content = out.getvalue().to_pybytes()
    house.write("deletes.parquet", content)
    deletes = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=f"{house.lakehouse.uri('walks')}/deletes.parquet",
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=len(content),
    )
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        append.append_data_file(deletes)


def test_rows_that_another_engine_deleted_are_never_brought_back(house: House) -> None:
    house.publish(ANN, BOB, EVE)
    delete_first_row(house)
    assert house.iceberg.scan().to_arrow().num_rows == 2
    with pytest.raises(LakehouseError, match="walks carries row deletes"):
        house.rows()
    house.publish(BOB)
    assert house.everybody_reads([BOB])


def test_a_data_file_that_is_gone_is_told_and_not_taken_for_an_empty_one(house: House) -> None:
    house.publish(ANN, BOB)
    gone = sorted(path for path in house.paths if path.endswith(".parquet"))
    for path in gone:
        house.remove(path)
    with pytest.raises(LakehouseError) as told:
        house.rows()
    where = f"{house.lakehouse.uri('walks').removeprefix('file://')}/{gone[0]}"
    assert f"{len(gone)} of {len(gone)} data files of walks are gone or damaged, {where} among them" in str(
        told.value.description
    )
    house.publish(BOB)
    assert house.everybody_reads([BOB])


# Tables that change their shape

SHAPES: dict[str, tuple[tuple[Column, ...], list[Row]]] = {
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
    local_house: House, columns: tuple[Column, ...], rows: list[Row]
) -> None:
    house, shape = local_house, Table("walks", columns)
    old = house.publish(ANN)
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
    assert arrow_rows(house.iceberg.scan().to_arrow()) == [("bob",)]
    assert arrow_rows(house.iceberg.scan(snapshot_id=old.snapshot_id).to_arrow()) == [ANN]


def test_a_column_that_comes_back_is_a_new_one_and_brings_no_old_values(house: House) -> None:
    house.publish(ANN)
    house.publish(("bob",), table=Table("walks", (USER,)))
    house.publish(EVE)
    assert house.everybody_reads([EVE])
