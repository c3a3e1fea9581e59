"""One session on AWS serves a run: started for it, named after it, and terminated with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version

import dagster as dg
import grpc
import pytest

from resources.engines import channel, remote, remote_session
from resources.engines.engine import analysing
from resources.engines.remote import SPARK_OF, RemoteSpark
from tests.resources.session_runs import engine, run
from tests.servers.emr_serverless import EmrServerless
from tests.servers.sessions import SessionService


def fail(spark: RemoteSpark) -> None:
    raise dg.Failure("no")


def test_the_projects_own_pyspark_has_a_release_of_every_service() -> None:
    assert [service for service, releases in SPARK_OF.items() if version("pyspark") not in releases.values()] == []


def test_nothing_is_started_before_a_table_needs_it(service: SessionService) -> None:
    spark = engine(service)
    assert spark.metadata == {"engine": service.NAME}
    spark.close()
    assert service.calls == []


def test_a_run_has_one_session_with_its_name_which_ends_with_it(service: SessionService) -> None:
    done = run(service, code_version="abc123")
    assert (done.result.success, done.counted) == (True, [3, 4])
    (session,) = service.sessions.values()
    assert session.state == service.ENDED
    assert service.calls.count(service.START) == service.calls.count(service.END) == 1
    run_id = done.result.run_id
    assert session.tags == {
        "stedi:run-id": run_id,
        "stedi:job": "__ephemeral_asset_job__",
        "stedi:code-version": "abc123",
    }
    assert session.token.endswith(f"{run_id}-1")
    assert done.metadata["Spark version"] == version("pyspark")


def test_the_session_of_a_run_that_fails_is_terminated_too(service: SessionService) -> None:
    assert run(service, fail).failure == "no"
    assert [session.state for session in service.sessions.values()] == [service.ENDED]


EMR_PRICES = {"vcpu-hour": 1.0, "gb-hour": 0.1, "storage-gb-hour": 2.0}


@pytest.mark.parametrize(
    ("service", "prices", "hours", "estimate"),
    [
        ("emr", {}, {"vCPU-hours": 0.5, "GB-hours": 2.0, "storage GB-hours": 0.25}, None),
        ("emr", EMR_PRICES, {"vCPU-hours": 0.5, "GB-hours": 2.0, "storage GB-hours": 0.25}, 1.2),
        ("glue", {"dpu-hour": 0.44}, {"DPU-hours": 0.5}, 0.22),
    ],
    ids=["EMR without prices", "EMR", "Glue"],
    indirect=["service"],
)
def test_after_the_run_every_asset_says_what_aws_bills_and_money_only_where_prices_are_configured(
    service: SessionService,
    capfd: pytest.CaptureFixture[str],
    prices: dict[str, float],
    hours: dict[str, float],
    estimate: float | None,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(service, instance=instance, prices=prices)
        (record,) = instance.fetch_observations(dg.AssetKey("table"), limit=9).records
    assert record.asset_observation is not None
    assert {name: value.value for name, value in record.asset_observation.metadata.items()} == {
        **{f"billed {unit} of the run": amount for unit, amount in hours.items()},
        **({"estimated cost of the run": estimate} if estimate else {}),
        "run": done.result.run_id,
    }
    sentence = f"{service.NAME} bills {', '.join(f'{amount:.4f} {unit}' for unit, amount in hours.items())}"
    settings = f"STEDI_{'GLUE' if service.API == 'glue' else 'EMR'}_PRICES"
    sentence += f", which is {estimate:.4f} by the prices in {settings}" if estimate else ""
    assert f"{sentence}, for this run\n" in capfd.readouterr().err


def test_a_bill_that_aws_does_not_tell_fails_no_run(
    service: SessionService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote_session, "SECONDS_TO_BILL", 0)
    assert run(service).result.success
    assert "AWS does not say yet what it bills" in capfd.readouterr().err


def test_a_session_that_cannot_be_terminated_is_reported_and_fails_no_run(
    service: SessionService, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_session, "SECONDS_TO_BILL", 0)
    service.fail(service.END, service.denied(service.END))
    assert run(service).result.success
    said = capfd.readouterr().err
    assert f"{service.API}:{service.END} is not allowed" in said
    assert "may still run, until it has been idle for the minutes in STEDI_" in said


@pytest.mark.parametrize("code", ["UNAVAILABLE", "UNAUTHENTICATED", "NOT_FOUND", "INTERNAL"])
def test_whatever_a_lost_session_answers_the_table_is_told_what_became_of_it(emr: EmrServerless, code: str) -> None:
    emr.after_the_end = grpc.StatusCode[code]

    def lose(spark: RemoteSpark) -> None:
        frame = spark.spark_session.range(9)
        emr.alive[0].end("FAILED", "The driver ran out of memory.")
        with analysing(frame):
            frame.count()  # the first that is asked of the engine

    failure = run(emr, lose).failure
    assert f"EMR Serverless session {next(iter(emr.sessions))} has ended" in failure
    assert "it is FAILED: The driver ran out of memory. Nothing was published." in failure


def test_a_session_that_is_terminated_in_the_middle_of_a_query_fails_the_query_at_once(emr: EmrServerless) -> None:
    threads: list[threading.Thread] = []

    def terminate(spark: RemoteSpark) -> None:
        emr.endpoint.open.clear()

        def wait() -> None:
            assert emr.endpoint.waiting.wait(30)
            emr.alive[0].end("TERMINATED", "Terminated by an administrator")

        threads.append(threading.Thread(target=wait))
        threads[0].start()

    failure = run(emr, terminate).failure
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

    def lose_the_first(spark: RemoteSpark) -> None:
        if len(emr.sessions) == 1 and what == "session":
            emr.alive[0].end("TERMINATED", "Terminated by an administrator")
        elif len(emr.sessions) == 1:
            emr.endpoint.hang_up()
            threading.Thread(target=repair_once_it_is_given_up(emr)).start()

    done = run(emr, lose_the_first, retries=1)
    assert (done.result.success, done.counted) == (True, [3, 3, 4])
    tokens = [session.token for session in emr.sessions.values()]
    assert tokens == [f"{done.result.run_id}-1", f"{done.result.run_id}-2"]
    assert done.metadata["EMR session"] == list(emr.sessions)[1]
    assert not emr.alive


def test_a_session_that_idled_away_between_two_tables_is_replaced_without_a_failure(
    emr: EmrServerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "IDLE_LOOK", 0)
    done = run(emr, lambda spark: emr.alive[0].end("TERMINATED", "Idle timeout"))
    assert (done.result.success, done.counted) == (True, [3, 4])
    assert len(emr.sessions) == 2
    assert not emr.alive


def test_a_session_that_aws_knows_no_more_is_replaced_without_a_failure(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "IDLE_LOOK", 0)
    monkeypatch.setattr(remote_session, "SECONDS_TO_BILL", 0)
    done = run(service, lambda spark: service.sessions.clear())
    assert (done.result.success, done.counted) == (True, [3, 4])
    assert [session.token[-2:] for session in service.sessions.values()] == ["-2"]
    assert not service.alive


def test_a_run_from_elsewhere_that_is_resumed_does_not_take_a_session_that_has_ended(service: SessionService) -> None:
    """A worker that crashed may have left its session, which somebody terminated since."""
    with closing(engine(service)) as first, closing(engine(service)) as second:
        second._run_id = first._run_id
        assert first.spark_session.range(2).count() == 2
        first.close()
        assert second.spark_session.range(5).count() == 5
    assert [session.token[-2:] for session in service.sessions.values()] == ["-1", "-2"]


def test_a_failed_step_is_told_as_such_even_where_the_session_has_ended_too(emr: EmrServerless) -> None:
    def fail_on_a_dead_session(spark: RemoteSpark) -> None:
        emr.alive[0].end("TERMINATED", "Terminated by an administrator")
        fail(spark)

    assert run(emr, fail_on_a_dead_session).failure == "no"


def test_an_error_of_the_query_itself_is_told_as_such(emr: EmrServerless) -> None:
    failed = run(emr, lambda spark: spark.spark_session.sql("select * from nowhere").show())
    assert "A query failed in the engine: AnalysisException («not found»)" in failed.failure
    assert "EMR Serverless session" not in failed.failure
    assert len(emr.sessions) == 1


@pytest.mark.parametrize("then", ["ends", "is lost", "never starts"])
def test_a_lost_connection_is_told_and_no_token_is_in_any_log_event_or_error(
    service: SessionService,
    then: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(channel, "RETRIES", 1)
    caplog.set_level(logging.DEBUG)
    used = [engine(service)]

    def end(spark: RemoteSpark) -> None:
        used.append(spark)
        if then == "is lost":
            service.endpoint.hang_up()

    if then == "never starts":
        service.endpoint.hang_up()
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(service, end, instance)
        events = [repr(entry) for entry in instance.all_logs(done.result.run_id)]
    written = "\n".join([caplog.text, *capfd.readouterr(), *events, repr(used[-1]), repr(vars(used[-1]))])
    assert done.result.success is (then == "ends")
    lost = f"The connection to {service.NAME} session {next(iter(service.sessions))} is lost (UNAVAILABLE)"
    assert (lost in written) is (then != "ends")
    assert not service.alive
    assert service.tokens
    assert "botocore" in written
    for token in service.tokens:
        assert token[:40] not in written
    assert "x-aws-proxy-auth=" not in written
