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

SECONDS_TO_WAIT = 30.0  # while another process writes


class PooledSqliteEventLog(ConsolidatedSqliteEventLogStorage):
    """Dagster's event log in one SQLite database, whose connections are kept.

    Dagster opens a connection for each statement, compiles the statement, and closes the connection: a part of a small
    run that shows. `_connect` and `_conn_string` are names of Dagster's own, which it may change.
    """

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        engine = sqlalchemy.create_engine(
            self._conn_string,
            connect_args={"timeout": SECONDS_TO_WAIT},
            max_overflow=-1,  # the webserver asks from many threads at once
        )
        sqlalchemy.event.listen(engine, "checkin", _write_through)
        return engine

    @contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()  # type: ignore[no-untyped-call]
        self._engine.dispose()


def _write_through(connection: SqliteConnection | None, _record: object) -> None:
    """Have what was committed reach the database's own file, as closing a connection would: the UI watches that file.

    After each use of a connection, not after each commit: where a reader is in the way, it does so once it has read.
    """
    if connection is not None:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
