"""A contract in the words of Dagster's UI: schema, lineage, tags, and a preview of rows.

Belongs here: what people see of a table, each a pure function, with personal fields masked. Does not belong here: a
fact about a table that its contract does not state, or a number that decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from stedi_assets.contracts import Pii, Table

OWNER = "team:data-platform"
PREVIEW_ROWS = 5

PII = {Pii.NONE: "none", Pii.DEVICE: "pseudonymous", Pii.DIRECT: "direct"}
_PII_TAGS = {Pii.NONE: {}, Pii.DEVICE: {"pii": "device"}, Pii.DIRECT: {"pii": "direct"}}


def schema(table: Table) -> dg.TableSchema:
    """The table's columns with meaning, nullability and PII tags."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.meaning,
                constraints=dg.TableColumnConstraints(nullable=not column.required, unique=table.key == (column.name,)),
                tags=_PII_TAGS[column.pii],
            )
            for column in table.columns
        ]
    )


def column_lineage(table: Table, upstream: Iterable[Table]) -> dg.TableColumnLineage:
    """Where each column comes from: the first upstream table that has a column of that name."""
    upstream = list(upstream)
    sources = {
        column.name: [
            dg.TableColumnDep(dg.AssetKey(source.name), column.name) for source in upstream if column.name in source
        ][:1]
        for column in table.columns
    }
    return dg.TableColumnLineage({name: deps for name, deps in sources.items() if deps})


def tags(table: Table) -> dict[str, str]:
    """The asset's tags: its zone, and whether its rows name people, or devices whose holders somebody can find."""
    return {"zone": table.zone.value, "pii": PII[table.pii]}


def mask(value: Any, pii: Pii) -> Any:
    """The value as people may see it: an identifier keeps its length class and nothing else, a device its end."""
    if value is None or pii is Pii.NONE:
        return value
    return f"…{str(value)[-4:]}" if pii is Pii.DEVICE and len(str(value)) > 8 else "•••"


def preview(table: Table, rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """These rows, masked. Masked columns are the last: a page has no room for all, and they tell least."""
    columns = sorted(table.columns, key=lambda column: column.personal)
    records = [
        dg.TableRecord({column.name: _shown(row[column.name], column.pii) for column in columns}) for row in rows
    ]
    return dg.MetadataValue.table(
        records, dg.TableSchema([dg.TableColumn(column.name, column.type) for column in columns])
    )


def _shown(value: Any, pii: Pii) -> str | int | float:
    shown = mask(value, pii)
    return shown if isinstance(shown, str | int | float) else "" if shown is None else str(shown)
