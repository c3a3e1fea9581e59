"""Columns as an Iceberg schema, and bringing a published table's schema up to date.

Every Iceberg field is optional, because engines write optional Parquet columns, and PyIceberg adds no such file to a
table where they are required; that required columns hold no null is audited before a version is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, LongType, NestedField, PrimitiveType, StringType

if TYPE_CHECKING:
    from pyiceberg.table import Transaction

    from resources.iceberg.version import ColumnSpec

_TYPES: dict[str, PrimitiveType] = {"string": StringType(), "bigint": LongType(), "double": DoubleType()}


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
        "format-version": "2",
        # A refused commit is not tried again: it would replace a version that it was not made from.
        "commit.retry.num-retries": "0",
        # Ties Parquet columns, which carry no Iceberg field ids, to fields by name.
        "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
        **metrics_properties(columns),
    }


def metrics_properties(columns: Sequence[ColumnSpec]) -> dict[str, str]:
    """Table properties that keep a personal column's least and greatest value out of the manifests."""
    return {f"write.metadata.metrics.column.{column.name}": "none" for column in columns if column.personal}


def has_columns(schema: Schema, columns: Sequence[ColumnSpec]) -> bool:
    """Whether the schema has these columns, of these types, and no other."""
    return {field.name: field.field_type for field in schema.fields} == {
        column.name: _TYPES[column.type] for column in columns
    }


def evolve(transaction: Transaction, published: Schema, columns: Sequence[ColumnSpec]) -> None:
    """Give the table the columns of the contract, in the transaction that publishes rows of that shape."""
    metrics = metrics_properties(columns)
    if not metrics.items() <= transaction.table_metadata.properties.items():
        transaction.set_properties(metrics)
    types = {column.name: _TYPES[column.type] for column in columns}
    if [(field.name, field.field_type, field.doc) for field in published.fields] == [
        (column.name, types[column.name], column.meaning) for column in columns
    ]:
        return
    kept = {field.name for field in published.fields if types.get(field.name) == field.field_type}
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for field in published.fields:
            if field.name not in kept:
                update.delete_column(field.name)
    # The name mapping follows the additions by itself, and keeps removed columns: older versions still have them.
    with transaction.update_schema() as update:
        for column in columns:
            if column.name in kept:
                update.update_column(column.name, doc=column.meaning)
            else:
                update.add_column(column.name, types[column.name], doc=column.meaning)
        for left, right in pairwise(columns):
            update.move_after(right.name, left.name)
