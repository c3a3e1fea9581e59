"""Evidence for people who want to look: the queries in `sql/queries/`, run, and rendered as pictures.

Belongs here: the one asset that does it, and what of a result is shown. The pictures of landing tables show raw
records, as the mission asks for; they are files in the lakehouse, and Dagster's history says where. All else is
masked.
Does not belong here: drawing (`picture.py`).
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
import hashlib
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.errors import quoting_no_row, translate_errors
from resources.files.folder import Folder
from resources.files.landing_zone import folder_at
from resources.iceberg.lakehouse import Lakehouse
from resources.query import Query, QueryResult
from stedi_assets.contracts import ASSETS, FEEDS, TABLES, Feed, Pii, Zone
from stedi_assets.picture import table_picture
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.asset import RETRY
from stedi_assets.pipeline.inputs import Inputs
from stedi_assets.pipeline.table import code_version

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

QUERIES = Path(__file__).parents[1] / "sql" / "queries"
PICTURED = ("customer_landing", "accelerometer_landing", "customer_trusted")
MADE_OF = "made of"
"""Metadata: which content of each table the queries were run on. While that is so, they would find the same again."""
COLUMNS = {column.name: column for table in ASSETS.values() for column in table.columns}
LONGEST_HEAD = 19  # letters of a column's name, with blanks between its words


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
    tags={"zone": "evidence", "pii": metadata.PII[Pii.DIRECT]},
    description="The queries in sql/queries/, run on what is landed and published. Three results are saved as pictures "
    "under `<lakehouse>/evidence/`: what landed, and what is trusted. All are shown here, masked.",
    code_version=code_version(*queries().values()),
    retry_policy=RETRY,
)
@quoting_no_row
def query_evidence(
    context: dg.AssetExecutionContext, query: Query, spark: SparkEngine, lakehouse: Lakehouse
) -> Iterator[Any]:
    """Run every verification query, list what it finds, masked, and picture the three that the mission asks for."""
    contents = {name: found.content for name in TABLES if (found := lakehouse.version(name))}
    made_of = json.dumps({**contents, "queries": code_version(*queries().values())})
    folder = folder_at(lakehouse.root).below("evidence")
    before = context.instance.get_latest_materialization_event(context.asset_key)
    noted = dict(before.asset_materialization.metadata) if before and before.asset_materialization else {}
    pictures = {f"{name}.png" for name in PICTURED}
    if noted.get(MADE_OF) == dg.MetadataValue.text(made_of) and pictures <= {file.name for file in folder.files()}:
        context.log.info("No table has changed since the queries were run")
        shown = noted
    else:
        shown = {**_run(context, query, spark, lakehouse, folder), MADE_OF: made_of}
    context.add_asset_metadata(shown)  # given with the result, Dagster would keep it twice
    yield dg.MaterializeResult(data_version=dg.DataVersion(_short(made_of)))


def _run(
    context: dg.AssetExecutionContext, query: Query, spark: SparkEngine, lakehouse: Lakehouse, folder: Folder
) -> dict[str, Any]:
    read, shown = views(Inputs(spark, lakehouse, {})), dict[str, Any]()
    for name, sql in queries().items():
        with spark.at_work():
            found = query.run(sql, {table: read[table] for table in tables_in(sql)})
        context.log.info(f"{name}: {len(found.rows)} rows in {found.seconds:.2f} s")
        shown[f"seconds: {name}"] = round(found.seconds, 3)
        shown |= {f"{statistic}: {name}": value for statistic, value in found.statistics.items()}
        if name in PICTURED:
            with translate_errors(f"save the picture of {name}", lakehouse.root), folder.create(f"{name}.png") as out:
                out.write(picture_of(name, sql, found, rows_in(lakehouse, name)))
            shown[f"{name}.png"] = link_to(folder.path(f"{name}.png"))
        shown[name] = dg.MetadataValue.md(_markdown(found))
    if spark.is_started:  # where Athena answers, this asset alone starts none
        shown |= spark.metadata
    return shown


def _short(made_of: str) -> str:
    return hashlib.sha256(made_of.encode()).hexdigest()[:16]


def views(inputs: Inputs) -> dict[str, Callable[[], "DataFrame"]]:
    """How to read each table that a query may name, where no catalog knows it.

    Only Athena has external tables over raw files. Elsewhere a feed's landing table is a view of its accepted records:
    to parse all text again for fifteen rows took as long as to ingest it.
    """

    def landing(feed: Feed) -> "DataFrame":
        return inputs.frame(feed.records.name).select(*feed.landing.column_names)

    tables = {name: partial(inputs.frame, name) for name in TABLES}
    return {**{feed.landing.name: partial(landing, feed) for feed in FEEDS}, **tables}


def rows_in(lakehouse: Lakehouse, table: str) -> int:
    """How many rows there are, as their commit says; of a landing table, how many records of it were accepted."""
    records = {feed.landing.name: feed.records.name for feed in FEEDS}
    version = lakehouse.version(records.get(table, table))
    return version.rows if version else 0


def link_to(path: str) -> dg.MetadataValue[Any]:
    """Where a file is: in S3 a page that shows it. No browser opens a file of this machine: its path, to be copied."""
    if not path.startswith("s3://"):
        return dg.MetadataValue.path(path)
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return dg.MetadataValue.url(f"https://console.aws.amazon.com/s3/object/{bucket}?prefix={quote(key)}")


def picture_of(table: str, sql: str, found: QueryResult, of: int) -> bytes:
    """The result as a PNG: the query, its rows, `of` how many, and how long it took. Moments also show as dates."""
    statement = "\n".join(line for line in sql.strip().splitlines() if not line.startswith("--"))
    footer = (
        f"{len(found.rows)} of {of:,} rows of {table}. The query took {found.seconds:.2f} s on "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )
    rows = found.rows if ASSETS[table].zone is Zone.LANDING else _masked(found)
    cells = [[_cell(name, value) for name, value in zip(found.columns, row, strict=True)] for row in rows]
    return table_picture(statement, [_head(name) for name in found.columns], cells, footer)


def _head(name: str) -> list[str]:
    """A column's name, a long one in two lines: in one, consent would be beyond the edge of a screen."""
    spelled = COLUMNS[name].feed_names if name in COLUMNS else ()
    words = re.sub("(?<=[a-z])(?=[A-Z])", " ", spelled[0] if spelled else name)
    return [line.replace(" ", "").lower() for line in textwrap.wrap(words, LONGEST_HEAD)]


def _cell(name: str, value: Any) -> list[str]:
    """A value, and of a moment the date. Zero and less is none: so are withdrawals spelled."""
    shown = ["" if value is None else str(value)]
    if isinstance(value, int) and value > 0 and name in COLUMNS and COLUMNS[name].is_moment:
        shown.append(f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}")
    return shown


def _markdown(found: QueryResult) -> str:
    head = [found.columns, ["---"] * len(found.columns)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (*head, *_masked(found)))


def _masked(found: QueryResult) -> list[list[Any]]:
    """The result's rows, with what the contracts call personal masked, whichever table it comes from."""
    pii = [COLUMNS[name].pii if name in COLUMNS else Pii.NONE for name in found.columns]
    return [[metadata.mask(value, kind) for value, kind in zip(row, pii, strict=True)] for row in found.rows]
