"""SQL for people: a query in, named columns and rows out.

Belongs here: running one read-only statement over published tables. Tables are named without their database, as
in Athena, so the files in `sql/queries/` run alike everywhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class QueryResult:
    """A query's result: column names, rows, how long it took, and what else the service tells of it, by name."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    seconds: float
    statistics: Mapping[str, Any] = field(default_factory=dict)


class Query(dg.ConfigurableResource[Any], ABC):
    """Answers SQL over the lakehouse's tables."""

    @abstractmethod
    def run(self, sql: str, views: Mapping[str, Callable[[], DataFrame]]) -> QueryResult:
        """Run the statement. `views` says how to read each table that it names, where no catalog knows them."""

    def ensure_table(self, name: str, ddl: str, location: str) -> str | None:
        """Have an external table over raw files, where a catalog keeps such tables. Says what was done, if anything."""
        return None


class EngineQuery(Query):
    """SQL through the run's own engine, over views of the published tables."""

    def run(self, sql: str, views: Mapping[str, Callable[[], DataFrame]]) -> QueryResult:
        """Define the views in the session that their frames belong to, and run the statement there."""
        frames = {name: read() for name, read in views.items()}
        for name, frame in frames.items():
            frame.createOrReplaceTempView(name)
        session = next(iter(frames.values())).sparkSession
        started = time.perf_counter()
        result = session.sql(sql)
        rows = [tuple(row) for row in result.collect()]
        return QueryResult(result.columns, rows, time.perf_counter() - started)
