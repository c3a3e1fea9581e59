"""One engine session serves a run: it starts when it is first needed, tells what goes wrong, and leaves nothing."""

from __future__ import annotations

import gzip
import logging.config
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest
from pydantic import PrivateAttr
from sqlalchemy.exc import StatementError

from resources.engines import engine as engines
from resources.engines.embedded import EmbeddedSpark
from resources.engines.engine import ProgressLog, SparkEngine, analysing
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


def test_one_session_serves_every_table_until_it_is_closed_and_then_a_fresh_one_does(spark: SparkSession) -> None:
    with closing(Watched()) as engine:
        session = engine.spark_session
        assert session is engine.spark_session
        (port,) = engine.ports
        assert answers(port)
        session.range(1).createOrReplaceTempView("only_here")
        assert session.sql("select * from only_here").count() == 1
        with pytest.raises(Exception, match="only_here"):  # two engines do not meet
            spark.sql("select * from only_here").count()
        engine.close()
        assert not answers(port)
        engine.close()
        assert engine.spark_session.range(3).count() == 3
    assert len(engine.ports) == 2
    assert not any(map(answers, engine.ports))
    assert spark.range(3).count() == 3


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
import resources.engines.emr_serverless, resources.engines.local
from resources.engines.embedded import EmbeddedSpark
engine = EmbeddedSpark()
engine.engine
heavy = {"boto3", "botocore", "grpc", "pysail", "pyspark", "pyarrow"} & set(sys.modules)
assert not heavy, f"{heavy} were imported before they were needed"
spark = engine.spark_session
assert spark.range(3).count() == 3
try:
    spark.sql("select * from nowhere").count()
except Exception as error:
    assert "nowhere" in str(error)
engine.close()
engine.close()
"""


def test_engines_import_nothing_heavy_before_it_is_needed_and_add_no_noise_to_what_the_run_prints() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], env={"PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_session_of_the_process_itself_is_asked_for_no_progress() -> None:
    """Such as in a Glue job: it is none of Spark Connect's, and has none to tell."""
    from pyspark.sql.session import SparkSession as ClassicSession

    class AtHand(SharedSpark):
        def start(self) -> Any:
            return object.__new__(ClassicSession)

    assert isinstance(AtHand().spark_session, ClassicSession)


# What fails -------------------------------------------------------------------------------------------------------

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


@pytest.fixture(params=["embedded", "local"])
def lent(request: pytest.FixtureRequest) -> SparkEngine:
    """Each engine's session."""
    request.getfixturevalue({"embedded": "spark", "local": "apache_spark"}[request.param])
    return SharedSpark(lender=request.param)


def test_what_an_engine_says_of_a_row_is_in_no_error_and_no_log(
    lent: SharedSpark, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})  # as Dagster does for each run
    rows = lent.spark_session.createDataFrame([("ann@example.org",)], "email string")
    for query, names in STUMBLES.items():
        frame = rows.select(F.expr(query))
        with pytest.raises(LakehouseError) as failed, lent.at_work(), analysing(frame):
            frame.collect()
        assert str(failed.value.description).startswith(f"A query failed in the engine: {names[lent.lender]}.")
        told = "".join(traceback.format_exception(failed.value))
        assert "frame.collect()" in told  # the place in the code is
        assert "ann@" not in told
    assert "ann@" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize("names", ["shoe_size", "no_such_function(id)", "id + array(1)"])
def test_a_query_that_cannot_be_is_told_in_the_engine_s_own_words(lent: SharedSpark, names: str) -> None:
    frame = lent.spark_session.range(1).select(F.expr(names))
    word = names.partition("(")[0].partition(" ")[0]
    told = rf"(?s)refuses the query before it reads a row: .*{word}"
    with pytest.raises(LakehouseError, match=told) as refused, analysing(frame):
        frame.collect()
    assert refused.value.allow_retries is False


def at_work(do: Any) -> tuple[LakehouseError, str]:
    """The error that leaves a step which fails so, and all that Dagster keeps of it."""
    with pytest.raises(LakehouseError) as failed, SharedSpark().at_work():
        do()
    assert failed.value.allow_retries is False
    return failed.value, "".join(traceback.format_exception(failed.value))


