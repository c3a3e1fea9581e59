"""What people see of a table in the UI: preview, pictures, numbers.

Belongs here: turning staged rows and commits into metadata, with personal fields masked.
Does not belong here: a number that decides anything; those are audits.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from stedi_assets.contracts import Pii, Table

DATA_VERSION_TAG = "dagster/data_version"
PREVIEW_ROWS = 5


def mask(value: Any, pii: Pii) -> Any:
    """The value as people may see it: an identifier keeps its length class and nothing else, a device its end."""
    if value is None or pii is Pii.NONE:
        return value
    return f"…{str(value)[-4:]}" if pii is Pii.DEVICE and len(str(value)) > 8 else "•••"


def preview(table: Table, rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """These rows, masked."""
    records = [
        dg.TableRecord({column.name: _shown(row[column.name], column.pii) for column in table.columns}) for row in rows
    ]
    schema = dg.TableSchema([dg.TableColumn(column.name, column.type) for column in table.columns])
    return dg.MetadataValue.table(records, schema)


def shown_before(context: dg.AssetExecutionContext, table: Table, data_version: str) -> dict[str, Any] | None:
    """How the table looked when this data version was last materialized; None where Dagster remembers another."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(table.name))
    materialization = event.asset_materialization if event else None
    if materialization is None or (materialization.tags or {}).get(DATA_VERSION_TAG) != data_version:
        return None
    metadata = materialization.metadata
    return {name: metadata[name] for name in ("preview",) if name in metadata}


def _shown(value: Any, pii: Pii) -> str | int | float:
    shown = mask(value, pii)
    return shown if isinstance(shown, str | int | float) else "" if shown is None else str(shown)


def embedded(name: str, picture: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as metadata that the UI shows."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(picture).decode()})")
