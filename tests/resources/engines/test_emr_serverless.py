"""An application of EMR Serverless is used where it suits; where it does not, the sentence says what to do."""

from __future__ import annotations

import pytest

from resources.engines.emr_serverless import SESSION_CONF, EmrServerlessSpark, require_suitable
from resources.engines.engine import COMMON_CONF
from resources.engines.remote import SPARK_OF
from resources.errors import LakehouseError
from resources.settings import Settings
from stedi_assets.definitions import build_resources
from tests.resources.session_runs import refusal, run
from tests.servers.emr_serverless import APPLICATION, EmrServerless
from tests.servers.sessions import ROLE

RELEASES = SPARK_OF["EMR Serverless"]


def application(release: str) -> dict[str, object]:
    return {"applicationId": "00app", "releaseLabel": release, "interactiveConfiguration": {"sessionEnabled": True}}


@pytest.mark.parametrize(("release", "spark"), RELEASES.items())
def test_each_release_takes_the_client_of_its_own_spark(release: str, spark: str) -> None:
    assert require_suitable(application(release), spark) == release
    with pytest.raises(LakehouseError, match=f"install pyspark=={spark}"):
        require_suitable(application(release), "4.2.0")


@pytest.mark.parametrize(
    ("pyspark", "advice"),
    [("4.1.3", "choose release emr-spark-8.2.0 for the application."), ("4.2.0", "choose one of emr-spark-8.2.0, ")],
)
def test_a_release_that_nobody_knows_here_is_told_what_to_choose(pyspark: str, advice: str) -> None:
    with pytest.raises(LakehouseError) as refused:
        require_suitable(application("emr-6.15.0"), pyspark)
    assert f"has release emr-6.15.0, whose Spark is not known here: {advice}" in str(refused.value.description)


def test_a_client_of_another_spark_is_told_which_release_or_pyspark_to_choose(emr: EmrServerless) -> None:
    emr.application["releaseLabel"] = "emr-7.13.0"
    assert refusal(emr, retry=False).endswith(
        "has release emr-7.13.0, which runs Spark 3.5.6, but pyspark 4.1.1 is installed here, and the two must be "
        "equal: choose release emr-spark-8.1.0 for the application, or install pyspark==3.5.6 here."
    )
    assert emr.sessions == {}


@pytest.mark.parametrize("says", [{"sessionEnabled": False}, {}], ids=["disabled", "nothing said"])
def test_an_application_without_sessions_is_told_how_to_enable_them(emr: EmrServerless, says: dict[str, bool]) -> None:
    emr.application["interactiveConfiguration"] = says
    sentence = refusal(emr, retry=False)
    assert "has no interactive sessions enabled" in sentence
    assert "--interactive-configuration sessionEnabled=true" in sentence
    assert emr.sessions == {}


def test_an_application_that_is_not_there_is_told_so(emr: EmrServerless) -> None:
    assert "Application 00notthere does not exist" in refusal(emr, retry=False, application_id="00notthere")


def test_the_session_has_the_settings_that_were_asked_for(emr: EmrServerless) -> None:
    conf = {"spark.executor.cores": "2", "spark.emr-serverless.scalingProfile": "FAST_SCALE"}
    done = run(emr, conf=conf, idle_minutes=7)
    (session,) = emr.sessions.values()
    assert session.request["executionRoleArn"] == ROLE
    assert session.request["idleTimeoutMinutes"] == 7
    (spark,) = session.request["configurationOverrides"]["runtimeConfiguration"]
    assert spark == {"classification": "spark-defaults", "properties": {**COMMON_CONF, **SESSION_CONF, **conf}}
    assert spark["properties"]["spark.ssl.internode.enabled"] == "true", "rows in shuffles go in the clear"
    assert done.metadata == {
        "engine": "EMR Serverless emr-spark-8.1.0 (Spark 4.1.1)",
        "EMR application": APPLICATION,
        "EMR session": session.id,
        "Spark version": "4.1.1",
    }


def test_the_settings_choose_the_engine() -> None:
    environment = {
        "STEDI_LAKEHOUSE": "s3://bucket/prefix",
        "STEDI_SPARK": "emr-serverless",
        "STEDI_EMR_APPLICATION_ID": APPLICATION,
        "STEDI_EMR_EXECUTION_ROLE_ARN": ROLE,
        "STEDI_EMR_IDLE_MINUTES": "5",
        "STEDI_SPARK_CONF": "spark.executor.cores=2",
    }
    spark = build_resources(Settings.from_environment(environment))["spark"]
    assert isinstance(spark, EmrServerlessSpark)
    assert (spark.application_id, spark.execution_role_arn, spark.idle_minutes) == (APPLICATION, ROLE, 5)
    assert spark.conf == {"spark.executor.cores": "2"}
    assert len(spark.code_version) == 12
