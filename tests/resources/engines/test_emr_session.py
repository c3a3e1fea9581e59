"""A session is asked for once, of an application that suits, waited for not for ever, and never left behind."""

from __future__ import annotations

import logging
import re
import shlex
from contextlib import closing
from importlib.metadata import version
from typing import Any

import pytest
from awscli.clidriver import create_clidriver

from resources import aws
from resources.engines import emr_session
from resources.engines.emr_serverless import SPARK_OF, require_suitable
from resources.errors import LakehouseError
from tests.resources.emr_runs import engine
from tests.servers.emr_serverless import BROKEN, THROTTLED, ApiError, EmrServerless, Fault, denied


def refusal(emr: EmrServerless, retry: bool, **fields: Any) -> str:
    """What the first table that needs the engine is told. No session is left by then."""
    with closing(engine(**fields)) as spark:
        with pytest.raises(LakehouseError) as refused:
            _ = spark.spark_session
        assert not emr.alive
    assert refused.value.allow_retries is retry
    return str(refused.value.description)


# The application --------------------------------------------------------------------------------------------------


def application(release: str) -> dict[str, object]:
    return {"applicationId": "00app", "releaseLabel": release, "interactiveConfiguration": {"sessionEnabled": True}}


@pytest.mark.parametrize(("release", "spark"), SPARK_OF.items())
def test_each_release_takes_the_client_of_its_own_spark(release: str, spark: str) -> None:
    assert require_suitable(application(release), spark) == release
    with pytest.raises(LakehouseError, match=f"install pyspark=={spark}"):
        require_suitable(application(release), "4.2.0")


def test_the_projects_own_pyspark_has_a_release() -> None:
    assert version("pyspark") in SPARK_OF.values()


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
        "has release emr-7.13.0, which runs Spark 3.5.6, but pyspark 4.1.3 is installed here, and the two must be "
        "equal: choose release emr-spark-8.2.0 for the application, or install pyspark==3.5.6 here."
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


# The session ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("StartSession", BROKEN),
        ("StartSession", Fault(BROKEN, after=True)),
        ("TerminateSession", THROTTLED),
        ("TerminateSession", BROKEN),
    ],
    ids=["start broken before", "start broken after there was a session", "end throttled", "end broken"],
)
def test_what_is_tried_again_starts_no_second_session_and_leaves_none(
    emr: EmrServerless, operation: str, fault: Any
) -> None:
    emr.fail(operation, fault)
    with closing(engine()) as spark:
        assert spark.spark_session.range(3).count() == 3
    assert emr.calls.count(operation) == 2
    assert len(emr.sessions) == 1
    assert not emr.alive


def test_a_session_whose_start_was_never_answered_is_found_and_terminated(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(aws.PATIENCE, "retries", {"total_max_attempts": 1})
    emr.fail("StartSession", Fault(BROKEN, after=True))
    refusal(emr, retry=True)
    assert len(emr.sessions) == 1


@pytest.mark.parametrize("action", ["GetApplication", "StartSession", "GetSession", "GetSessionEndpoint"])
def test_denied_access_names_the_action_that_is_missing_and_nobody_and_is_not_tried_again(
    emr: EmrServerless, action: str
) -> None:
    emr.fail(action, denied(action))
    sentence = refusal(emr, retry=False)
    assert f"emr-serverless:{action} is not allowed" in sentence
    assert "example.com" not in sentence
    assert emr.calls.count("StartSession") == (action != "GetApplication")


def test_a_session_that_fails_is_told_in_awss_own_words(emr: EmrServerless) -> None:
    emr.start_states = ["SUBMITTED", "STARTING", "FAILED"]
    emr.failure = "The driver could not be initialized."
    assert refusal(emr, retry=True) == (
        f"EMR Serverless session {next(iter(emr.sessions))} did not start, it is FAILED: The driver could not be "
        "initialized."
    )


FULL = "Worker could not be allocated as the application has exceeded maximumCapacity settings: [cpu: 16 vCPU]"
OVER_QUOTA = ApiError(402, "ServiceQuotaExceededException", "The account has reached its limit of concurrent vCPUs.")


@pytest.mark.parametrize("refused", [True, False], ids=["refused at once", "failed later"])
def test_where_there_is_no_room_the_quota_is_named_with_what_raises_it(emr: EmrServerless, refused: bool) -> None:
    if refused:
        emr.fail("StartSession", OVER_QUOTA)
    emr.start_states, emr.failure = ["SUBMITTED", "FAILED"], FULL
    sentence = refusal(emr, retry=not refused)
    assert (OVER_QUOTA.message if refused else FULL) in sentence
    assert "quota «Max concurrent vCPUs per account» of EMR Serverless, which is 16 or less on a new acc" in sentence
    (command,) = re.findall(r"aws (service-quotas .*)\.$", sentence)
    assert create_clidriver().main([*shlex.split(command), "--generate-cli-skeleton", "output"]) == 0


def test_a_session_that_takes_too_long_to_start_is_terminated(emr: EmrServerless) -> None:
    emr.start_states = ["SUBMITTED", "STARTING"]
    sentence = refusal(emr, retry=False, start_minutes=0.001)
    assert "did not start within 0.001 minutes, it is still STARTING: Waiting for capacity." in sentence
    assert "STEDI_EMR_START_MINUTES" in sentence


@pytest.mark.parametrize("ready", ["STARTED", "IDLE", "BUSY"])
def test_a_session_is_used_as_soon_as_it_can_be(emr: EmrServerless, ready: str) -> None:
    emr.start_states = [ready]
    with closing(engine()) as spark:
        assert spark.spark_session.range(3).count() == 3


@pytest.mark.parametrize(("every", "times"), [(30.0, 1), (0.0, 5)], ids=["a start", "a start that lasts"])
def test_the_log_says_how_the_start_goes_on(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, every: float, times: int
) -> None:
    monkeypatch.setattr(emr_session, "LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(emr_session, "REPORT_EVERY", every)
    emr.start_states = ["SUBMITTED"] * 2 + ["STARTING"] * 5 + ["IDLE"]
    caplog.set_level(logging.INFO)
    with closing(engine()) as spark:
        _ = spark.spark_session
    session = next(iter(emr.sessions))
    told = [re.sub(r"\d+ s$", "… s", record.getMessage()) for record in caplog.records]
    said = [sentence for sentence in told if session in sentence]
    assert said == [
        f"EMR Serverless session {session} was asked for",
        f"EMR Serverless session {session} is SUBMITTED after … s",
        *[f"EMR Serverless session {session} is STARTING after … s"] * times,
        f"EMR Serverless session {session} is being terminated",
    ]
