"""The whole graph on the embedded engine and on Apache Spark: the same rows, types, checks and reasons.

Every table function, every check and the parser run on both engines here; what only one of them has fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from sample.feeds import write_feeds
from stedi_assets.contracts import ASSETS, TABLES
from tests.conformance.hostile import write_hostile_feeds
from tests.support import ENGINES, REFERENCE, Outcome, Stedi, require_reference

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

# The hostile feeds alone would leave nothing to join: the sample lies beside them.
FEEDS_OF = {"sample and hostile, consent by date": "as-of-date", "reference": "customer"}


@pytest.fixture(params=FEEDS_OF)
def lakehouses(
    request: pytest.FixtureRequest, tmp_path: Path, apache_spark: SparkSession, rounds: Callable[[int, int], int]
) -> dict[str, tuple[Stedi, Outcome]]:
    """The lakehouse of each engine, made from the same feeds, and how its run went."""
    source = REFERENCE
    if request.param == "reference":
        require_reference()
    else:
        source = tmp_path / "source"
        write_feeds(source, customers=rounds(30, 100))
        write_hostile_feeds(source, damaged_lines=rounds(500, 5_000))
    environment = {
        "STEDI_SOURCE": str(source),
        "STEDI_CONSENT": FEEDS_OF[request.param],
        "STEDI_QUARANTINE_LIMIT": "1",
    }
    stedis = {engine: Stedi(tmp_path / engine, environment, engine=engine) for engine in ENGINES}
    return {engine: (stedi, stedi.materialize(*ASSETS, "query_evidence")) for engine, stedi in stedis.items()}


def test_both_engines_make_the_same_lakehouse(lakehouses: dict[str, tuple[Stedi, Outcome]]) -> None:
    assert {engine: run.failure for engine, (_, run) in lakehouses.items() if not run.success} == {}
    (embedded, its_run), (local, locals_run) = lakehouses["embedded"], lakehouses["local"]
    for name in TABLES:
        assert_same(name, content(embedded, name), content(local, name))
    assert len(evaluations(locals_run)) > 50
    assert evaluations(its_run) == evaluations(locals_run)
    assert numbers(its_run) == numbers(locals_run)


def assert_same(table: str, embedded: list[str], local: list[str]) -> None:
    """Compare two tables row by row; name the first rows that only one engine has."""
    if embedded != local:
        found = [f"{table}: {len(embedded)} rows embedded, {len(local)} local"]
        found += [f"embedded: {row[:300]}" for row in sorted(set(embedded) - set(local))[:5]]
        found += [f"local: {row[:300]}" for row in sorted(set(local) - set(embedded))[:5]]
        pytest.fail("\n".join(found))


def content(stedi: Stedi, table: str) -> list[str]:
    """The table's columns as the engine wrote them, and its rows in canonical order, exact to the sign of zero."""
    loaded = stedi.lakehouse.load(table)
    assert loaded is not None
    files = [task.file.file_path.removeprefix("file://") for task in loaded.scan().plan_files()]
    columns = {str([(field.name, str(field.type)) for field in pq.read_schema(file)]) for file in files}
    rows = loaded.scan().to_arrow().to_pylist()
    # The run's id is in quarantined rows, and differs for a good reason.
    return [*sorted(columns), *sorted(repr({k: v for k, v in row.items() if k != "run"}) for row in rows)]


def evaluations(run: Outcome) -> dict[tuple[str, str], Any]:
    """What each check said, with its numbers."""
    return {
        key: (one.passed, one.severity, one.description, {name: value.value for name, value in one.metadata.items()})
        for key, one in run.checks.items()
    }


def numbers(run: Outcome) -> dict[str, Any]:
    """The row counts and dropped rows that each table's page shows."""
    shown = ("dagster/row_count", "records ", "dropped", "first reading", "last reading")
    return {
        table: {name: value for name, value in run.metadata(table).items() if name.startswith(shown)}
        for table in TABLES
    }
