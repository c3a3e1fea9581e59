"""One session on EMR Serverless serves a run: started for it, named after it, and terminated with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing

import dagster as dg
import grpc
import pytest

from resources.engines import channel, emr_serverless, emr_session
from resources.engines.emr_serverless import SESSION_CONF, EmrServerlessSpark
from resources.engines.engine import COMMON_CONF, analysing
from resources.settings import Settings
from stedi_assets.definitions import _engine
from tests.resources.emr_runs import engine, run
from tests.servers.emr_serverless import APPLICATION, ROLE, EmrServerless, denied


def fail(spark: EmrServerlessSpark) -> None:
    raise dg.Failure("no")


def test_nothing_is_started_before_a_table_needs_it(emr: EmrServerless) -> None:
    spark = engine()
    assert spark.metadata == {"engine": "EMR Serverless"}
    spark.close()
    assert emr.calls == []


def test_a_run_has_one_session_with_its_name_and_settings_which_ends_with_it(emr: EmrServerless) -> None:
    conf = {"spark.executor.cores": "2", "spark.emr-serverless.scalingProfile": "FAST_SCALE"}
    done = run(conf=conf, idle_minutes=7, code_version="abc123")
    assert (done.result.success, done.counted) == (True, [3, 4])
    (session,) = emr.sessions.values()
    assert session.state == "TERMINATED"
    assert emr.calls.count("StartSession") == emr.calls.count("TerminateSession") == 1
    run_id = done.result.run_id
    assert session.request["tags"] == {
        "stedi:run-id": run_id,
        "stedi:job": "__ephemeral_asset_job__",
        "stedi:code-version": "abc123",
    }
    assert session.request["executionRoleArn"] == ROLE
    assert session.request["idleTimeoutMinutes"] == 7
    assert session.request["clientToken"] == f"{run_id}-1"
    (spark,) = session.request["configurationOverrides"]["runtimeConfiguration"]
    assert spark == {"classification": "spark-defaults", "properties": {**COMMON_CONF, **SESSION_CONF, **conf}}
    assert done.metadata == {
        "engine": "EMR Serverless emr-spark-8.2.0 (Spark 4.1.3)",
        "EMR application": APPLICATION,
        "EMR session": session.id,
        "Spark version": "4.1.3",
    }


def test_the_session_of_a_run_that_fails_is_terminated_too(emr: EmrServerless) -> None:
    assert run(fail).failure == "no"
    assert [session.state for session in emr.sessions.values()] == ["TERMINATED"]


@pytest.mark.parametrize(
    ("prices", "estimate", "said"),
    [
        ({}, {}, ""),
        (
            {"vcpu-hour": 1.0, "gb-hour": 0.1, "storage-gb-hour": 2.0},
            {"estimated cost of the run": 1.2},
            ", which is 1.2000 by the prices in STEDI_EMR_PRICES",
        ),
    ],
    ids=["no prices", "prices"],
)
def test_after_the_run_every_asset_says_what_aws_bills_and_money_only_where_prices_are_configured(
    emr: EmrServerless,
    capfd: pytest.CaptureFixture[str],
    prices: dict[str, float],
    estimate: dict[str, float],
    said: str,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(instance=instance, prices=prices)
        (record,) = instance.fetch_observations(dg.AssetKey("table"), limit=9).records
    assert record.asset_observation is not None
    assert {name: value.value for name, value in record.asset_observation.metadata.items()} == {
        "billed vCPU-hours of the run": 0.5,
        "billed GB-hours of the run": 2.0,
        "billed storage GB-hours of the run": 0.25,
        **estimate,
        "run": done.result.run_id,
    }
    hours = "0.5000 vCPU-hours, 2.0000 GB-hours, 0.2500 storage GB-hours"
    assert f"EMR Serverless bills {hours}{said}, for this run\n" in capfd.readouterr().err


def test_a_bill_that_aws_does_not_tell_fails_no_run(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(emr_session, "SECONDS_TO_BILL", 0)
    assert run().result.success
    assert "AWS does not say yet what it bills" in capfd.readouterr().err


def test_a_session_that_cannot_be_terminated_is_reported_and_fails_no_run(
    emr: EmrServerless, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emr_session, "SECONDS_TO_BILL", 0)
    emr.fail("TerminateSession", denied("TerminateSession"))
    assert run().result.success
    said = capfd.readouterr().err
    assert "emr-serverless:TerminateSession is not allowed" in said
    assert "may still run, until it has been idle for 15 minutes" in said


@pytest.mark.parametrize("code", ["UNAVAILABLE", "UNAUTHENTICATED", "NOT_FOUND", "INTERNAL"])
def test_whatever_a_lost_session_answers_the_table_is_told_what_became_of_it(emr: EmrServerless, code: str) -> None:
    emr.after_the_end = grpc.StatusCode[code]

    def lose(spark: EmrServerlessSpark) -> None:
        frame = spark.spark_session.range(9)
        emr.alive[0].end("FAILED", "The driver ran out of memory.")
        with analysing(frame):
            frame.count()  # the first that is asked of the engine

    failure = run(lose).failure
    assert f"EMR Serverless session {next(iter(emr.sessions))} has ended" in failure
    assert "it is FAILED: The driver ran out of memory. Nothing was published." in failure


def test_a_session_that_is_terminated_in_the_middle_of_a_query_fails_the_query_at_once(emr: EmrServerless) -> None:
    threads: list[threading.Thread] = []

    def terminate(spark: EmrServerlessSpark) -> None:
        emr.endpoint.open.clear()

        def wait() -> None:
            assert emr.endpoint.waiting.wait(30)
            emr.alive[0].end("TERMINATED", "Terminated by an administrator")

        threads.append(threading.Thread(target=wait))
        threads[0].start()

    failure = run(terminate).failure
    threads[0].join()
    tried = [method for method, _ in emr.endpoint.calls if method in ("ExecutePlan", "ReattachExecute")]
    assert len(tried) < 2 + 6  # two queries, and a few moments in which nobody knew yet
    assert "it is TERMINATED: Terminated by an administrator. Nothing was published." in failure


def repair_once_it_is_given_up(emr: EmrServerless) -> Callable[[], None]:
    def repair() -> None:
        while "TerminateSession" not in emr.calls and not emr.stopping.wait(0.01):
            pass
        emr.endpoint.listen()

    return repair


@pytest.mark.parametrize("what", ["session", "connection"])
def test_a_retry_after_a_lost_session_or_connection_starts_a_fresh_one(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(channel, "RETRIES", 1)

    def lose_the_first(spark: EmrServerlessSpark) -> None:
        if len(emr.sessions) == 1 and what == "session":
            emr.alive[0].end("TERMINATED", "Terminated by an administrator")
        elif len(emr.sessions) == 1:
            emr.endpoint.hang_up()
            threading.Thread(target=repair_once_it_is_given_up(emr)).start()

    done = run(lose_the_first, retries=1)
    assert (done.result.success, done.counted) == (True, [3, 3, 4])
    tokens = [session.request["clientToken"] for session in emr.sessions.values()]
    assert tokens == [f"{done.result.run_id}-1", f"{done.result.run_id}-2"]
    assert done.metadata["EMR session"] == list(emr.sessions)[1]
    assert not emr.alive


def test_a_session_that_idled_away_between_two_tables_is_replaced_without_a_failure(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emr_serverless, "IDLE_LOOK", 0)
    done = run(lambda spark: emr.alive[0].end("TERMINATED", "Idle timeout"))
    assert (done.result.success, done.counted) == (True, [3, 4])
    assert len(emr.sessions) == 2
    assert not emr.alive


def test_a_run_from_elsewhere_that_is_resumed_does_not_take_a_session_that_has_ended(emr: EmrServerless) -> None:
    """A worker that crashed may have left its session, which somebody terminated since."""
    with closing(engine()) as first, closing(engine()) as second:
        second._run_id = first._run_id
        assert first.spark_session.range(2).count() == 2
        first.close()
        assert second.spark_session.range(5).count() == 5
    assert [session.request["clientToken"][-2:] for session in emr.sessions.values()] == ["-1", "-2"]


def test_a_failed_step_is_told_as_such_even_where_the_session_has_ended_too(emr: EmrServerless) -> None:
    def fail_on_a_dead_session(spark: EmrServerlessSpark) -> None:
        emr.alive[0].end("TERMINATED", "Terminated by an administrator")
        fail(spark)

    assert run(fail_on_a_dead_session).failure == "no"


def test_an_error_of_the_query_itself_is_told_as_such(emr: EmrServerless) -> None:
    failed = run(lambda spark: spark.spark_session.sql("select * from nowhere").show())
    assert "A query failed in the engine: AnalysisException («not found»)" in failed.failure
    assert "EMR Serverless session" not in failed.failure
    assert len(emr.sessions) == 1


@pytest.mark.parametrize("then", ["ends", "is lost", "never starts"])
def test_a_lost_connection_is_told_and_no_token_is_in_any_log_event_or_error(
    emr: EmrServerless,
    then: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(channel, "RETRIES", 1)
    caplog.set_level(logging.DEBUG)
    used = [engine()]

    def end(spark: EmrServerlessSpark) -> None:
        used.append(spark)
        if then == "is lost":
            emr.endpoint.hang_up()

    if then == "never starts":
        emr.endpoint.hang_up()
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(end, instance)
        events = [repr(entry) for entry in instance.all_logs(done.result.run_id)]
    written = "\n".join([caplog.text, *capfd.readouterr(), *events, repr(used[-1]), repr(vars(used[-1]))])
    assert done.result.success is (then == "ends")
    lost = f"The connection to EMR Serverless session {next(iter(emr.sessions))} is lost (UNAVAILABLE)"
    assert (lost in written) is (then != "ends")
    assert not emr.alive
    assert emr.tokens
    assert "botocore" in written
    for token in emr.tokens:
        assert token[:40] not in written
    assert "x-aws-proxy-auth=" not in written


def test_the_settings_choose_the_engine() -> None:
    environment = {
        "STEDI_LAKEHOUSE": "s3://bucket/prefix",
        "STEDI_SPARK": "emr-serverless",
        "STEDI_EMR_APPLICATION_ID": APPLICATION,
        "STEDI_EMR_EXECUTION_ROLE_ARN": ROLE,
        "STEDI_EMR_IDLE_MINUTES": "5",
        "STEDI_SPARK_CONF": "spark.executor.cores=2",
    }
    spark = _engine(Settings.from_environment(environment))
    assert isinstance(spark, EmrServerlessSpark)
    assert (spark.application_id, spark.execution_role_arn, spark.idle_minutes) == (APPLICATION, ROLE, 5)
    assert spark.conf == {"spark.executor.cores": "2"}
    assert len(spark.code_version) == 12