ANN = "@".join(("ann", "example.org"))  # so that she is in no line of this file, which a traceback may show


def _raise(error: Exception) -> None:
    raise error


def _raise_over_another(error: Exception) -> None:
    try:
        int(ANN)
    except ValueError as quoting:
        raise error from quoting


QUOTES: dict[str, tuple[Callable[[], object], str]] = {
    "a number that is none": (lambda: int(ANN), "ValueError was raised in tests."),
    "a key that is not there": (lambda: dict[str, str]()[ANN], "KeyError was raised in tests."),
    "a failure with another error beneath": (lambda: _raise_over_another(dg.Failure("told")), "told"),
    "Arrow": (lambda: pa.array([ANN]).cast(pa.int64()), "ArrowInvalid was raised in pyarrow.lib. What it says may"),
    "what no operating system says": (lambda: gzip.decompress(ANN.encode()), "BadGzipFile was raised in gzip."),
    "SQLAlchemy": (lambda: _raise(StatementError(ANN, ANN, {}, None)), "the catalog in its folder says «StatementE"),
}


@pytest.mark.parametrize(("do", "sentence"), QUOTES.values(), ids=QUOTES)
def test_what_an_error_says_is_not_kept_for_it_may_quote_rows(do: Callable[[], object], sentence: str) -> None:
    """Whoever raises it: «ValueError: invalid literal for int() with base 10: 'ann@…'» is of our own code."""
    with pytest.raises(dg.Failure) as failed, SharedSpark().at_work():
        do()
    told = "".join(traceback.format_exception(failed.value))
    assert sentence in str(failed.value.description)
    assert not failed.value.allow_retries or sentence == "told"
    assert __file__ in told  # the place in the code is
    assert ANN not in told


def test_an_error_that_can_only_be_of_the_code_is_told_as_it_is() -> None:
    error, told = at_work(lambda: nobody)  # type: ignore[name-defined] # noqa: F821
    assert error.description == "NameError: name 'nobody' is not defined."
    assert "at_work(lambda: nobody)" in told


def test_what_the_operating_system_refuses_is_told_with_what_to_do(tmp_path: Path) -> None:
    error, _ = at_work((tmp_path / "gone").read_text)
    assert str(error.description).startswith("Could not finish the step: [Errno 2] No such file or directory: ")


def test_a_failure_that_is_told_already_leaves_a_step_as_it_is() -> None:
    with pytest.raises(dg.Failure) as failed, SharedSpark().at_work():
        raise dg.Failure("told", allow_retries=True)
    assert type(failed.value) is dg.Failure


# How far a long query is --------------------------------------------------------------------------------------------


def stage(number: int, tasks: int, completed: int, done: bool = False) -> SimpleNamespace:
    return SimpleNamespace(stage_id=number, num_tasks=tasks, num_completed_tasks=completed, done=done)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr(engines.time, "monotonic", lambda: now[0])
    return now


def test_open_stages_are_reported_every_ten_seconds_of_a_query_and_none_of_a_shorter_one(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    report = ProgressLog(logging.getLogger("run"))
    for second in range(26):
        clock[0] = 100.0 + second
        report([stage(1, 8, 8, done=True), stage(2, 200, second)], 2, "long", False)
    assert caplog.messages == ["stage 2: 10 of 200 tasks done", "stage 2: 20 of 200 tasks done"]
    for second in range(30):
        clock[0] += 1
        report([stage(second, 4, 1)], 1, f"short {second // 9}", False)
    report(None, 0, "the last", True)
    assert len(caplog.messages) == 2


def test_apache_spark_sends_its_progress(
    apache_spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(engines, "PROGRESS_SECONDS", 0.0)
    handler = ProgressLog(logging.getLogger("run"))
    apache_spark.registerProgressHandler(handler)
    apache_spark.conf.set("spark.connect.progress.reportInterval", "50ms")
    try:
        sleepy = "java_method('java.lang.Thread', 'sleep', 300L + 0 * id) is null"
        apache_spark.range(0, 4, 1, 4).where(sleepy).collect()
    finally:
        apache_spark.removeProgressHandler(handler)
        apache_spark.conf.unset("spark.connect.progress.reportInterval")
    assert any(" of 4 tasks done" in message for message in caplog.messages)
