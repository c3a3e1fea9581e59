"""One engine session serves a run: it starts when it is first needed, and nothing of it is left afterwards."""

from __future__ import annotations

import logging.config
import socket
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from pydantic import PrivateAttr

from resources.engines.embedded import EmbeddedSpark
from resources.engines.engine import analysed
from resources.errors import LakehouseError
from resources.lazy import LazyModule
from tests.support import ROOT, SharedSpark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")


class Watched(EmbeddedSpark):
    """The embedded engine, with a note of the ports that it was started on."""

    _ports: list[int] = PrivateAttr(default_factory=list)

    def start(self) -> SparkSession:
        session = super().start()
        self._ports.append(self._server.listening_address[1])
        return session

    @property
    def ports(self) -> list[int]:
        return self._ports


def answers(port: int) -> bool:
    """Whether a server listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_engine_starts_with_the_first_table_that_needs_it_and_not_before() -> None:
    engine = Watched()
    assert engine.engine.startswith("Sail ")
    assert "(Spark 4." in engine.engine
    engine.close()
    assert engine.ports == []


def test_one_session_serves_every_table_until_it_is_closed() -> None:
    engine = Watched()
    try:
        session = engine.spark_session
        assert session is engine.spark_session
        (port,) = engine.ports
        assert answers(port)
        assert session.range(3).count() == 3
    finally:
        engine.close()
    assert not answers(port)
    engine.close()
    assert engine.ports == [port]


def test_a_closed_engine_can_be_used_again() -> None:
    engine = Watched()
    try:
        assert engine.spark_session.range(2).count() == 2
        engine.close()
        assert engine.spark_session.range(3).count() == 3
    finally:
        engine.close()
    assert not any(map(answers, engine.ports))


def test_an_engine_that_starts_but_cannot_be_reached_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql.connect.client import DefaultChannelBuilder

    ports = []

    def unreachable(builder: DefaultChannelBuilder) -> None:
        ports.append(int(builder.endpoint.rpartition(":")[2]))
        raise ConnectionError("no route to the engine")

    monkeypatch.setattr(DefaultChannelBuilder, "toChannel", unreachable)
    engine = EmbeddedSpark()
    with pytest.raises(ConnectionError):
        _ = engine.spark_session
    assert answers(ports[0])
    engine.close()
    assert not answers(ports[0])


def test_two_engines_do_not_meet(spark: SparkSession) -> None:
    engine = Watched()
    try:
        engine.spark_session.range(1).createOrReplaceTempView("only_here")
        assert engine.spark_session.sql("select * from only_here").count() == 1
        with pytest.raises(Exception, match="only_here"):
            spark.sql("select * from only_here").count()
    finally:
        engine.close()
    assert spark.range(3).count() == 3


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_the_session_ends_with_the_run_that_started_it(fails: bool) -> None:
    """Dagster hands each run a copy of the resource."""
    used: list[Watched] = []

    @dg.asset
    def table(spark: Watched) -> None:
        used.append(spark)
        assert spark.spark_session.range(1).count() == 1
        if fails:
            raise dg.Failure("no")

    result = dg.materialize([table], resources={"spark": Watched()}, raise_on_error=False)
    assert result.success is not fails
    (port,) = used[0].ports
    assert not answers(port)


RUN = """
import sys
from resources.engines.embedded import EmbeddedSpark
engine = EmbeddedSpark()
engine.engine
assert not {"pysail", "pyspark"} & set(sys.modules), "the engine was imported before it was needed"
spark = engine.spark_session
assert spark.range(3).count() == 3
try:
    spark.sql("select * from nowhere").count()
except Exception as error:
    assert "nowhere" in str(error)
engine.close()
engine.close()
"""


def test_an_engine_adds_no_noise_to_what_the_run_prints() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], env={"PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Of what an engine says: its name for the error, and what no row can have said.
STUMBLES = {
    "cast(email AS bigint)": {"embedded": "SparkRuntimeException («Cast error»)", "local": "CAST_INVALID_INPUT"},
    "raise_error(email)": {"embedded": "AnalysisException", "local": "USER_RAISED_EXCEPTION"},
    "map(email, 1, email, 2)": {"embedded": "AnalysisException", "local": "DUPLICATED_MAP_KEY"},
    "raise_error('[ANN_EXAMPLE] ' || email)": {"embedded": "AnalysisException", "local": "USER_RAISED_EXCEPTION"},
    "raise_error('No space left on device: ' || email)": {
        "embedded": "AnalysisException («No space left»)",
        "local": "USER_RAISED_EXCEPTION («No space left»)",
    },
}


@pytest.mark.parametrize("lender", ["embedded", "local"])
def test_what_an_engine_says_of_a_row_is_in_no_error_and_no_log(
    request: pytest.FixtureRequest, lender: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    request.getfixturevalue({"embedded": "spark", "local": "apache_spark"}[lender])
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})  # as Dagster does for each run
    engine = SharedSpark(lender=lender)
    rows = engine.spark_session.createDataFrame([("ann@example.org",)], "email string")
    for query, names in STUMBLES.items():
        with pytest.raises(LakehouseError) as failed, engine.at_work():
            rows.select(F.expr(query)).collect()
        assert str(failed.value.description).startswith(f"A query failed in the engine: {names[lender]}.")
        told = "".join(traceback.format_exception(failed.value))
        assert "rows.select(F.expr(query)).collect()" in told  # the place in the code is
        assert "ann@" not in told
    assert "ann@" not in "".join(capfd.readouterr()) + caplog.text


def test_an_error_that_is_none_of_the_engine_s_is_told_as_it_is() -> None:
    with pytest.raises(LakehouseError, match="ValueError: mine"), SharedSpark().at_work():
        raise ValueError("mine")


def test_a_query_that_names_what_is_not_there_is_told_in_the_engine_s_own_words(spark: SparkSession) -> None:
    with pytest.raises(LakehouseError, match=r"refuses the query before it reads a row: .*shoe_size"):
        analysed(spark.range(1).select("shoe_size"))
    assert analysed(spark.range(1)).count() == 1
