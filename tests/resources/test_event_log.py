"""The history of runs that `.dagster/dagster.yaml` asks for: one database, and the UI is told of each event at once.

Whoever writes to it keeps it open, so that the disk is not asked for each statement; whoever only reads does not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from queue import Queue

import dagster as dg
import pytest
import sqlalchemy

from resources.history import keep_event_log_open
from tests.support import ROOT

RUN = "a run"
PATIENCE = 60


def instance_in(home: Path) -> dg.DagsterInstance:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        return dg.DagsterInstance.get()


@pytest.mark.parametrize("kept_open", [False, True], ids=["closed after each event", "kept open"])
def test_who_watches_a_run_is_told_each_event_as_it_is_written_even_if_they_read_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_open: bool
) -> None:
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", tmp_path)
    if kept_open:
        keep_event_log_open()
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    told = Queue[str]()
    with instance_in(tmp_path) as run, instance_in(tmp_path) as ui:
        ui.watch_event_logs(RUN, None, lambda entry, _cursor: told.put(entry.message))
        while told.empty():  # the watch is set up by a thread, and what is written before that is told with the next
            run.report_engine_event("it begins", job_name="a job", run_id=RUN)
            time.sleep(0.2)
        with ui.event_log_storage.index_connection() as reading:
            half_read = reading.execute(sqlalchemy.text("select * from event_logs"))
            run.report_engine_event("it ends", job_name="a job", run_id=RUN)
            half_read.fetchall()
        while (message := told.get(timeout=PATIENCE)) == "it begins":
            pass
        assert message == "it ends"
        assert (tmp_path / "event_log.db-wal").exists() is kept_open
    databases = {path.relative_to(tmp_path).name for path in tmp_path.rglob("*.db")}
    assert databases == {"event_log.db", "runs.db", "schedules.db"}, "each run would have one of its own"


READS = """
import dagster as dg
from pathlib import Path
from resources.history import keep_event_log_open

home = Path("HOME")
with dg.DagsterInstance.get() as instance:
    keep_event_log_open()
    print([entry.message for entry in instance.all_logs("a run")], (home / "event_log.db-wal").exists())
"""
WRITES = """
    for message in ("it begins", "it ends"):
        instance.report_engine_event(message, job_name="a job", run_id="a run")
        print((home / "event_log.db-wal").exists())
"""


def test_who_writes_keeps_it_open_until_the_end_and_who_reads_does_not(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", tmp_path)
    told = []
    for script in (READS + WRITES, READS):
        command = [sys.executable, "-c", script.replace("HOME", str(tmp_path))]
        environment = {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.append(done.stdout.splitlines())
        assert not (tmp_path / "event_log.db-wal").exists(), "what was written is in the file once the process ends"
    assert told == [["[] False", "True", "True"], ["['it begins', 'it ends'] False"]]
