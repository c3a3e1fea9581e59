"""What people see of a table in the UI: preview, pictures, numbers.

Belongs here: turning staged rows and commits into metadata, with personal fields masked.
Does not belong here: a number that decides anything; those are audits.
"""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.lazy import LazyModule
from stedi_assets.contracts import Pii, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
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


def preview(table: Table, rows: DataFrame) -> dg.TableMetadataValue:
    """A few rows, masked."""
    records = [
        dg.TableRecord({column.name: _shown(row[column.name], column.pii) for column in table.columns})
        for row in rows.limit(PREVIEW_ROWS).collect()
    ]
    schema = dg.TableSchema([dg.TableColumn(column.name, column.type) for column in table.columns])
    return dg.MetadataValue.table(records, schema)


def appearance(table: Table, rows: DataFrame) -> dict[str, Any]:
    """How the table looks: a preview and, for readings, a picture."""
    shown: dict[str, Any] = {"preview": preview(table, rows)}
    picture = readings_picture(table, rows)
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


def readings_picture(table: Table, rows: DataFrame) -> dg.MarkdownMetadataValue | None:
    """A small plot: readings over time, and how many readings one owner has. None where there are no readings."""
    if table.taken is None or table.owner is None:
        return None
    over_time, per_owner = _measure(rows, table.taken, table.owner)
    if over_time is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.4))
    time_axes, owner_axes = figure.add_axes((0.06, 0.14, 0.52, 0.73)), figure.add_axes((0.64, 0.14, 0.34, 0.73))
    start, width, counts = over_time
    time_axes.stairs(counts, [start + width * edge for edge in range(len(counts) + 1)], fill=True, color="#4f7cac")
    ticks = [start + width * len(counts) * part // 4 for part in range(5)]
    time_axes.set_xticks(ticks, [f"{datetime.fromtimestamp(at / 1000, UTC):%d %b %H:%M}" for at in ticks])
    time_axes.set_title(f"readings over time ({table.taken}, UTC)", fontsize=9)
    owner_axes.bar([size for size, _ in per_owner], [owners for _, owners in per_owner], color="#c0791b")
    owner_axes.set_title(f"owners ({table.owner}) by number of readings", fontsize=9)
    for axes in (time_axes, owner_axes):
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="y", nbins=4)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    return dg.MetadataValue.md(f"![readings](data:image/png;base64,{base64.b64encode(png(figure)).decode()})")


Timeline = tuple[int, int, list[int]]
"""The first bucket's start and the buckets' width (epoch ms), and how many readings each bucket has."""


def _measure(rows: DataFrame, taken: str, owner: str) -> tuple[Timeline | None, list[tuple[int, int]]]:
    first, last = rows.agg(F.min(taken), F.max(taken)).collect()[0]
    if first is None:
        return None, []
    width = (last - first) // BUCKETS + 1
    bucket = F.floor((F.col(taken) - first) / width).cast("bigint")
    over_time = rows.groupBy(bucket.alias("at")).agg(F.count("*").alias("n")).withColumn("kind", F.lit("time"))
    sizes = rows.groupBy(owner).agg(F.count("*").alias("at")).groupBy("at").agg(F.count("*").alias("n"))
    measured: dict[str, dict[int, int]] = {"time": {}, "owner": {}}
    for row in over_time.unionByName(sizes.withColumn("kind", F.lit("owner"))).collect():
        measured[row["kind"]][row["at"]] = row["n"]
    counts = [measured["time"].get(number, 0) for number in range(BUCKETS)]
    return (first, width, counts), sorted(measured["owner"].items())


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
