"""A session is asked for once, waited for with patience that ends, and never left behind."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from resources import aws
from resources.engines import emr_session
from resources.errors import LakehouseError
from tests.resources.emr_runs import engine
from tests.servers.emr_serverless import BROKEN, THROTTLED, EmrServerless, Fault, denied


def refusal(emr: EmrServerless, kind: type[Exception] = LakehouseError, **fields: Any) -> Any:
    """What the first table that needs the engine is told. No session is left by then."""
    spark = engine(**fields)
    try:
        with pytest.raises(kind) as refused:
            _ = spark.spark_session
        assert not emr.alive
    finally:
        spark.close()
    return refused.value


@pytest.mark.parametrize(
    "faults",
    [[THROTTLED], [BROKEN], [Fault(BROKEN, after=True)]],
    ids=["throttled", "broken before", "broken after it started one"],
)
def test_a_start_that_is_tried_again_starts_no_second_session(emr: EmrServerless, faults: list[Any]) -> None:
    emr.fail("StartSession", *faults)
    spark = engine()
    try:
        assert spark.spark_session.range(3).count() == 3
    finally:
        spark.close()
    assert emr.calls.count("StartSession") == 2
    assert len(emr.sessions) == 1
    assert not emr.alive


def test_a_session_whose_start_was_never_answered_is_found_and_terminated(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(aws.PATIENCE, "retries", {"total_max_attempts": 1})
    emr.fail("StartSession", Fault(BROKEN, after=True))
    assert refusal(emr, LakehouseError).allow_retries
    (session,) = emr.sessions.values()
    assert not session.alive


def test_a_start_that_is_refused_is_not_tried_again(emr: EmrServerless) -> None:
    emr.fail("StartSession", denied("StartSession"))
    refusal(emr, LakehouseError)
    assert emr.calls.count("StartSession") == 1
    assert emr.sessions == {}


@pytest.mark.parametrize("action", ["GetApplication", "StartSession", "GetSession", "GetSessionEndpoint"])
def test_denied_access_names_the_action_that_is_missing_and_nobody(emr: EmrServerless, action: str) -> None:
    emr.fail(action, denied(action))
    error = refusal(emr, LakehouseError)
    assert f"emr-serverless:{action} is not allowed" in error.description
    assert "example.com" not in error.description
    assert error.allow_retries is False


def test_a_session_that_fails_is_told_in_awss_own_words(emr: EmrServerless) -> None:
    emr.start_states = ["SUBMITTED", "STARTING", "FAILED"]
    emr.failure = "Could not create an executor: the maximum capacity of the application is 4 vCPU."
    error = refusal(emr)
    assert error.description == (
        f"EMR Serverless session {next(iter(emr.sessions))} did not start, it is FAILED: Could not create an executor: "
        "the maximum capacity of the application is 4 vCPU."
    )
    assert error.allow_retries


def test_a_session_that_takes_too_long_to_start_is_terminated(emr: EmrServerless) -> None:
    emr.start_states = ["SUBMITTED", "STARTING"]
    sentence = refusal(emr, start_minutes=0.01).description
    assert "did not start within 0.01 minutes, it is still STARTING: Waiting for capacity." in sentence
    assert "STEDI_EMR_START_MINUTES" in sentence


def start_and_end() -> None:
    spark = engine()
    try:
        _ = spark.spark_session
    finally:
        spark.close()


@pytest.mark.parametrize("ready", ["STARTED", "IDLE", "BUSY"])
def test_a_session_is_used_as_soon_as_it_can_be(emr: EmrServerless, ready: str) -> None:
    emr.start_states = [ready]
    spark = engine()
    try:
        assert spark.spark_session.range(3).count() == 3
    finally:
        spark.close()


def test_the_log_says_how_the_start_goes_on(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(emr_session, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(emr_session, "LONGEST_PAUSE", 0.001)
    emr.start_states = ["SUBMITTED"] * 5 + ["STARTING"] * 5 + ["IDLE"]
    caplog.set_level(logging.INFO)
    start_and_end()
    session = next(iter(emr.sessions))
    said = [record.getMessage() for record in caplog.records if session in record.getMessage()]
    assert said == [
        f"EMR Serverless session {session} was asked for",
        f"EMR Serverless session {session} is SUBMITTED after 0 s",
        f"EMR Serverless session {session} is STARTING after 0 s",
        f"EMR Serverless session {session} is being terminated",
    ]


def test_a_start_that_lasts_is_reported_again_and_again(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(emr_session, "REPORT_EVERY", 0)
    emr.start_states = ["STARTING"] * 4 + ["IDLE"]
    caplog.set_level(logging.INFO)
    start_and_end()
    assert sum("is STARTING after" in record.getMessage() for record in caplog.records) == 3


def test_a_client_of_another_spark_is_told_which_release_or_pyspark_to_choose(emr: EmrServerless) -> None:
    emr.application["releaseLabel"] = "emr-7.13.0"
    error = refusal(emr, LakehouseError)
    assert error.description.endswith(
        "has release emr-7.13.0, which runs Spark 3.5.6, but pyspark 4.1.3 is installed here, and the two must be "
        "equal: choose release emr-spark-8.2.0 for the application, or install pyspark==3.5.6 here."
    )
    assert error.allow_retries is False
    assert emr.sessions == {}


def test_an_application_without_sessions_is_told_how_to_enable_them(emr: EmrServerless) -> None:
    emr.application["interactiveConfiguration"] = {"sessionEnabled": False}
    sentence = refusal(emr, LakehouseError).description
    assert "has no interactive sessions enabled" in sentence
    assert "--interactive-configuration sessionEnabled=true" in sentence
    assert emr.sessions == {}


def test_an_application_that_is_not_there_is_told_so(emr: EmrServerless) -> None:
    emr.application["applicationId"] = "elsewhere"
    spark = engine().model_copy(update={"application_id": "00notthere"})
    with pytest.raises(LakehouseError, match="Application 00notthere does not exist"):
        _ = spark.spark_session
