"""An external table over raw files: what its DDL asks for, beside what the Glue Data Catalog has.

Belongs here: reading both into one form, so that equal tables are equal. Does not belong here: running a statement
(`athena.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any


@dataclass(frozen=True)
class ExternalTable:
    """What can be seen of an external table. `columns` are names, types and comments; `properties` are the SerDe's."""

    location: str
    columns: tuple[tuple[str, str, str], ...]
    comment: str
    serde: str
    properties: Mapping[str, str]

    @classmethod
    def of_ddl(cls, statement: str) -> ExternalTable:
        """The table that a `CREATE EXTERNAL TABLE` asks for."""
        import sqlglot
        from sqlglot import exp

        create = sqlglot.parse_one(statement, read="athena")
        serde = create.find(exp.RowFormatSerdeProperty)
        properties = create.find(exp.SerdeProperties)
        return cls(
            _text(create.find(exp.LocationProperty)).rstrip("/"),
            tuple(
                (column.name, column.args["kind"].sql("hive").lower(), _text(column.find(exp.CommentColumnConstraint)))
                for column in create.find_all(exp.ColumnDef)
            ),
            _text(create.find(exp.SchemaCommentProperty)),
            _text(serde),
            {pair.this.name: pair.args["value"].name for pair in (properties.expressions if properties else ())},
        )

    @classmethod
    def of_glue(cls, table: Mapping[str, Any]) -> ExternalTable:
        """The table that Glue's `GetTable` tells of."""
        storage = table["StorageDescriptor"]
        serde = storage.get("SerdeInfo", {})
        return cls(
            storage.get("Location", "").rstrip("/"),
            tuple((column["Name"], column["Type"], column.get("Comment", "")) for column in storage.get("Columns", ())),
            table.get("Parameters", {}).get("comment", ""),
            serde.get("SerializationLibrary", ""),
            # Athena adds this one by itself.
            {key: value for key, value in serde.get("Parameters", {}).items() if key != "serialization.format"},
        )


def statement_of(ddl: str, location: str) -> str:
    """The one statement of a DDL file, for this location: Athena wants no comment before it and no `;` behind it."""
    lines = (line for line in ddl.splitlines() if not line.startswith("--"))
    return Template("\n".join(lines)).substitute(location=location).strip().removesuffix(";")


def is_raw_json(table: Mapping[str, Any]) -> bool:
    """Whether a table of Glue's lies over JSON files and can be dropped without losing anything."""
    serde = table.get("StorageDescriptor", {}).get("SerdeInfo", {}).get("SerializationLibrary", "")
    iceberg = str(table.get("Parameters", {}).get("table_type", "")).upper() == "ICEBERG"
    return table.get("TableType") == "EXTERNAL_TABLE" and not iceberg and "json" in serde.lower()


def _text(node: Any) -> str:
    return node.this.name if node is not None else ""
