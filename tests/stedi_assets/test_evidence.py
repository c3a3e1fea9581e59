"""Evidence for people who want to look: queries that run anywhere, and pictures of their answers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlglot

from resources.query import EngineQuery
from sample.feeds import write_feeds
from stedi_assets.contracts import TABLES
from stedi_assets.evidence import PICTURED, picture_of, queries, tables_in
from tests.support import Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def sampled(stedi: Stedi) -> Stedi:
    write_feeds(stedi.folder / "sample", customers=30)
    stedi.environment["STEDI_SOURCE"] = str(stedi.folder / "sample")
    return stedi


@pytest.mark.parametrize("dialect", ["athena", "spark"])
def test_the_queries_are_sql_that_athena_and_spark_understand(dialect: str) -> None:
    for name, sql in queries().items():
        read = {table.name for table in sqlglot.parse_one(sql, read=dialect).find_all(sqlglot.exp.Table)}
        assert read == set(tables_in(sql)), name


def test_the_pictures_are_saved_and_shown_and_the_counts_are_right(sampled: Stedi) -> None:
    outcome = sampled.materialize(*TABLES, "query_evidence")
    assert outcome.success
    shown = outcome.metadata("query_evidence")
    for name in PICTURED:
        png = (Path(sampled.lakehouse.root) / "evidence" / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", png[16:24])
        assert width > 400
        assert height > 300
        assert "data:image/png;base64," in shown[f"{name}.png"]
    customers = sampled.counts()["customer_trusted"]
    assert f"| {customers} | {customers} | 0 |" in shown["consent_of_customer_trusted"]
    for name, rows in sampled.counts().items():
        if not name.endswith("_quarantine"):
            assert f"| {name} | {rows} |" in shown["table_counts"]


def test_only_the_landing_pictures_show_personal_data() -> None:
    from resources.query import QueryResult
    from stedi_assets import evidence

    answer = QueryResult(["email", "serialnumber"], [("ada@example.com", "1234-5678-abcd")], 0.1)
    assert "ada@example.com" in evidence._shown("customer_landing", answer)[0]
    masked = " ".join(evidence._shown("customer_trusted", answer)[0])
    assert "ada" not in masked
    assert "1234" not in masked
    assert picture_of("customer_trusted", "SELECT 1", answer, 1).startswith(b"\x89PNG")


def test_a_consent_dated_zero_or_before_is_none(spark: SparkSession) -> None:
    customers = spark.createDataFrame([(1655564376361,), (0,), (-1,), (None,)], "sharewithresearchasofdate bigint")
    answer = EngineQuery().run(queries()["consent_of_customer_trusted"], {"customer_trusted": lambda: customers})
    assert dict(zip(answer.columns, answer.rows[0], strict=True)) == {
        "customers": 4,
        "with_consent": 1,
        "without_consent": 3,
    }
