"""What storage and catalogs refuse, as sentences that say what to do.

Belongs here: the failures of folders, SQLite and S3 that a user can mend. Does not belong here: what was being done
when they happened; callers say that.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ROOM = "Make room in {where}, and run it again"
_RIGHTS = "Give the user that runs Dagster the right to read and write in {where}"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "Set STEDI_LAKEHOUSE to a folder that can be written",
}
_READ_ONLY = "give the user that runs Dagster the right to write catalog.db and its folder"
_DAMAGED = "catalog.db is damaged: put a copy of it back, or move the folder away and materialize everything"
_DATABASE = {
    "locked": "another process holds the catalog: wait for it to end, and run it again",
    "readonly": _READ_ONLY,
    "unable to open": _READ_ONLY,
    "disk is full": "make room there, and run it again",
    "malformed": _DAMAGED,
    "not a database": _DAMAGED,
}


@contextmanager
def explained(doing: str, where: str, kind: type[Exception]) -> Iterator[None]:
    """Raise failures of storage as `kind`; `doing` says what was tried, as in «read the table x»."""
    try:
        yield
    except OSError as error:
        raise kind(f"Could not {doing}: {error}. {remedy_for(error, where) or f'Look at {where}'}.") from error
    except Exception as error:
        if _is_of("sqlalchemy.exc", "SQLAlchemyError", error):
            said = str(getattr(error, "orig", None) or error)
            what_to_do = next((remedy for word, remedy in _DATABASE.items() if word in said), f"look at {where}")
            raise kind(f"Could not {doing}: the catalog in {where} says «{said}». What to do: {what_to_do}.") from error
        # An engine tells what the operating system told it, among other things.
        if _is_of("pyspark.errors", "PySparkException", error) and (remedy := remedy_for(error, where)):
            said = os.strerror(_refusal(str(error)) or 0)  # the line around it may quote a row
            raise kind(f"Could not {doing}: {said}. {remedy}.") from None
        raise


def remedy_for(error: Exception, where: str) -> str | None:
    """What to do about what the operating system refused in `where`, without a full stop; None where nobody knows."""
    number = getattr(error, "errno", None)
    remedy = _REMEDIES.get(number if number in _REMEDIES else _refusal(str(error)) or 0)
    return remedy.format(where=where) if remedy else None


def _refusal(said: str) -> int | None:
    return next((number for number in _REMEDIES if os.strerror(number) in said), None)


def _is_of(module: str, name: str, error: Exception) -> bool:
    # Not imported for this: what nobody has loaded has not failed.
    return module in sys.modules and isinstance(error, getattr(sys.modules[module], name))
