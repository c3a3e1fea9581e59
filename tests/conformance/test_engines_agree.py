"""The whole graph on the embedded engine and on Apache Spark: the same rows, types, checks and reasons.

Every table function, every audit and the reader run on both engines here; what only one of them has fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from sample.feeds import write_feeds
from stedi_assets.contracts import FEEDS, TABLES
from tests.conformance.hostile import write_hostile_feeds
from tests.support import ENGINES, REFERENCE, Outcome, Stedi, require_reference

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STORED = [*(feed.records.name for feed in FEEDS), *(name for name in TABLES if not name.endswith("_landing"))]


@pytest.fixture(scope="module", autouse=True)
def both_engines(spark: SparkSession, apache_spark: SparkSession) -> None:
    """Both engines are needed."""


def sample(seed: int) -> Callable[[Path], None]:
    """A writer of small sample feeds."""

    def write(folder: Path) -> None:
        write_feeds(folder, customers=60, seed=seed)

    return write


FEEDS_OF = {
    "sample": (sample(20220615), {}),
    "another sample, consent by date": (sample(7), {"STEDI_CONSENT": "as-of-date"}),
    "hostile": (write_hostile_feeds, {"STEDI_QUARANTINE_LIMIT": "1"}),
    "reference": (None, {}),
}


@pytest.fixture(params=FEEDS_OF)
def lakehouses(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Stedi], dict[str, Outcome]]:
    """The lakehouse of each engine, made from the same feeds, and how its run went."""
    write, settings = FEEDS_OF[request.param]
    source = tmp_path / "source" if write else REFERENCE
    if write:
        write(source)
    elif not source.is_dir():
        require_reference()
    environment = {"STEDI_SOURCE": str(source), **settings}
    stedis = {engine: Stedi(tmp_path / engine, environment, engine=engine) for engine in ENGINES}
    runs = {engine: stedi.materialize(*TABLES, "query_evidence") for engine, stedi in stedis.items()}
    return stedis, runs


def test_both_engines_make_the_same_lakehouse(
    lakehouses: tuple[dict[str, Stedi], dict[str, Outcome]],
) -> None:
    stedis, runs = lakehouses
    assert {engine: run.failure for engine, run in runs.items() if not run.success} == {}
    embedded, local = (({name: content(stedi, name) for name in STORED}) for stedi in stedis.values())
    for name in STORED:
        assert_same(name, embedded[name], local[name])
    assert consent_of_customers(runs["embedded"]) == consent_of_customers(runs["local"])
    assert len(consent_of_customers(runs["local"])) > 50
    assert numbers(runs["embedded"]) == numbers(runs["local"])


def assert_same(table: str, embedded: list[str], local: list[str]) -> None:
    """Compare two tables row by row; name the first rows that only one engine has."""
    if embedded != local:
        only = [set(embedded) - set(local), set(local) - set(embedded)]
        found = [f"{table}: {len(embedded)} rows embedded, {len(local)} local"]
        found += [
            f"{engine}: {row[:300]}" for engine, rows in zip(ENGINES, only, strict=True) for row in sorted(rows)[:5]
        ]
        pytest.fail("\n".join(found))


def content(stedi: Stedi, table: str) -> list[str]:
    """The table's columns as the engine wrote them, and its rows in canonical order, exact to the sign of zero."""
    loaded = stedi.lakehouse.load(table)
    assert loaded is not None
    written = [pq.read_schema(Path(stedi.lakehouse.root, path)) for path in data_files(stedi, table)]
    columns = {str([(field.name, str(field.type)) for field in schema]) for schema in written}
    rows = loaded.scan().to_arrow().to_pylist()
    # The run's id is in quarantined rows, and differs for a good reason.
    return [*sorted(columns), *sorted(repr({k: v for k, v in row.items() if k != "run"}) for row in rows)]


def data_files(stedi: Stedi, table: str) -> list[Path]:
    """The Parquet files of the published version."""
    loaded = stedi.lakehouse.load(table)
    assert loaded is not None
    return [Path(task.file.file_path.removeprefix("file://")) for task in loaded.scan().plan_files()]


def consent_of_customers(run: Outcome) -> dict[tuple[str, str], Any]:
    """What each check said, with its numbers."""
    return {
        key: (one.passed, one.severity, one.description, {name: value.value for name, value in one.metadata.items()})
        for key, one in run.checks.items()
    }


def numbers(run: Outcome) -> dict[str, Any]:
    """The row counts and exclusions that each table's page shows."""
    shown = ("dagster/row_count", "records ", "left out", "first reading", "last reading")
    return {
        table: {name: value for name, value in run.metadata(table).items() if name.startswith(shown)}
        for table in TABLES
    }
