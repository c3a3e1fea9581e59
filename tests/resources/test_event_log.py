"""The history of runs: told to the UI as it is written, to all who ask, and readable without the project."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Barrier

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage

from resources.event_log import PooledSqliteEventLog
from tests.support import ROOT

RUN = "a run"
PATIENCE = 60


def instance_in(home: Path) -> dg.DagsterInstance:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        return dg.DagsterInstance.get()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def history(home: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(home) as instance:
        assert isinstance(instance.event_log_storage, PooledSqliteEventLog)
        yield instance


def say(history: dg.DagsterInstance, message: str) -> None:
    history.report_engine_event(message, job_name="a job", run_id=RUN)


def test_who_watches_a_run_is_told_each_event_as_it_is_written(home: Path, history: dg.DagsterInstance) -> None:
    told = Queue[str]()

    def tell(entry: EventLogEntry, _cursor: str) -> None:
        told.put(entry.message)

    with instance_in(home) as ui:
        ui.watch_event_logs(RUN, None, tell)
        for message in ("it begins", "it ends"):
            say(history, message)
            assert told.get(timeout=PATIENCE) == message


def test_who_watches_a_run_is_told_its_end_even_if_they_read_while_it_was_written(
    home: Path, history: dg.DagsterInstance
) -> None:
    told = Queue[str]()
    with instance_in(home) as ui:
        ui.watch_event_logs(RUN, None, lambda entry, _cursor: told.put(entry.message))
        say(history, "it begins")
        assert told.get(timeout=PATIENCE) == "it begins"
        with ui.event_log_storage.index_connection() as reading:
            half_read = reading.execute(sqlalchemy.text("select * from event_logs"))
            say(history, "it ends")
            half_read.fetchall()
        assert told.get(timeout=PATIENCE) == "it ends"


def test_as_many_as_ask_at_once_are_answered(history: dg.DagsterInstance) -> None:
    many = 30
    all_are_connected = Barrier(many, timeout=PATIENCE / 4)

    def ask(_: int) -> None:
        with history.event_log_storage.index_connection():
            all_are_connected.wait()

    with ThreadPoolExecutor(many) as threads:
        list(threads.map(ask, range(many)))


def test_dagsters_own_storage_reads_it(home: Path, history: dg.DagsterInstance) -> None:
    say(history, "it begins")
    own = ConsolidatedSqliteEventLogStorage(str(home))
    assert [entry.message for entry in own.get_logs_for_run(RUN)] == ["it begins"]


def test_nothing_is_open_once_it_is_disposed(home: Path) -> None:
    with instance_in(home) as instance:
        say(instance, "it begins")
        assert (home / "event_log.db-wal").exists()
    assert not (home / "event_log.db-wal").exists()
