"""What storage refuses is a sentence that says what happened and what to do."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from resources.errors import LakehouseError
from resources.storage_errors import explained

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REFUSED = {
    errno.ENOSPC: "Make room in /lake, and run it again",
    errno.EDQUOT: "Make room in /lake, and run it again",
    errno.EACCES: "Give the user that runs Dagster the right to read and write in /lake",
    errno.EPERM: "Give the user that runs Dagster the right to read and write in /lake",
    errno.EROFS: "Set STEDI_LAKEHOUSE to a folder that can be written",
    errno.EIO: "Look at /lake",
}


def told(error: Exception) -> str:
    with pytest.raises(LakehouseError) as raised, explained("stage walks", "/lake", LakehouseError):
        raise error
    return str(raised.value.description)


@pytest.mark.parametrize(("number", "remedy"), REFUSED.items(), ids=errno.errorcode.get)
def test_what_the_operating_system_refuses_is_told(number: int, remedy: str) -> None:
    said = os.strerror(number)
    assert (
        told(OSError(number, said, "/lake/x"))
        == f"Could not stage walks: [Errno {number}] {said}: '/lake/x'. {remedy}."
    )


def test_what_an_engine_was_refused_is_told_without_what_is_around_it() -> None:
    """That is a trace, and may be a row."""
    from pyspark.errors import PySparkException

    java = "Job aborted\n  java.io.IOException: ann@example.org: No space left on device\n\tat java.base/x"
    assert told(PySparkException(java)) == (
        "Could not stage walks: No space left on device. Make room in /lake, and run it again."
    )


def test_what_else_goes_wrong_is_left_as_it_is(spark: SparkSession) -> None:
    for query, kind in (("select raise_error('no')", "Exception"), ("select nothing", "AnalysisException")):
        with pytest.raises(Exception, match=r"no|nothing") as raised, explained("look", "/lake", LakehouseError):
            spark.sql(query).collect()
        assert not isinstance(raised.value, LakehouseError), kind
    with pytest.raises(KeyError), explained("look", "/lake", LakehouseError):
        raise KeyError


DATABASE = {
    "database is locked": "another process holds the catalog: wait for it to end, and run it again",
    "attempt to write a readonly database": "the right to write catalog.db and its folder",
    "unable to open database file": "the right to write catalog.db and its folder",
    "database or disk is full": "make room there, and run it again",
    "database disk image is malformed": "catalog.db is damaged: put a copy of it back",
    "file is not a database": "catalog.db is damaged: put a copy of it back",
    "disk I/O error": "look at /lake",
}


@pytest.mark.parametrize(("said", "remedy"), DATABASE.items())
def test_what_the_catalog_refuses_is_told_without_the_query(said: str, remedy: str) -> None:
    from sqlalchemy.exc import OperationalError

    sentence = told(OperationalError("SELECT secret", {"name": "secret"}, Exception(said)))
    assert sentence.startswith(f"Could not stage walks: the catalog in /lake says «{said}». What to do: ")
    assert remedy in sentence
    assert "secret" not in sentence
