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


def _shown(value: Any, pii: Pii) -> str | int | float:
    shown = mask(value, pii)
    return shown if isinstance(shown, str | int | float) else "" if shown is None else str(shown)


def readings_picture(table: Table, rows: DataFrame) -> dg.MarkdownMetadataValue | None:
    """A small plot: readings over time, and how many readings one owner has. None where there are no readings."""
    if table.taken is None or table.owner is None:
        return None
    over_time, per_owner = _measure(rows, table.taken, table.owner)
    if not over_time:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.2, top=0.88, wspace=0.12)
    time_axes, owner_axes = figure.subplots(1, 2, width_ratios=(3, 2))
    times = [datetime.fromtimestamp(bucket / 1000, UTC) for bucket, _ in over_time]
    time_axes.fill_between(times, [count for _, count in over_time], step="mid", color="#4f7cac")
    time_axes.set_title(f"readings over time ({table.taken}, UTC)", fontsize=9)
    owner_axes.bar([size for size, _ in per_owner], [owners for _, owners in per_owner], color="#c0791b")
    owner_axes.set_title(f"owners ({table.owner}) by number of readings", fontsize=9)
    for axes in (time_axes, owner_axes):
        axes.tick_params(labelsize=7)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    for label in time_axes.get_xticklabels():
        label.set_rotation(20)
    return dg.MetadataValue.md(f"![readings](data:image/png;base64,{base64.b64encode(png(figure)).decode()})")


def _measure(
    rows: DataFrame, time_column: str, owner_column: str
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    first, last = rows.agg(F.min(time_column), F.max(time_column)).collect()[0]
    if first is None:
        return [], []
    width = max((last - first) // BUCKETS + 1, 1)
    bucket = (F.floor(F.col(time_column) / width) * width).cast("bigint")
    over_time = rows.groupBy(bucket.alias("at")).agg(F.count("*").alias("n")).withColumn("kind", F.lit("time"))
    sizes = rows.groupBy(owner_column).agg(F.count("*").alias("at")).groupBy("at").agg(F.count("*").alias("n"))
    measured: dict[str, list[tuple[int, int]]] = {"time": [], "owner": []}
    for row in over_time.unionByName(sizes.withColumn("kind", F.lit("owner"))).collect():
        measured[row["kind"]].append((row["at"], row["n"]))
    return sorted(measured["time"]), sorted(measured["owner"])


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
