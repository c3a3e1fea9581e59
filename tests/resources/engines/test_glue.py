"""A session of AWS Glue has the release of the client's Spark, and as many workers as the settings ask for."""

from __future__ import annotations

from typing import Any

import pytest

from resources.engines.glue import GlueSpark
from resources.errors import LakehouseError
from resources.settings import Settings
from stedi_assets.definitions import build_resources
from tests.resources.session_runs import engine, run
from tests.servers.glue_sessions import GlueSessions
from tests.servers.sessions import ROLE, violations


def test_the_session_has_the_release_workers_and_settings_that_were_asked_for(glue: GlueSessions) -> None:
    done = run(glue, conf={"spark.sql.shuffle.partitions": "8"}, idle_minutes=7, workers=3, worker_type="G.2X")
    (session,) = glue.sessions.values()
    asked = {name: session.request[name] for name in ("SessionType", "GlueVersion", "WorkerType", "NumberOfWorkers")}
    assert asked == {"SessionType": "SPARK_CONNECT", "GlueVersion": "6.0", "WorkerType": "G.2X", "NumberOfWorkers": 3}
    assert (session.request["Role"], session.request["IdleTimeout"]) == (ROLE, 7)
    assert session.request["DefaultArguments"]["--conf"].split(" --conf ") == [
        "spark.sql.session.timeZone=UTC",
        "spark.python.sql.dataFrameDebugging.enabled=false",
        "spark.sql.shuffle.partitions=8",
    ]
    assert done.metadata == {
        "engine": "AWS Glue 6.0 (Spark 4.1.1)",
        "Glue session": session.id,
        "Spark version": "4.1.1",
    }


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"SessionType": "SPARK"}, "'SPARK' is none of ['LIVY', 'SPARK_CONNECT']"),
        ({"Role": "role/stedi"}, "Role"),
        ({"Workers": 2}, "Workers"),
        ({"NumberOfWorkers": "2"}, "NumberOfWorkers"),
    ],
)
def test_the_server_of_these_tests_takes_what_botocores_model_takes_and_nothing_else(
    glue: GlueSessions, changed: dict[str, Any], told: str
) -> None:
    shape, spark = glue.model.operation_model("CreateSession").input_shape, engine(glue)
    spark._release = spark.suitable_release("4.1.1")
    request = spark.request("run-1")
    assert violations(shape, request) == ""
    assert told in violations(shape, {**request, **changed})


@pytest.mark.parametrize(("pyspark", "release"), [("4.1.1", "6.0"), ("3.5.6", "5.1")])
def test_the_release_is_that_of_the_clients_spark(pyspark: str, release: str) -> None:
    assert engine("glue").suitable_release(pyspark) == release


def test_a_client_of_another_spark_is_told_which_pyspark_to_install() -> None:
    with pytest.raises(LakehouseError, match="No release of AWS Glue runs Spark") as refused:
        engine("glue").suitable_release("4.1.3")
    assert "install pyspark==4.1.1 (for Glue 6.0) or pyspark==3.5.6 (for Glue 5.1) here." in str(refused.value)


def test_a_session_of_a_few_seconds_is_billed_for_a_minute_of_each_worker(
    glue: GlueSessions, capfd: pytest.CaptureFixture[str]
) -> None:
    glue.dpu_seconds = 20.0
    assert run(glue).result.success
    assert "AWS Glue bills 0.0333 DPU-hours, for this run" in capfd.readouterr().err


def test_the_settings_choose_the_engine() -> None:
    environment = {
        "STEDI_LAKEHOUSE": "s3://bucket/prefix",
        "STEDI_SPARK": "glue",
        "STEDI_GLUE_EXECUTION_ROLE_ARN": ROLE,
        "STEDI_DATABASE": "feeds",
        "STEDI_GLUE_WORKERS": "5",
        "STEDI_SPARK_CONF": "spark.sql.shuffle.partitions=8",
    }
    spark = build_resources(Settings.from_environment(environment))["spark"]
    assert isinstance(spark, GlueSpark)
    assert (spark.execution_role_arn, spark.workers, spark.worker_type) == (ROLE, 5, "G.1X")
    assert spark.conf == {"spark.sql.shuffle.partitions": "8"}
    assert spark.database == "feeds"
    assert len(spark.code_version) == 12
