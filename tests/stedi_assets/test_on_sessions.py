"""STEDI's tables on sessions of AWS's: what becomes of them, and of the session, where a run does not go well."""

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
from tests.resources.session_runs import engine
from tests.servers import free_port, running
from tests.servers.emr_serverless import EmrServerless
from tests.servers.sessions import Fault, SessionService
from tests.stedi_assets.examples import deliver_all
from tests.support import ROOT, Stedi

SELECTED = "customer_landing or customer_records"


def lose_in_a_query(service: SessionService) -> None:
    """Terminate the session from outside, as soon as it is at work on a query."""
    service.endpoint.open.clear()
    assert service.endpoint.waiting.wait(30)
    service.alive[0].end(service.ENDED, "Terminated by an administrator")
    service.endpoint.open.set()


def test_a_session_that_dies_publishes_nothing_and_the_step_is_tried_again_with_a_fresh_one(
    stedi: Stedi, service: SessionService
) -> None:
    deliver_all(stedi)
    assert stedi.materialize("customer_landing").success
    outside = threading.Thread(target=lose_in_a_query, args=[service])
    outside.start()
    done = stedi.materialize("customer_records", resources={"spark": engine(service)})
    outside.join()
    first, second = service.sessions.values()
    (retried,) = [
        event for event in done.result.all_events if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY
    ]
    lost = f"{service.NAME} session {first.id} has ended, it is {service.ENDED}: Terminated by an admin"
    assert lost in str(retried.step_retry_data.error)
    assert done.success
    assert done.metadata("customer_records")[service.METADATA] == second.id
    assert len(stedi.lakehouse.history("customer_records")) == 1
    assert len(list(stedi.location("customer_records").glob("data/*/"))) == 1  # the lost session left nothing behind
    assert not service.alive


def wait_until(service: SessionService, moment: str) -> None:
    """Wait for that moment of a run."""
    reached = {
        "its session is asked for": lambda: service.START in service.calls,
        "its session starts": lambda: service.calls.count("GetSession") >= 2,
        "a query runs": service.endpoint.waiting.is_set,
    }
    until = time.monotonic() + 60
    while not reached[moment]():
        assert time.monotonic() < until
        time.sleep(0.05)


def environment(stedi: Stedi, service: SessionService) -> dict[str, str]:
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
        "SESSIONS_OF": service.API,
        "DAGSTER_HOME": str(home),
        "STEDI_SOURCE": str(stedi.source),
        "STEDI_LAKEHOUSE": str(stedi.folder / "lakehouse"),
    }


@contextmanager
def command(stedi: Stedi, service: SessionService) -> Iterator[subprocess.Popen[str]]:
    """The whole command, as people and schedulers start it."""
    dagster = Path(sys.executable).with_name("dagster")
    words = [
        dagster,
        "asset",
        "materialize",
        "-m",
        "tests.stedi_on_sessions",
        "--select",
        "customer_landing,customer_records",
    ]
    with subprocess.Popen(
        words, cwd=ROOT, env=environment(stedi, service), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_makes_a_table_and_leaves_no_session(stedi: Stedi, service: SessionService) -> None:
    with command(stedi, service) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"{service.NAME} bills" in said
    assert stedi.rows("customer_records")
    assert len(service.sessions) == 1
    assert not service.alive


@pytest.mark.parametrize(
    ("service", "sign", "moment"),
    [
        ("emr", signal.SIGTERM, "its session is asked for"),
        ("emr", signal.SIGTERM, "its session starts"),
        ("glue", signal.SIGTERM, "its session starts"),  # which it has to finish before it may be stopped
        ("emr", signal.SIGTERM, "a query runs"),
        ("emr", signal.SIGINT, "a query runs"),
    ],
    indirect=["service"],
)
def test_a_run_that_is_terminated_leaves_no_session(
    stedi: Stedi, service: SessionService, sign: signal.Signals, moment: str
) -> None:
    service.endpoint.open.clear()
    if moment == "its session starts":
        service.start_states = [service.STARTING] * 8 + [service.READY[0]]
    if moment == "its session is asked for":
        service.fail(service.START, Fault(silent=True))
    with command(stedi, service) as process:
        wait_until(service, moment)
        process.send_signal(sign)
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    (session,) = service.sessions.values()
    assert not session.alive, said
    assert "is being terminated" in said
    assert stedi.lakehouse.version("customer_records") is None
    assert not any(token in said for token in service.tokens)


def test_a_run_that_is_terminated_in_the_ui_leaves_no_session(stedi: Stedi, emr: EmrServerless) -> None:
    """The UI's own server, asked through the API that its pages use."""
    emr.endpoint.open.clear()
    port = free_port()
    server = [
        str(Path(sys.executable).with_name("dagster-webserver")),
        "-m",
        "tests.stedi_on_sessions",
        "-p",
        str(port),
    ]
    with running(server, port, stedi.folder / "webserver.log", environment(stedi, emr)):
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
