"""Somebody has changed a published table, or has taken its name: what is published there then, or what is said."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import LakehouseError
from tests.resources.iceberg.house import ANN, BOB, EVE, STEPS, Column, GlueHouse, House, LocalHouse, Table

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

PEOPLE = Table("walks", (Column("user", "string", "Whose", personal=True), STEPS))


def partition(table: IcebergTable) -> None:
    with table.update_spec() as spec:
        spec.add_identity("user")


def sort(table: IcebergTable) -> None:
    from pyiceberg.transforms import IdentityTransform

    with table.update_sort_order() as order:
        order.asc("user", IdentityTransform())


def require(table: IcebergTable) -> None:
    with table.update_schema(allow_incompatible_changes=True) as schema:
        schema.make_column_optional("user")
        schema.update_column("steps", required=True)
        schema.set_identifier_fields("steps")


def set_properties(table: IcebergTable) -> None:
    with table.transaction() as transaction:
        transaction.set_properties(
            {
                "write.metadata.metrics.column.user": "full",
                "commit.retry.num-retries": "4",
                "write.metadata.path": f"{table.location()}/elsewhere",
                "write.object-storage.enabled": "true",
                "write.format.default": "orc",
            }
        )


def forget_the_names(table: IcebergTable) -> None:
    with table.transaction() as transaction:
        transaction.remove_properties("schema.name-mapping.default")


def rename(table: IcebergTable) -> None:
    with table.update_schema() as schema:
        schema.rename_column("user", "person")
        schema.rename_column("steps", "user")


def assert_our_layout(table: IcebergTable) -> None:
    assert not table.spec().fields
    assert not table.sort_order().fields
    assert [field.name for field in table.schema().fields if not field.required] == ["user", "steps"]
    assert table.properties["write.metadata.metrics.column.user"] == "none"
    assert table.properties["commit.retry.num-retries"] == "0"
    assert table.metadata_location.startswith(f"{table.location()}/metadata/")


CHANGES = (partition, sort, require, set_properties, forget_the_names, rename)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("rows", [[ANN, BOB], []], ids=["rows", "none"])
def test_a_table_whose_layout_somebody_changed_is_published_again(
    local_house: LocalHouse, change: Callable[[Any], None], rows: list[Any]
) -> None:
    """Every run failed with PyIceberg's own ValueError, which has two e-mail addresses, from then on."""
    house = local_house
    for last in (rows, [BOB, EVE]):
        with house.stage(*rows, table=PEOPLE) as staged:
            house.lakehouse.publish(staged, {})
        change(house.iceberg)
        with house.stage(*last, table=PEOPLE) as staged:
            house.lakehouse.publish(staged, {})
        assert house.everybody_reads(last)
        assert_our_layout(house.iceberg)
        house.clear_up()
        assert house.strays == set()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_somebody_changes_while_a_version_is_computed_is_seen_when_it_is_published(
    local_house: LocalHouse, change: Callable[[Any], None]
) -> None:
    house = local_house
    house.publish(ANN, table=PEOPLE)
    with house.stage(BOB, EVE, table=PEOPLE) as staged:
        change(house.iceberg)
        house.lakehouse.publish(staged, {})
    assert house.everybody_reads([BOB, EVE])
    assert_our_layout(house.iceberg)


def test_a_table_in_glue_that_somebody_partitioned_is_published_again(glue_house: GlueHouse) -> None:
    glue_house.publish(ANN, BOB)
    partition(glue_house.iceberg)
    glue_house.publish(ANN, BOB)
    assert glue_house.everybody_reads([ANN, BOB])


def test_a_format_that_cannot_be_written_is_told_before_anything_is_computed(
    local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.table.metadata import TableMetadataUtil

    local_house.publish(ANN)
    lakehouse, before = local_house.lakehouse, local_house.paths
    table = lakehouse.load("walks")
    assert table is not None
    of_three = table.metadata.model_dump() | {"format-version": 3, "next-row-id": 0}
    table.metadata = TableMetadataUtil.parse_obj(of_three)
    monkeypatch.setattr(type(lakehouse), "look_up", lambda *_: table)
    with pytest.raises(LakehouseError, match="walks is of Iceberg's format version 3, and only version 2 can be"):
        local_house.stage(BOB, lakehouse=lakehouse)
    assert local_house.paths == before


# Names that are taken


@pytest.mark.parametrize(
    "given",
    [{}, {"Parameters": {"classification": "json"}}, {"Parameters": {"table_type": "hudi"}}],
    ids=["a view", "of a crawler", "of another format"],
)
def test_a_name_that_is_taken_in_glue_is_left_as_it_is_and_told(glue_house: GlueHouse, given: dict[str, Any]) -> None:
    """It was «Another run published customer_trusted at the same time … Materialize it again», for ever."""
    glue = glue_house.aws.client("glue")
    assert glue_house.lakehouse.version("walks") is None
    glue.create_table(DatabaseName=glue_house.database, TableInput={"Name": "walks", **given})
    lakehouse = glue_house.lakehouse
    for use in (lakehouse.version, lakehouse.history, lambda _: glue_house.publish(BOB)):
        with pytest.raises(LakehouseError) as refused:
            use("walks")
        assert refused.value.description == (
            f"{glue_house.database}.walks in Glue is no Iceberg table, so it is left as it is. Rename it there, or set "
            "STEDI_DATABASE to another database."
        )
        assert refused.value.allow_retries is False
    assert glue_house.paths == set()


# What is said by others


def damage_metadata(house: House) -> None:
    for path in [path for path in house.paths if path.endswith(".metadata.json")]:
        house.write(path, b'{"format-version": "ann@example.org", "location": ["ann@example.org"]}')


def damage_manifests(house: House) -> None:
    for path in [path for path in house.paths if path.endswith(".avro")]:
        house.write(path, b"ann@example.org" * 99)


def damage_data(house: House) -> None:
    for path in [path for path in house.paths if path.endswith(".parquet")]:
        house.write(path, b"ann@example.org")


@pytest.mark.parametrize("damage", [damage_metadata, damage_manifests, damage_data], ids=lambda one: one.__name__)
def test_what_libraries_say_of_damaged_files_quotes_no_row(house: House, damage: Callable[[House], None]) -> None:
    version = house.publish(("ann@example.org", 1))
    damage(house)
    lakehouse = house.lakehouse
    uses: tuple[Callable[[], Any], ...] = (
        lambda: lakehouse.version("walks"),
        lambda: lakehouse.preview("walks", version.snapshot_id, ["user"], 5),
        lambda: house.publish(BOB),
    )
    told = "".join(map(told_of, uses))
    assert "Could not " in told
    assert "was raised in py" in told
    assert "ann@" not in told


def told_of(use: Callable[[], Any]) -> str:
    """All that Dagster keeps of the error, if it fails."""
    try:
        use()
    except LakehouseError as error:
        return "".join(traceback.format_exception(error))
    return ""
