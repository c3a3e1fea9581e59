"""One session on EMR Serverless serves a run: started for it, named after it, and terminated with it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import grpc
import pytest

from resources.engines import channel, emr_serverless, emr_session
from resources.engines.emr_serverless import EmrServerlessSpark
from resources.engines.engine import COMMON_CONF
from resources.settings import Settings
from stedi_assets.definitions import _engine
from tests.resources.emr_runs import engine, run
from tests.servers.emr_serverless import APPLICATION, BROKEN, ROLE, THROTTLED, EmrServerless, denied
from tests.support import ROOT


def fail(spark: EmrServerlessSpark) -> None:
    raise dg.Failure("no")


def test_a_run_has_one_session_which_ends_with_it(emr: EmrServerless) -> None:
    done = run()
    assert (done.result.success, done.counted) == (True, [3, 4])
    (session,) = emr.sessions.values()
    assert session.state == "TERMINATED"
    assert emr.calls.count("StartSession") == emr.calls.count("TerminateSession") == 1


def test_the_session_of_a_run_that_fails_is_terminated_too(emr: EmrServerless) -> None:
    assert run(fail).failure == "no"
    assert [session.state for session in emr.sessions.values()] == ["TERMINATED"]


def test_the_session_says_which_run_it_is_for_and_has_the_settings_that_were_asked_for(emr: EmrServerless) -> None:
    conf = {"spark.executor.cores": "2", "spark.emr-serverless.scalingProfile": "FAST_SCALE"}
    done = run(conf=conf, idle_minutes=7, code_version="abc123")
    (session,) = emr.sessions.values()
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
    assert spark == {"classification": "spark-defaults", "properties": {**COMMON_CONF, **conf}}


def test_every_asset_says_which_application_session_and_spark_made_it(emr: EmrServerless) -> None:
    assert run().metadata == {
        "engine": "EMR Serverless emr-spark-8.2.0 (Spark 4.1.3)",
        "EMR application": APPLICATION,
        "EMR session": next(iter(emr.sessions)),
        "Spark version": "4.1.3",
    }


def test_nothing_is_started_before_a_table_needs_it(emr: EmrServerless) -> None:
    spark = engine()
    assert spark.metadata == {"engine": "EMR Serverless"}
    spark.close()
    assert emr.calls == []


def observed(instance: dg.DagsterInstance) -> dict[str, object]:
    (record,) = instance.fetch_observations(dg.AssetKey("table"), limit=9).records
    assert record.asset_observation is not None
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


def test_after_the_run_every_asset_says_what_aws_bills(emr: EmrServerless, capfd: pytest.CaptureFixture[str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(instance=instance)
        assert observed(instance) == {
            "billed vCPU-hours of the run": 0.5,
            "billed GB-hours of the run": 2.0,
            "billed storage GB-hours of the run": 0.25,
            "run": done.result.run_id,
        }
    said = capfd.readouterr().err
    assert "bills 0.5000 vCPU-hours, 2.0000 GB-hours, 0.2500 storage GB-hours, for this run\n" in said


def test_money_is_estimated_only_where_prices_are_configured(
    emr: EmrServerless, capfd: pytest.CaptureFixture[str]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance=instance, prices={"vcpu-hour": 1.0, "gb-hour": 0.1, "storage-gb-hour": 2.0})
        assert observed(instance)["estimated cost of the run"] == 1.2
    assert "which is 1.2000 by the prices in STEDI_EMR_PRICES" in capfd.readouterr().err


def test_a_bill_that_aws_does_not_tell_fails_no_run(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(emr_session, "SECONDS_TO_BILL", 0)
    assert run().result.success
    assert "AWS does not say yet what it bills" in capfd.readouterr().err


AFTER_THE_END = ["UNAVAILABLE", "UNAUTHENTICATED", "NOT_FOUND", "INTERNAL"]


@pytest.mark.parametrize("code", AFTER_THE_END)
def test_whatever_a_lost_session_answers_the_table_is_told_what_became_of_it(emr: EmrServerless, code: str) -> None:
    emr.after_the_end = grpc.StatusCode[code]

    def lose(spark: EmrServerlessSpark) -> None:
        emr.alive[0].end("FAILED", "The driver ran out of memory.")

    failure = run(lose).failure
    assert f"EMR Serverless session {next(iter(emr.sessions))} has ended" in failure
    assert "it is FAILED: The driver ran out of memory. Nothing was published." in failure


def test_a_retry_after_a_lost_session_starts_a_fresh_one(emr: EmrServerless) -> None:
    def lose_the_first(spark: EmrServerlessSpark) -> None:
        if len(emr.sessions) == 1:
            emr.alive[0].end("TERMINATED", "Terminated by an administrator")

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


def test_a_connection_that_does_not_come_back_fails_the_table_and_ends_the_session(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "RETRIES", 1)
    failure = run(lambda spark: emr.endpoint.hang_up()).failure
    assert f"The connection to EMR Serverless session {next(iter(emr.sessions))} is lost (UNAVAILABLE)" in failure
    assert not emr.alive


def test_after_a_connection_that_did_not_come_back_a_retry_starts_a_fresh_session(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "RETRIES", 1)

    def repair() -> None:
        while "TerminateSession" not in emr.calls and not emr.stopping.wait(0.01):
            pass
        emr.endpoint.listen()

    def break_the_first(spark: EmrServerlessSpark) -> None:
        if len(emr.sessions) == 1:
            emr.endpoint.hang_up()
            threading.Thread(target=repair).start()

    done = run(break_the_first, retries=1)
    assert (done.result.success, done.counted) == (True, [3, 3, 4])
    assert len(emr.sessions) == 2
    assert not emr.alive


def test_a_broken_promise_is_told_as_such_even_where_the_session_has_ended_too(emr: EmrServerless) -> None:
    def fail_on_a_dead_session(spark: EmrServerlessSpark) -> None:
        emr.alive[0].end("TERMINATED", "Terminated by an administrator")
        fail(spark)

    assert run(fail_on_a_dead_session).failure == "no"


def test_an_error_of_the_query_itself_is_told_as_such(emr: EmrServerless) -> None:
    failed = run(lambda spark: spark.spark_session.sql("select * from nowhere").show())
    assert "A query failed in the engine: AnalysisException («not found»)" in failed.failure
    assert "EMR Serverless session" not in failed.failure
    assert len(emr.sessions) == 1


def everything_written(instance: dg.DagsterInstance, logs: str, spark: EmrServerlessSpark) -> str:
    events = [repr(entry) for one in instance.get_runs() for entry in instance.all_logs(one.run_id)]
    return "\n".join([logs, *events, repr(spark), repr(vars(spark))])


@pytest.mark.parametrize("then", ["ends", "is lost", "never starts"])
def test_no_token_is_in_any_log_event_or_error(
    emr: EmrServerless,
    then: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(channel, "RETRIES", 1)
    caplog.set_level(logging.DEBUG)
    used: list[EmrServerlessSpark] = []

    def end(spark: EmrServerlessSpark) -> None:
        used.append(spark)
        if then == "is lost":
            emr.endpoint.hang_up()

    if then == "never starts":
        emr.endpoint.hang_up()
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(end, instance)
        written = everything_written(instance, caplog.text + "".join(capfd.readouterr()), (used or [engine()])[0])
    assert done.result.success is (then == "ends")
    assert ("is lost (UNAVAILABLE)" in written) is (then != "ends")
    assert emr.tokens
    assert "botocore" in written
    for token in emr.tokens:
        assert token[:40] not in written
    assert "x-aws-proxy-auth=" not in written


def test_a_run_from_elsewhere_that_is_resumed_does_not_take_a_session_that_has_ended(emr: EmrServerless) -> None:
    """A worker that crashed may have left its session, which somebody terminated since."""
    first, second = engine(), engine()
    second._run_id = first._run_id
    try:
        assert first.spark_session.range(2).count() == 2
        first.close()
        assert second.spark_session.range(5).count() == 5
    finally:
        first.close()
        second.close()
    assert [session.request["clientToken"][-2:] for session in emr.sessions.values()] == ["-1", "-2"]


def test_a_session_that_cannot_be_terminated_is_reported_and_fails_no_run(
    emr: EmrServerless, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emr_session, "SECONDS_TO_BILL", 0)
    emr.fail("TerminateSession", denied("TerminateSession"))
    assert run().result.success
    said = capfd.readouterr().err
    assert "emr-serverless:TerminateSession is not allowed" in said
    assert "may still run, until it has been idle for 15 minutes" in said


@pytest.mark.parametrize("answer", [THROTTLED, BROKEN], ids=["throttled", "broken"])
def test_termination_is_tried_again(emr: EmrServerless, answer: Exception) -> None:
    emr.fail("TerminateSession", answer)  # type: ignore[arg-type]
    assert run().result.success
    assert not emr.alive


def test_the_settings_choose_the_engine_and_loading_it_imports_nothing_heavy(tmp_path: Path) -> None:
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
    program = (
        "import sys, resources.engines.emr_serverless\n"
        "heavy = {'boto3', 'botocore', 'grpc', 'pyspark', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin"})


def in_the_middle_of_a_query(emr: EmrServerless, do: Callable[[], None]) -> threading.Thread:
    """Do something as soon as a query waits at the endpoint's closed door."""
    emr.endpoint.open.clear()

    def wait() -> None:
        assert emr.endpoint.waiting.wait(30)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_session_that_is_terminated_in_the_middle_of_a_query_fails_the_query_at_once(emr: EmrServerless) -> None:
    threads: list[threading.Thread] = []

    def terminate(spark: EmrServerlessSpark) -> None:
        end = emr.alive[0].end
        threads.append(in_the_middle_of_a_query(emr, lambda: end("TERMINATED", "Terminated by an administrator")))

    failure = run(terminate).failure
    threads[0].join()
    tried = [method for method, _ in emr.endpoint.calls if method in ("ExecutePlan", "ReattachExecute")]
    assert len(tried) < 2 + 6  # two queries, and a few moments in which nobody knew yet
    assert "it is TERMINATED: Terminated by an administrator. Nothing was published." in failure
