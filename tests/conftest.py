"""Fixtures: one engine session for the whole test run, and an empty lakehouse for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resources.lakehouse import spark_ddl
from stedi_assets.contracts import TABLES, Table
from tests.support import ENGINE, ENGINES, MakeFrame, Rows, Stedi, require_apache_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one session of the whole test run."""
    yield ENGINE.spark_session
    ENGINE.close()


@pytest.fixture(scope="session")
def apache_spark() -> Iterator[SparkSession]:
    """The one session on Apache Spark, whose JVM serves the whole test run."""
    require_apache_spark()
    yield ENGINES["local"].spark_session
    ENGINES["local"].close()


@pytest.fixture(scope="session")
def frame(spark: SparkSession) -> MakeFrame:
    """Build a table's DataFrame from dicts; columns that a dict leaves out are null."""

    def make(table: Table | str, rows: Rows) -> DataFrame:
        contract = TABLES[table] if isinstance(table, str) else table
        values = [tuple(row.get(name) for name in contract.column_names) for row in rows]
        return spark.createDataFrame(values, spark_ddl(contract))

    return make


@pytest.fixture
def stedi(tmp_path: Path, spark: SparkSession) -> Stedi:
    """An empty lakehouse of the test's own."""
    return Stedi(tmp_path)
