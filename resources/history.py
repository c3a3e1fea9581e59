"""Dagster's own history in DAGSTER_HOME: how it is written, for how long it stays, and what is said where it is full.

Belongs here: what SQLite is asked beside `.dagster/dagster.yaml`, and the one sentence in place of a hundred lines of
traceback. Does not belong here: what a lakehouse refuses, which a step tells (`errors.py`). Dagster records outside of
every step, so only the end of the process can say so.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, cast

import dagster as dg
from sqlalchemy import Connection, Engine, Pool, event, text

from resources.errors import remedy_for

FULL = ("disk is full", "disk I/O error")
"""What SQLite says where there is no room for a row, or none for its journal."""

LATEST = text(
    "SELECT run_id FROM event_logs WHERE id IN"
    " (SELECT max(id) FROM event_logs WHERE asset_key IS NOT NULL GROUP BY asset_key, dagster_event_type)"
    " UNION SELECT run_id FROM asset_check_executions WHERE id IN"
    " (SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name, execution_status = 'PLANNED')"
)
"""The runs that hold what was last recorded of an asset, and what a check found last."""

RESULTS_OF_CHECKS = text("DELETE FROM asset_check_executions WHERE run_id = :run_id")
"""What Dagster leaves of a run that it has deleted: a fifth of all, that no page leads to, and no other way deletes."""

_open: dict[str, sqlite3.Connection] = {}


def keep_event_log_open() -> None:
    """Have this process, once it has written to the event log of DAGSTER_HOME, leave that open until it ends.

    Dagster opens and closes it some 770 times a run. SQLite then moves each statement on into the file and has the disk
    confirm it, 3,000 times, and makes the journal anew. Kept open, the journal is moved on when it is long, and at the
    end; a machine that loses power may lose the last events, and never the file.
    """
    event.listen(Engine, "engine_connect", _connected)
    event.listen(Pool, "checkin", _written)


def _connected(connection: Connection) -> None:
    path = os.path.join(os.path.abspath(os.environ.get("DAGSTER_HOME", "")), "event_log.db")
    if connection.engine.url.database == path:
        connection.connection.cursor().execute("PRAGMA synchronous=NORMAL")
        connection.info["event log"] = path


def _written(connection: Any, record: Any) -> None:
    """A connection is about to be closed. Whoever only reads keeps nothing open: the UI's server lives long."""
    path = record.info.get("event log")
    if connection is None or path is None or not connection.total_changes:
        return
    if path not in _open:
        _open[path] = sqlite3.connect(path, check_same_thread=False)
        _open[path].execute("PRAGMA schema_version")  # until it reads, it has nothing open
        atexit.register(_open[path].close)
    os.utime(path)  # the UI looks at this file to learn of new events, and they are in the journal


class Instance(dg.DagsterInstance):
    """Dagster's own. `.dagster/dagster.yaml` names it, so that what cannot be recorded is told from the start: on a
    disk that is full before a run begins, Dagster ends before it loads a code location.
    """

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """No settings beside Dagster's."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Any:
        """Dagster's; it asks for them before it opens anything."""
        from dagster._core.instance.ref import InstanceRef  # no public name: what Dagster asks of any such class

        report_what_dagster_cannot_record()
        return InstanceRef.config_defaults(base_dir)

    def handle_new_event(self, event: dg.EventLogEntry, **batch: Any) -> None:
        """Record it, without what Dagster writes in it twice, and never reads: its message, and which step it is of.

        The result of a check is kept twice itself, and one of 2 kB fills half a page of SQLite's, or all of it.
        """
        if event.dagster_event is not None:
            said = event.dagster_event._replace(logging_tags={})
            event = event._replace(user_message="", dagster_event=said)
        super().handle_new_event(event, **batch)

    def forget_runs(self, older_than: timedelta) -> int:
        """Delete what is recorded of runs that ended so long ago, and what they printed. How many that were.

        A run stays that holds what the page of an asset or a check shows: of what has not been made since.
        """
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
        runs = self.get_runs(dg.RunsFilter(statuses=ended, updated_before=datetime.now(UTC) - older_than))
        events = cast(Any, self.event_log_storage)  # of SQLite, as `.dagster/dagster.yaml` says
        with events.index_connection() as connection:
            latest = {run_id for (run_id,) in connection.execute(LATEST)}
        old = [run.run_id for run in runs if run.run_id not in latest]
        for run_id in old:
            with events.index_connection() as connection:
                connection.execute(RESULTS_OF_CHECKS, {"run_id": run_id})
            self.delete_run(run_id)
            self.compute_log_manager.delete_logs(prefix=[run_id])
        return len(old)


def report_what_dagster_cannot_record() -> None:
    """Have this process end with a sentence, where it ends because DAGSTER_HOME is full or cannot be written."""
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sentence = next(filter(None, map(_sentence, _causes(error))), None)
    if sentence is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"Error: {sentence}", file=sys.stderr)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _sentence(error: BaseException) -> str | None:
    home = os.environ.get("DAGSTER_HOME", "DAGSTER_HOME")
    sqlites = error if isinstance(error, sqlite3.Error) else getattr(error, "orig", None)
    said = str(sqlites or getattr(error, "strerror", None) or "")
    if any(words in said for words in FULL):
        remedy: str | None = f"Make room in {home}, and run it again"
    else:
        remedy = remedy_for(error, home) if isinstance(error, OSError) else None
    if remedy is None:
        return None
    return (
        f"Dagster could not record the run in {home}: {said}. {remedy}. What was published stays published, although "
        "the UI may not know of it: python -m stedi_assets.cli summary"
    )
