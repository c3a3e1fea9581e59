"""What an engine says of a query that failed, without the rows that it quotes.

An engine tells which value it stumbled over, in quotes or not, and that may be somebody's address. Such words go
neither into a run's log nor into Dagster's history. What is told before any row is read can be shown whole.
Belongs here: which of an engine's words can be shown. Does not belong here: whether the engine lives (`spark.py`).
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import dagster as dg

from resources.storage_errors import remedy_for

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame

# Words that come from the engine alone, and that say what somebody can mend.
_HARMLESS = re.compile(
    r"no space left|quota exceeded|read-only file system|permission denied|access ?denied|no such file|not found"
    r"|resources exhausted|out ?of ?memory|connection (?:refused|reset)|timed out"
    r"|\b(?:cast|parse|compute|execution|arrow|parquet|object store|io) error\b",
    re.IGNORECASE,
)


class QueryError(dg.Failure):
    """A query failed. The sentence quotes no row; trying again does not help."""

    def __init__(self, sentence: str) -> None:
        super().__init__(description=sentence, allow_retries=False)


def analysed(frame: DataFrame) -> DataFrame:
    """The frame, if the engine knows all that it names; QueryError in the engine's own words if not. Reads no row.

    What storage refuses stays the engine's error, for `storage_errors.py` to explain.
    """
    from pyspark.errors import PySparkException

    try:
        _ = frame.schema
    except PySparkException as error:
        if remedy_for(error, ""):
            raise
        said = str(error).partition("JVM stacktrace:")[0].strip()
        raise QueryError(f"The engine refuses the query before it reads a row: {said}").with_traceback(
            error.__traceback__
        ) from None
    return frame


def query_error(error: PySparkException) -> QueryError:
    """The error of a query that ran, to be raised `from None`: with the place in the code, without the engine's words.

    Of them, its name for the error is kept, and what else cannot come from a row.
    """
    said = str(error)
    harmless = _HARMLESS.search(said)
    name = error.getCondition() or type(error).__name__
    told = QueryError(
        f"A query failed in the engine: {name}{f' («{harmless[0]}»)' if harmless else ''}. What else the engine says "
        "may quote rows, so it is not kept. To see it, run the query in a session of your own: README «Reading the "
        "data»."
    )
    told.__traceback__ = error.__traceback__
    return told


def keep_rows_out_of_the_log() -> None:
    """Silence pyspark's own logs of errors, which have the engine's words and go to stderr."""
    from pyspark.logger import PySparkLogger

    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger", "pyspark.sql.connect.logging"):
        # By its level: whoever configures Python's logging, as Dagster does, enables again what was disabled.
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL + 1)
