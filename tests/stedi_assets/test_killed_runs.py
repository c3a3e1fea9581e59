"""A run that was killed from outside does not stay «started» for ever."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._daemon.monitoring import run_monitoring

from tests.support import ROOT


@pytest.mark.parametrize(("hours", "status"), [(3, "STARTED"), (5, "FAILURE")])
def test_a_run_that_was_killed_is_marked_as_failed_while_the_ui_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int, status: str
) -> None:
    """Who met it: "I killed it on Monday, and on Friday the UI still says that it runs"."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.get() as instance:
        run = instance.add_run(dg.DagsterRun(job_name="stedi_lakehouse"))
        started = DagsterEvent(DagsterEventType.RUN_START.value, run.job_name)
        instance.report_dagster_event(started, run.run_id)
        assert instance.run_monitoring_enabled
        later = time.time() + hours * 3600
        monkeypatch.setattr(run_monitoring, "get_current_timestamp", lambda: later)
        workspace = SimpleNamespace(instance=instance, create_request_context=lambda: None)
        list(run_monitoring.execute_run_monitoring_iteration(cast(Any, workspace), logging.getLogger(__name__)))
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status.value == status
