"""Evidence for people who want to look: the queries in `sql/queries/`, run and rendered as pictures.

Belongs here: the one asset that does it. The pictures of landing tables show raw records, as the mission asks for;
in all others, personal fields are masked.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.errors import translate_errors
from resources.files.landing_zone import folder_at
from resources.iceberg.lakehouse import Lakehouse
from resources.query import Query, QueryResult
from stedi_assets.contracts import TABLES, Pii, Zone
from stedi_assets.pictures import table_picture
from stedi_assets.pipeline import report
from stedi_assets.pipeline.publish import Tables, published_rows
from stedi_assets.pipeline.table import OWNER, code_version
from stedi_assets.rules import Consent

QUERIES = Path(__file__).parents[1] / "sql" / "queries"
PICTURED = ("customer_landing", "accelerometer_landing", "customer_trusted")


def tables_in(sql: str) -> list[str]:
    """The lakehouse tables that a query reads."""
    return [name for name in TABLES if re.search(rf"\bFROM\s+{name}\b", sql, re.IGNORECASE)]


def queries() -> dict[str, str]:
    """The verification queries, by name."""
    return {path.stem: path.read_text() for path in sorted(QUERIES.glob("*.sql"))}


@dg.asset(
    group_name="evidence",
    deps=sorted({table for sql in queries().values() for table in tables_in(sql)}),
    kinds={"sql", "png"},
    owners=[OWNER],
    tags={"zone": "evidence", "contains_pii": "yes"},
    description="The queries in sql/queries/, run on the published tables. Their results are saved as pictures "
    "under `<lakehouse>/evidence/` and shown here: what landed, what is trusted, and the proof of consent.",
    code_version=code_version(*queries().values()),
)
def query_evidence(
    context: dg.AssetExecutionContext, query: Query, spark: SparkEngine, lakehouse: Lakehouse
) -> Iterator[Any]:
    """Run every verification query; picture the three that the mission asks for, list the others."""
    tables = Tables(spark, lakehouse, Consent.CUSTOMER)
    folder = folder_at(lakehouse.root).below("evidence")
    metadata: dict[str, Any] = {}
    for name, sql in queries().items():
        with spark.at_work():
            answer = query.run(sql, {table: partial(tables.frame, table) for table in tables_in(sql)})
        context.log.info(f"{name}: {len(answer.rows)} rows in {answer.seconds:.2f} s")
        metadata[f"seconds: {name}"] = round(answer.seconds, 3)
        metadata |= {f"{statistic}: {name}": value for statistic, value in answer.statistics.items()}
        if name in PICTURED:
            picture = picture_of(name, sql, answer, published_rows(lakehouse, name) or 0)
            with translate_errors(f"save the picture of {name}", lakehouse.root), folder.create(f"{name}.png") as out:
                out.write(picture)
            metadata[f"{name}.png"] = report.embedded(name, picture)
        else:
            metadata[name] = dg.MetadataValue.md(_markdown(answer))
    metadata["folder"] = dg.MetadataValue.path(folder.path(""))
    if spark.is_started:  # where Athena answers, this asset alone starts none
        metadata |= spark.metadata
    yield dg.MaterializeResult(metadata=metadata)


def picture_of(table: str, sql: str, answer: QueryResult, rows: int) -> bytes:
    """The answer as a PNG: the query, the result, how many rows the table has, and how long the query took."""
    statement = "\n".join(line for line in sql.strip().splitlines() if not line.startswith("--"))
    footer = (
        f"{len(answer.rows)} rows shown of {rows:,} in {table}. The query took {answer.seconds:.2f} s "
        f"on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )
    return table_picture(statement, answer.columns, _shown(table, answer), footer)


def _shown(table: str, answer: QueryResult) -> list[list[str]]:
    rows = answer.rows if TABLES[table].zone is Zone.LANDING else _masked(answer)
    return [["" if value is None else str(value) for value in row] for row in rows]


def _markdown(answer: QueryResult) -> str:
    head = [answer.columns, ["---"] * len(answer.columns)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (*head, *_masked(answer)))


def _masked(answer: QueryResult) -> list[list[Any]]:
    """The answer's rows, with what the contracts call personal masked, whichever table it comes from."""
    kinds = {column.name: column.pii for table in TABLES.values() for column in table.columns}
    pii = [kinds.get(name, Pii.NONE) for name in answer.columns]
    return [[report.mask(value, kind) for value, kind in zip(row, pii, strict=True)] for row in answer.rows]
