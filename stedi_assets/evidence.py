"""Evidence for people who want to look: the queries in `sql/queries/`, run, and rendered as pictures.

Belongs here: the one asset that does it, and drawing a table. The pictures of landing tables show raw records, as the
mission asks for; they are files in the lakehouse, and Dagster's history has a link to them. All else is masked.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.errors import translate_errors
from resources.files.landing_zone import folder_at
from resources.iceberg.lakehouse import Lakehouse
from resources.query import Query, QueryResult
from stedi_assets.contracts import ASSETS, FEEDS, TABLES, Feed, Pii, Zone
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.inputs import Inputs
from stedi_assets.pipeline.step import RETRY
from stedi_assets.pipeline.table import code_version

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from pyspark.sql import DataFrame

QUERIES = Path(__file__).parents[1] / "sql" / "queries"
PICTURED = ("customer_landing", "accelerometer_landing", "customer_trusted")


def tables_in(sql: str) -> list[str]:
    """The lakehouse's tables that a query reads."""
    return [name for name in ASSETS if re.search(rf"\bFROM\s+{name}\b", sql, re.IGNORECASE)]


def queries() -> dict[str, str]:
    """The verification queries, by name."""
    return {path.stem: path.read_text() for path in sorted(QUERIES.glob("*.sql"))}


@dg.asset(
    group_name="evidence",
    deps=sorted({table for sql in queries().values() for table in tables_in(sql)} | {f.records.name for f in FEEDS}),
    kinds={"sql", "png"},
    owners=[metadata.OWNER],
    tags={"zone": "evidence", "contains_pii": "yes"},
    description="The queries in sql/queries/, run on what is landed and published. Three results are saved as pictures "
    "under `<lakehouse>/evidence/`: what landed, and what is trusted; the others are shown here.",
    code_version=code_version(*queries().values()),
    retry_policy=RETRY,
)
def query_evidence(
    context: dg.AssetExecutionContext, query: Query, spark: SparkEngine, lakehouse: Lakehouse
) -> Iterator[Any]:
    """Run every verification query; picture the three that the mission asks for, list the others."""
    read = views(Inputs(spark, lakehouse, {}))
    folder = folder_at(lakehouse.root).below("evidence")
    shown: dict[str, Any] = {}
    for name, sql in queries().items():
        with spark.at_work():
            found = query.run(sql, {table: read[table] for table in tables_in(sql)})
        context.log.info(f"{name}: {len(found.rows)} rows in {found.seconds:.2f} s")
        shown[f"seconds: {name}"] = round(found.seconds, 3)
        shown |= {f"{statistic}: {name}": value for statistic, value in found.statistics.items()}
        if name in PICTURED:
            with translate_errors(f"save the picture of {name}", lakehouse.root), folder.create(f"{name}.png") as out:
                out.write(picture_of(name, sql, found))
            shown[f"{name}.png"] = dg.MetadataValue.path(folder.path(f"{name}.png"))
        else:
            shown[name] = dg.MetadataValue.md(_markdown(found))
    if spark.is_started:  # where Athena answers, this asset alone starts none
        shown |= spark.metadata
    yield dg.MaterializeResult(metadata=shown)


def views(inputs: Inputs) -> dict[str, Callable[[], "DataFrame"]]:
    """How to read each table that a query may name, where no catalog knows it.

    Only Athena has external tables over raw files. Elsewhere a feed's landing table is a view of its accepted records:
    to parse all text again for fifteen rows took as long as to ingest it.
    """

    def landing(feed: Feed) -> "DataFrame":
        return inputs.frame(feed.records.name).select(*feed.landing.column_names)

    tables = {name: partial(inputs.frame, name) for name in TABLES}
    return {**{feed.landing.name: partial(landing, feed) for feed in FEEDS}, **tables}


def picture_of(table: str, sql: str, found: QueryResult) -> bytes:
    """The result as a PNG: the query, its rows, and how long it took."""
    statement = "\n".join(line for line in sql.strip().splitlines() if not line.startswith("--"))
    footer = (
        f"{len(found.rows)} rows of {table}. The query took {found.seconds:.2f} s on "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )
    rows = found.rows if ASSETS[table].zone is Zone.LANDING else _masked(found)
    return table_picture(
        statement, found.columns, [["" if value is None else str(value) for value in row] for row in rows], footer
    )


def _markdown(found: QueryResult) -> str:
    head = [found.columns, ["---"] * len(found.columns)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (*head, *_masked(found)))


def _masked(found: QueryResult) -> list[list[Any]]:
    """The result's rows, with what the contracts call personal masked, whichever table it comes from."""
    kinds = {column.name: column.pii for table in ASSETS.values() for column in table.columns}
    pii = [kinds.get(name, Pii.NONE) for name in found.columns]
    return [[metadata.mask(value, kind) for value, kind in zip(row, pii, strict=True)] for row in found.rows]


# Drawing. A plotting library would take longer to import and draw than all tables together take to compute. ---------

TEXT, FAINT, QUERY, STRIPE = "#222222", "#777777", "#1f4e79", "#f2f5f8"
LINE, MARGIN, GAP, FONT_SIZE = 26, 22, 26, 16  # pixels


def table_picture(statement: str, columns: Sequence[str], rows: Sequence[Sequence[str]], footer: str) -> bytes:
    """A PNG of a statement, the table that answers it, and a line below. Numbers end at the right, text does not."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_SIZE)
    cells, lines = [list(columns), *map(list, rows)], statement.splitlines()
    widths = [max(int(font.getlength(row[column])) for row in cells) for column in range(len(columns))]
    broadest = max(sum(widths) + GAP * (len(widths) - 1), *(int(font.getlength(line)) for line in (*lines, footer)))
    size = (broadest + 2 * MARGIN, LINE * (len(lines) + len(cells) + 3) + 2 * MARGIN)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.font = font
    top = MARGIN
    for line in lines:
        pen.text((MARGIN, top), line, fill=QUERY)
        top += LINE
    _draw_cells(pen, cells, widths, top + LINE, image.width)
    pen.text((MARGIN, top + LINE * (len(cells) + 2)), footer, fill=FAINT)
    png = io.BytesIO()
    image.save(png, format="PNG")
    return png.getvalue()


def _draw_cells(pen: "ImageDraw", cells: Sequence[Sequence[str]], widths: Sequence[int], top: int, canvas: int) -> None:
    """The head in bold, then the rows, every other one on a stripe."""
    right = [all(_is_number(row[column]) for row in cells[1:]) for column in range(len(widths))]
    for number, row in enumerate(cells):
        if number % 2:
            pen.rectangle((0, top - 3, canvas, top + LINE - 4), fill=STRIPE)
        left = MARGIN
        for text, width, ends_right in zip(row, widths, right, strict=True):
            shift = width - pen.textlength(text) if ends_right else 0
            pen.text((left + shift, top), text, fill=TEXT, stroke_width=0 if number else 0.4)
            left += width + GAP
        top += LINE


def _is_number(text: str) -> bool:
    return not text or text.lstrip("-").replace(".", "", 1).isdigit()
