"""Columns as an Iceberg schema, and evolving the schema and layout of a published table.

Every Iceberg field is optional, because engines write optional Parquet columns, and PyIceberg adds no such file to a
table where they are required; that required columns hold no null is checked before a version is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import Transform, TruncateTransform
from pyiceberg.types import DoubleType, LongType, NestedField, PrimitiveType, StringType

from resources.iceberg.days import DAY_MS

if TYPE_CHECKING:
    from pyiceberg.table import Transaction
    from pyiceberg.table.name_mapping import NameMapping

    from resources.iceberg.version import ColumnSpec

_TYPES: dict[str, PrimitiveType] = {"string": StringType(), "bigint": LongType(), "double": DoubleType()}

BY_DAY: Transform[int, int] = TruncateTransform(DAY_MS)
FORMAT = 2
"""The version of Iceberg's format: the newest that Athena reads and PyIceberg writes."""
METADATA_ELSEWHERE = "write.metadata.path"
"""The property that has a table's metadata lie where nobody here looks for what a crashed run left."""


def iceberg_schema(columns: Sequence[ColumnSpec]) -> Schema:
    """The columns as an Iceberg schema, numbered in their order."""
    return Schema(
        *(
            NestedField(number, column.name, _TYPES[column.type], required=False, doc=column.meaning)
            for number, column in enumerate(columns, start=1)
        )
    )


def table_properties(schema: Schema, columns: Sequence[ColumnSpec]) -> dict[str, str]:
    """The properties of a new table."""
    return {
        "format-version": str(FORMAT),
        # A refused commit is not tried again: it would replace a version that it was not made from.
        "commit.retry.num-retries": "0",
        # Ties Parquet columns, which carry no Iceberg field ids, to fields by name.
        "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
        # What a table was an hour ago is in its snapshots; the files of old metadata grew with the square of the runs.
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": "5",
        # When there are many, is ours to say: `retention.py`.
        "commit.manifest-merge.enabled": "true",
        "commit.manifest.min-count-to-merge": "2",
        **metrics_properties(columns),
    }


def partition_spec(schema: Schema, taken: str | None) -> PartitionSpec:
    """One partition a day, where there is a column that says when a reading was taken."""
    if taken is None:
        return PartitionSpec()
    return PartitionSpec(PartitionField(schema.find_field(taken).field_id, 1000, BY_DAY, f"{taken}_day"))


def metrics_properties(columns: Sequence[ColumnSpec]) -> dict[str, str]:
    """Table properties that keep a personal column's least and greatest value out of the manifests."""
    return {f"write.metadata.metrics.column.{column.name}": "none" for column in columns if column.personal}


def spark_columns(schema: Schema) -> list[tuple[str, str]]:
    """The schema's columns, in its order, with their types as Spark calls them."""
    names = {str(kind): name for name, kind in _TYPES.items()}
    return [(field.name, names.get(str(field.field_type), str(field.field_type))) for field in schema.fields]


def has_columns(schema: Schema, columns: Sequence[ColumnSpec]) -> bool:
    """Whether the schema has these columns, of these types, and no other."""
    return {field.name: field.field_type for field in schema.fields} == {
        column.name: _TYPES[column.type] for column in columns
    }


def evolve(transaction: Transaction, columns: Sequence[ColumnSpec], taken: str | None) -> None:
    """Give the table the columns and the layout of ours, in the transaction that publishes rows of that shape.

    Somebody may have given it others, as users of Spark and Athena do.
    """
    _without_order(transaction)
    has_partitions = is_by_day(transaction.table_metadata.spec(), transaction.table_metadata.schema(), taken)
    if not has_partitions and transaction.table_metadata.spec().fields:
        with transaction.update_spec() as spec:
            for field in transaction.table_metadata.spec().fields:
                spec.remove_field(field.name)
    _evolve_columns(transaction, transaction.table_metadata.schema(), columns)
    if not has_partitions and taken is not None:
        with transaction.update_spec() as spec:
            spec.add_field(taken, BY_DAY, f"{taken}_day")
    _reset_properties(transaction, columns)


def is_by_day(spec: PartitionSpec, schema: Schema, taken: str | None) -> bool:
    """Whether the partitions are those that files of ours are written in."""
    wanted = [(schema.find_field(taken).field_id, BY_DAY)] if taken in schema.column_names else []
    return [(field.source_id, field.transform) for field in spec.fields] == wanted and (not taken or bool(wanted))


def _without_order(transaction: Transaction) -> None:
    # Staged files are of no order: PyIceberg refuses them where there is one.
    table = transaction.table_metadata
    if table.sort_order().fields:
        with transaction.update_sort_order():
            pass  # none


def _reset_properties(transaction: Transaction, columns: Sequence[ColumnSpec]) -> None:
    table = transaction.table_metadata
    ours = table_properties(table.schema(), columns)
    del ours["format-version"]
    if _maps(table.name_mapping(), table.schema()):
        del ours["schema.name-mapping.default"]  # removed columns are in it, too: older versions still have them
    if not ours.items() <= table.properties.items():
        transaction.set_properties(ours)
    if METADATA_ELSEWHERE in table.properties:
        transaction.remove_properties(METADATA_ELSEWHERE)


def _maps(mapping: NameMapping | None, schema: Schema) -> bool:
    ids = {name: field.field_id for field in mapping or () for name in field.names}
    return all(ids.get(field.name) == field.field_id for field in schema.fields)


def _evolve_columns(transaction: Transaction, published: Schema, columns: Sequence[ColumnSpec]) -> None:
    types = {column.name: _TYPES[column.type] for column in columns}
    if [(field.name, field.field_type, field.doc, field.required) for field in published.fields] == [
        (column.name, types[column.name], column.meaning, False) for column in columns
    ]:
        return
    retained = {field.name for field in published.fields if types.get(field.name) == field.field_type}
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        if published.identifier_field_ids:
            update.set_identifier_fields()
        for field in published.fields:
            if field.name not in retained:
                update.delete_column(field.name)
    # The name mapping follows the additions by itself, and keeps removed columns.
    with transaction.update_schema() as update:
        for column in columns:
            if column.name in retained:
                update.update_column(column.name, doc=column.meaning, required=False)
            else:
                update.add_column(column.name, types[column.name], doc=column.meaning)
        for left, right in pairwise(columns):
            update.move_after(right.name, left.name)
