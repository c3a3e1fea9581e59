"""Dagster's own history in DAGSTER_HOME: what is said where a run cannot be recorded there.

Belongs here: the one sentence in place of a hundred lines of traceback. Does not belong here: what a lakehouse refuses,
which a step tells (`errors.py`). Dagster records outside of every step, so only the end of the process can say so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType

from resources.errors import remedy_for

FULL = ("disk is full", "disk I/O error")
"""What SQLite says where there is no room for a row, or none for its journal."""


def report_what_dagster_cannot_record() -> None:
    """Have this process end with a sentence, where it ends because DAGSTER_HOME is full or cannot be written."""
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sentence = next(filter(None, map(_sentence, _causes(error))), None)
        if sentence is None:
            before(kind, error, trace)
        else:
            print(f"Error: {sentence}", file=sys.stderr)

    sys.excepthook = tell


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _sentence(error: BaseException) -> str | None:
    home = os.environ.get("DAGSTER_HOME", "DAGSTER_HOME")
    said = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or "")
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
