"""Fixtures: one engine session and one server for the whole test run, and an empty lakehouse for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from resources.engines.embedded import EmbeddedSpark
from resources.engines.remote import RemoteSpark
from resources.iceberg.tables import spark_ddl
from stedi_assets.contracts import TABLES, Table
from tests.servers import CREDENTIALS
from tests.servers.ministack import PYTHON, Aws, ministack
from tests.support import ENGINE, ENGINES, MakeFrame, Rows, Stedi, require, require_apache_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tests.servers.emr_serverless import EmrServerless
    from tests.servers.glue_sessions import GlueSessions
    from tests.servers.sessions import ServiceT, SessionService


# The tests start a JVM in a process in which gRPC is at work already. Its handlers for forks, which runs never need,
# made one start of many fail («epoll_wait error: Bad file descriptor», JAVA_GATEWAY_EXITED).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

# How long it takes to make an example up says how busy the machine is, and nothing about the software.
hypothesis_settings.register_profile("stedi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("stedi")


# What a shell starts in the background ignores Ctrl-C, as all does that it starts; Dagster then ignores SIGTERM too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`: as many rounds as a fault may need to show. Without it, a few, so that the suite stays fast."""
    parser.addoption("--full", action="store_true", help="run the tests marked `slow` with all their rounds")


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """How often a test tries: `rounds(few, many)`."""
    return lambda few, many: many if pytestconfig.getoption("--full") else few


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


@pytest.fixture(scope="session")
def aws_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """The one server that stands for AWS, for the whole test run. This process is not pointed to it: see `aws`."""
    require(PYTHON.exists(), f"{PYTHON} is missing: run `make {PYTHON.parents[1].name}/installed`")
    from botocore.loaders import JSONFileLoader

    # Each session of boto3 parses AWS's models anew, for half a second; tests make sessions by the hundred.
    load = cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch, ministack(tmp_path_factory.mktemp("ministack")) as endpoint:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        yield Aws(endpoint)


@pytest.fixture
def aws(aws_account: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """An AWS account; while the test runs, all clients of this process talk to it."""
    for name, value in aws_account.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return aws_account


@pytest.fixture
def emr(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmrServerless]:
    """EMR Serverless for one test, in front of the test run's engine. This process is pointed to it."""
    from tests.servers.emr_serverless import EmrServerless

    with pointed_to(EmrServerless, spark, monkeypatch) as service:
        yield service


@pytest.fixture
def glue(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[GlueSessions]:
    """AWS Glue's sessions, likewise."""
    from tests.servers.glue_sessions import GlueSessions

    with pointed_to(GlueSessions, spark, monkeypatch) as service:
        yield service


@pytest.fixture(params=["emr", "glue"])
def service(request: pytest.FixtureRequest) -> SessionService:
    """Each service with sessions."""
    found: SessionService = request.getfixturevalue(request.param)
    return found


@contextmanager
def pointed_to(kind: type[ServiceT], spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceT]:
    """The server, while clients of this process talk to it."""
    from tests.servers.sessions import serving

    # The engine behind it is the embedded one, which does not tell which file a line came from.
    monkeypatch.setattr(RemoteSpark, "read_text", EmbeddedSpark.read_text)
    with serving(kind(spark.client._builder.endpoint)) as service:  # type: ignore[attr-defined]
        for name, value in {**CREDENTIALS, service.variable: service.url}.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("resources.engines.remote_session.SHORTEST_PAUSE", 0.01)
        monkeypatch.setattr("resources.engines.glue.STOP_PAUSE", 0.01)
        yield service
