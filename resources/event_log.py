"""Dagster's history of runs on this machine, written more quickly.

Belongs here: how `.dagster/dagster.yaml` has events stored. Does not belong here: a production deployment's history,
which is in Postgres (`deploy/dagster.yaml`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from sqlite3 import Connection as SqliteConnection

import sqlalchemy
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS


class PooledSqliteEventLog(ConsolidatedSqliteEventLogStorage):
    """Dagster's event log in one SQLite database, whose connections are kept.

    Dagster opens, compiles for and closes a connection for each statement, some 700 times in a run of all tables: a
    sixth of the whole command where the embedded engine computes little.
    """

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        engine = sqlalchemy.create_engine(
            self._conn_string,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            max_overflow=-1,  # the webserver asks from many threads at once
        )
        sqlalchemy.event.listen(engine, "connect", _write_through)
        return engine

    @contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()  # type: ignore[no-untyped-call]
        self._engine.dispose()


def _write_through(connection: SqliteConnection, _record: object) -> None:
    """Have each commit reach the database's own file, as closing a connection would: the UI watches that file."""
    connection.execute("PRAGMA wal_autocheckpoint = 1")
