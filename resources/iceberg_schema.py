"""Columns as an Iceberg schema, and bringing a published table's schema up to date.

Every Iceberg field is optional, because engines write optional Parquet columns; that required columns hold no null
is audited before a version is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, LongType, NestedField, PrimitiveType, StringType

if TYPE_CHECKING:
    from pyiceberg.table import Transaction

    from resources.lakehouse import ColumnSpec

NAME_MAPPING = "schema.name-mapping.default"
"""Table property that ties Parquet columns, which carry no Iceberg field ids, to fields by name."""

_TYPES: dict[str, PrimitiveType] = {"string": StringType(), "bigint": LongType(), "double": DoubleType()}


class _Update(Protocol):
    def delete_column(self, path: str) -> object: ...


def iceberg_schema(columns: Sequence[ColumnSpec]) -> Schema:
    """The columns as an Iceberg schema, numbered in their order."""
    return Schema(
        *(
            NestedField(number, column.name, _TYPES[column.type], required=False, doc=column.meaning)
            for number, column in enumerate(columns, start=1)
        )
    )


def name_mapping(schema: Schema) -> str:
    """The schema's name mapping, as the table property wants it."""
    return schema.name_mapping.model_dump_json()


def evolve(transaction: Transaction, published: Schema, columns: Sequence[ColumnSpec]) -> None:
    """Give the table the columns of the contract, in the transaction that publishes rows of that shape."""
    wanted = {column.name: column for column in columns}
    current = {field.name: field for field in published.fields}
    changed = {
        name for name, field in current.items() if name in wanted and field.field_type != _TYPES[wanted[name].type]
    }
    obsolete = (current.keys() - wanted.keys()) | changed
    missing = [column for column in columns if column.name not in current or column.name in changed]
    if not obsolete and not missing:
        return
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for name in obsolete:
            update.delete_column(name)
    with transaction.update_schema() as update:
        for column in missing:
            update.add_column(column.name, _TYPES[column.type], doc=column.meaning)
    transaction.set_properties({NAME_MAPPING: name_mapping(transaction.table_metadata.schema())})
