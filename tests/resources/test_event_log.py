"""The history of runs that `.dagster/dagster.yaml` asks for: one database, and the UI is told of each event at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from queue import Queue

import dagster as dg
import pytest
import sqlalchemy

from tests.support import ROOT

RUN = "a run"
PATIENCE = 60


def instance_in(home: Path) -> dg.DagsterInstance:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        return dg.DagsterInstance.get()


def test_who_watches_a_run_is_told_each_event_as_it_is_written_even_if_they_read_meanwhile(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", tmp_path)
    told = Queue[str]()
    with instance_in(tmp_path) as run, instance_in(tmp_path) as ui:
        ui.watch_event_logs(RUN, None, lambda entry, _cursor: told.put(entry.message))
        run.report_engine_event("it begins", job_name="a job", run_id=RUN)
        assert told.get(timeout=PATIENCE) == "it begins"
        with ui.event_log_storage.index_connection() as reading:
            half_read = reading.execute(sqlalchemy.text("select * from event_logs"))
            run.report_engine_event("it ends", job_name="a job", run_id=RUN)
            half_read.fetchall()
        assert told.get(timeout=PATIENCE) == "it ends"
    databases = {path.relative_to(tmp_path).name for path in tmp_path.rglob("*.db")}
    assert databases == {"event_log.db", "runs.db", "schedules.db"}, "each run would have one of its own"
