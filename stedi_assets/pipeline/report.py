"""What people see of a table in the UI: preview, pictures, numbers.

Belongs here: turning staged rows and commits into metadata, with personal fields masked.
Does not belong here: a number that decides anything; those are audits.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.iceberg.preview import Glimpse
from resources.lazy import LazyModule
from stedi_assets.contracts import Pii, Table
from stedi_assets.pictures import Bars, bars_picture

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

DATA_VERSION_TAG = "dagster/data_version"
PREVIEW_ROWS = 5
BUCKETS = 96


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


def appearance(table: Table, glimpse: Glimpse, rows: DataFrame) -> dict[str, Any]:
    """How the table looks: a preview and, for readings, a picture; `rows` are those that the glimpse is of."""
    shown: dict[str, Any] = {"preview": preview(table, glimpse.first_rows(table.column_names, PREVIEW_ROWS))}
    picture = readings_picture(table, glimpse, rows)
    return shown if picture is None else {**shown, "readings": picture}


def shown_before(context: dg.AssetExecutionContext, table: Table, data_version: str) -> dict[str, Any] | None:
    """How the table looked when this data version was last materialized; None where Dagster remembers another."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(table.name))
    materialization = event.asset_materialization if event else None
    if materialization is None or (materialization.tags or {}).get(DATA_VERSION_TAG) != data_version:
        return None
    metadata = materialization.metadata
    return {name: metadata[name] for name in ("preview", "readings") if name in metadata}


def _shown(value: Any, pii: Pii) -> str | int | float:
    shown = mask(value, pii)
    return shown if isinstance(shown, str | int | float) else "" if shown is None else str(shown)


def readings_picture(table: Table, glimpse: Glimpse, rows: DataFrame) -> dg.MarkdownMetadataValue | None:
    """A small plot: readings over time, and how many readings one owner has. None where there are no readings."""
    if table.taken is None or table.owner is None:
        return None
    bounds = glimpse.bounds(table.taken)
    if bounds is None:
        return None
    first, last = bounds
    width = (last - first) // BUCKETS + 1
    over_time, per_owner = _count(rows, table.taken, table.owner, first, width)
    moments = [first + width * BUCKETS * part // 3 for part in range(4)]
    fewest, most = min(per_owner), max(per_owner)
    per_bar = (most - fewest) // BUCKETS + 1
    owners = [0] * ((most - fewest) // per_bar + 1)
    for readings, number in per_owner.items():
        owners[(readings - fewest) // per_bar] += number
    picture = bars_picture(
        Bars(
            f"readings over time ({table.taken}, UTC)",
            [over_time.get(bucket, 0) for bucket in range(BUCKETS)],
            [f"{datetime.fromtimestamp(moment / 1000, UTC):%d %b %H:%M}" for moment in moments],
            "#4f7cac",
        ),
        Bars(f"owners ({table.owner}) by readings", owners, [f"{fewest:,} readings", f"{most:,} readings"], "#c0791b"),
    )
    return embedded("readings", picture)


def _count(rows: DataFrame, taken: str, owner: str, first: int, width: int) -> tuple[dict[int, int], dict[int, int]]:
    """Readings by bucket of time, and owners by number of readings, in one query."""
    bucket = F.floor((F.col(taken) - first) / width).cast("bigint")
    over_time = rows.groupBy(bucket.alias("at")).agg(F.count("*").alias("n")).withColumn("kind", F.lit("time"))
    sizes = rows.groupBy(owner).agg(F.count("*").alias("at")).groupBy("at").agg(F.count("*").alias("n"))
    counted: dict[str, dict[int, int]] = {"time": {}, "owner": {}}
    for row in over_time.unionByName(sizes.withColumn("kind", F.lit("owner"))).collect():
        counted[row["kind"]][row["at"]] = row["n"]
    return counted["time"], counted["owner"]


def embedded(name: str, picture: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as metadata that the UI shows."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(picture).decode()})")
