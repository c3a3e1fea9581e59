"""A session is asked for once, waited for not for ever, and never left behind."""

from __future__ import annotations

import logging
import re
import shlex
from contextlib import closing
from typing import Any

import pytest
from awscli.clidriver import create_clidriver

from resources import aws
from resources.engines import remote_session
from tests.resources.session_runs import engine, refusal
from tests.servers.emr_serverless import EmrServerless
from tests.servers.sessions import BROKEN, CALLER, THROTTLED, ApiError, Fault, SessionService


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("START", BROKEN),
        ("START", Fault(BROKEN, after=True)),
        ("END", THROTTLED),
        ("END", BROKEN),
    ],
    ids=["start broken before", "start broken after there was a session", "end throttled", "end broken"],
)
def test_what_is_tried_again_starts_no_second_session_and_leaves_none(
    service: SessionService, operation: str, fault: Any
) -> None:
    operation = getattr(service, operation)
    service.fail(operation, fault)
    with closing(engine(service)) as spark:
        assert spark.spark_session.range(3).count() == 3
    assert service.calls.count(operation) == 2
    assert len(service.sessions) == 1
    assert not service.alive


TIMED_OUT = ApiError(400, "OperationTimeoutException", "The operation timed out.")  # one of Glue's


@pytest.mark.parametrize("error", [BROKEN, TIMED_OUT], ids=["broken", "timed out"])
def test_a_session_whose_start_was_never_answered_is_found_and_terminated(
    service: SessionService, monkeypatch: pytest.MonkeyPatch, error: ApiError
) -> None:
    monkeypatch.setitem(aws.PATIENCE, "retries", {"total_max_attempts": 1})
    service.fail(service.START, Fault(error, after=True))
    refusal(service, retry=True)
    assert len(service.sessions) == 1


@pytest.mark.parametrize("action", ["start", "GetSession", "GetSessionEndpoint"])
def test_denied_access_names_the_action_that_is_missing_and_nobody_and_is_not_tried_again(
    service: SessionService, action: str
) -> None:
    action = service.START if action == "start" else action
    service.fail(action, service.denied(action))
    sentence = refusal(service, retry=False)
    assert f"{service.API}:{action} is not allowed" in sentence
    assert "example.com" not in sentence
    assert service.calls.count(service.START) == 1


def test_an_application_that_may_not_be_looked_at_is_told_before_a_session_is_asked_for(emr: EmrServerless) -> None:
    emr.fail("GetApplication", emr.denied("GetApplication"))
    assert "emr-serverless:GetApplication is not allowed" in refusal(emr, retry=False)
    assert "StartSession" not in emr.calls


NO_ROOM = {
    "emr-serverless": ("ServiceQuotaExceededException", "«Max concurrent vCPUs per account» of EMR Serverless, which"),
    "glue": ("ResourceNumberLimitExceededException", "«Max task DPUs per account» of AWS Glue"),
}
FULL = "Worker could not be allocated as the application has exceeded maximumCapacity settings: [cpu: 16 vCPU]"


@pytest.mark.parametrize("refused", [True, False], ids=["refused at once", "failed later"])
def test_where_there_is_no_room_the_quota_is_named_with_what_raises_it(service: SessionService, refused: bool) -> None:
    code, quota = NO_ROOM[service.API]
    if refused:
        service.fail(service.START, ApiError(400, code, "The account has reached its limit."))
    service.start_states, service.failure = [service.STARTING, "FAILED"], FULL
    sentence = refusal(service, retry=not refused)
    assert ("The account has reached its limit." if refused else FULL) in sentence
    assert f"the account's quota {quota}" in sentence
    (command,) = re.findall(r"aws (service-quotas .*?)(?: says .*)?\.$", sentence)
    assert create_clidriver().main([*shlex.split(command), "--generate-cli-skeleton", "output"]) == 0


@pytest.mark.parametrize(
    ("said", "of_room"),
    [
        ("Max concurrent vCPUs per account quota was reached", True),
        ("Insufficient DPUs to start the session", True),
        ("There is no capacity in the subnet's zone", True),
        ("Memory must be between 8 GB and 30 GB for 4 vCPU", False),
        ("The worker type has 1 DPU and takes no disk of 900 GB", False),
        ("The pre-initialized capacity names an unknown worker type", False),
    ],
)
def test_a_quota_is_named_where_room_is_missing_and_nowhere_else(
    service: SessionService, said: str, of_room: bool
) -> None:
    service.start_states, service.failure = [service.STARTING, "FAILED"], said
    assert ("the account's quota" in refusal(service, retry=True)) is of_room


def test_a_session_that_fails_is_told_in_awss_own_words_but_for_who_asked(service: SessionService) -> None:
    service.start_states = [service.STARTING, service.STARTING, "FAILED"]
    service.failure = f"The driver could not be initialized: {CALLER} has no right to it."
    assert refusal(service, retry=True) == (
        f"{service.NAME} session {next(iter(service.sessions))} did not start, it is FAILED: The driver could not be "
        "initialized: (the caller) has no right to it."
    )


def test_a_session_that_takes_too_long_to_start_is_terminated(service: SessionService) -> None:
    # One of Glue's may not be stopped while it starts, so its end waits for its readiness.
    service.start_states = [service.STARTING] * 15 + [service.READY[0]]
    sentence = refusal(service, retry=False, start_minutes=0.0005)
    assert f"did not start within 0.0005 minutes, it is still {service.STARTING}: Waiting for capacity." in sentence
    assert f"STEDI_{'GLUE' if service.API == 'glue' else 'EMR'}_START_MINUTES" in sentence


def test_a_session_is_used_as_soon_as_it_can_be(service: SessionService) -> None:
    for ready in service.READY:
        service.start_states = [ready]
        with closing(engine(service)) as spark:
            assert spark.spark_session.range(3).count() == 3


@pytest.mark.parametrize(("every", "times"), [(30.0, 1), (0.0, 5)], ids=["a start", "a start that lasts"])
def test_the_log_says_how_the_start_goes_on(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, every: float, times: int
) -> None:
    monkeypatch.setattr(remote_session, "LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(remote_session, "REPORT_EVERY", every)
    emr.start_states = ["SUBMITTED"] * 2 + ["STARTING"] * 5 + ["IDLE"]
    caplog.set_level(logging.INFO)
    with closing(engine(emr)) as spark:
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
