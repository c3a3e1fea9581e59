"""STEDI's tables on EMR Serverless: what becomes of them, and of the session, where a run does not go well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient

from stedi_assets.automation import LAKEHOUSE_JOB
from stedi_assets.contracts import TABLES
from tests.resources.emr_runs import engine
from tests.servers import free_port, running
from tests.servers.emr_serverless import EmrServerless, Fault
from tests.stedi_assets.examples import deliver_all
from tests.support import ROOT, Stedi


def test_the_whole_graph_is_the_same_as_on_the_embedded_engine(
    tmp_path: Path, stedi: Stedi, emr: EmrServerless
) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    other = Stedi(tmp_path / "other")
    deliver_all(other)
    done = other.materialize(resources={"spark": engine()})
    assert done.success
    assert {table: other.rows(table) for table in TABLES} == {table: stedi.rows(table) for table in TABLES}
    (session,) = emr.sessions.values()
    assert {done.metadata(table)["EMR session"] for table in TABLES} == {session.id}
    assert not session.alive


def lose_in_a_query(emr: EmrServerless) -> None:
    """Terminate the session from outside, as soon as it is at work on a query."""
    emr.endpoint.open.clear()
    assert emr.endpoint.waiting.wait(30)
    emr.alive[0].end("TERMINATED", "Terminated by an administrator")
    emr.endpoint.open.set()


def test_a_session_that_dies_publishes_nothing_and_the_step_is_tried_again_with_a_fresh_one(
    stedi: Stedi, emr: EmrServerless
) -> None:
    deliver_all(stedi)
    assert stedi.materialize("customer_landing").success
    outside = threading.Thread(target=lose_in_a_query, args=[emr])
    outside.start()
    done = stedi.materialize("customer_records", resources={"spark": engine()})
    outside.join()
    first, second = emr.sessions.values()
    (retried,) = [
        event for event in done.result.all_events if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY
    ]
    lost = f"EMR Serverless session {first.id} has ended, it is TERMINATED: Terminated by an admin"
    assert lost in str(retried.step_retry_data.error)
    assert done.success
    assert done.metadata("customer_records")["EMR session"] == second.id
    assert len(stedi.lakehouse.history("customer_records")) == 1
    assert len(list(stedi.location("customer_records").glob("data/*/"))) == 1  # the lost session left nothing behind
    assert not emr.alive


def wait_until(emr: EmrServerless, moment: str) -> None:
    """Wait for that moment of a run."""
    reached = {
        "its session is asked for": lambda: "StartSession" in emr.calls,
        "its session starts": lambda: emr.calls.count("GetSession") >= 2,
        "a query runs": emr.endpoint.waiting.is_set,
    }
    until = time.monotonic() + 60
    while not reached[moment]():
        assert time.monotonic() < until
        time.sleep(0.05)


def environment(stedi: Stedi) -> dict[str, str]:
    """What a process of its own needs to know; the feeds are delivered by then."""
    deliver_all(stedi)
    (home := stedi.folder / "dagster").mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry:\n  enabled: false\n"
        "run_coordinator:\n  module: dagster.core.run_coordinator\n  class: DefaultRunCoordinator\n"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "SPARK_CONNECT_MODE_ENABLED"}  # pyspark's
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(home),
        "STEDI_SOURCE": str(stedi.source),
        "STEDI_LAKEHOUSE": str(stedi.folder / "lakehouse"),
    }


@contextmanager
def command(stedi: Stedi) -> Iterator[subprocess.Popen[str]]:
    """The whole command, as people and schedulers start it."""
    dagster = Path(sys.executable).with_name("dagster")
    words = [
        dagster,
        "asset",
        "materialize",
        "-m",
        "tests.stedi_on_emr",
        "--select",
        "customer_landing,customer_records",
    ]
    with subprocess.Popen(words, cwd=ROOT, env=environment(stedi), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_makes_a_table_and_leaves_no_session(stedi: Stedi, emr: EmrServerless) -> None:
    with command(stedi) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "EMR Serverless bills" in said
    assert stedi.rows("customer_records")
    assert len(emr.sessions) == 1
    assert not emr.alive


@pytest.mark.parametrize(
    ("sign", "moment"),
    [
        (signal.SIGTERM, "its session is asked for"),
        (signal.SIGTERM, "its session starts"),
        (signal.SIGTERM, "a query runs"),
        (signal.SIGINT, "a query runs"),
    ],
)
def test_a_run_that_is_terminated_leaves_no_session(
    stedi: Stedi, emr: EmrServerless, sign: signal.Signals, moment: str
) -> None:
    emr.endpoint.open.clear()
    if moment == "its session starts":
        emr.start_states = ["SUBMITTED", "STARTING"]
    if moment == "its session is asked for":
        emr.fail("StartSession", Fault(silent=True))
    with command(stedi) as process:
        wait_until(emr, moment)
        process.send_signal(sign)
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    (session,) = emr.sessions.values()
    assert not session.alive, said
    assert "is being terminated" in said
    assert stedi.lakehouse.version("customer_records") is None
    assert not any(token in said for token in emr.tokens)


def test_a_run_that_is_terminated_in_the_ui_leaves_no_session(stedi: Stedi, emr: EmrServerless) -> None:
    """The UI's own server, asked through the API that its pages use."""
    emr.endpoint.open.clear()
    port = free_port()
    server = [str(Path(sys.executable).with_name("dagster-webserver")), "-m", "tests.stedi_on_emr", "-p", str(port)]
    with running(server, port, stedi.folder / "webserver.log", environment(stedi)):
        ui = DagsterGraphQLClient("127.0.0.1", port_number=port)
        run_id = ui.submit_job_execution(LAKEHOUSE_JOB.name)
        wait_until(emr, "a query runs")
        ui.terminate_run(run_id)
        until = time.monotonic() + 60
        while (status := ui.get_run_status(run_id)) is not dg.DagsterRunStatus.CANCELED:
            assert time.monotonic() < until, status
            time.sleep(0.1)
    (session,) = emr.sessions.values()
    assert not session.alive
    assert stedi.lakehouse.version("customer_records") is None
