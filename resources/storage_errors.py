"""What storage and catalogs refuse, as sentences that say what to do.

Belongs here: the failures of folders, SQLite and S3 that a user can mend. Does not belong here: what was being done
when they happened; callers say that.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_REMEDIES = {
    errno.ENOSPC: "Make room there, and run it again",
    errno.EDQUOT: "Make room there, and run it again",
    errno.EACCES: "Give the user that runs Dagster the right to read and write there",
    errno.EPERM: "Give the user that runs Dagster the right to read and write there",
    errno.EROFS: "Set STEDI_LAKEHOUSE to a folder that can be written",
}
_DAMAGED = "catalog.db is damaged: put a copy of it back, or move the folder away and materialize everything"
_DATABASE = {
    "locked": "another process holds the catalog: wait for it to end, and run it again",
    "readonly": "give the user that runs Dagster the right to write catalog.db and its folder",
    "unable to open": "give the user that runs Dagster the right to write catalog.db and its folder",
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
        raise kind(f"Could not {doing}: {error}. {_REMEDIES.get(error.errno or 0, f'Look at {where}')}.") from error
    except Exception as error:
        if not _is_database_error(error):
            raise
        said = str(getattr(error, "orig", None) or error)
        remedy = next((remedy for word, remedy in _DATABASE.items() if word in said), f"look at {where}")
        raise kind(f"Could not {doing}: the catalog in {where} says «{said}». What to do: {remedy}.") from error


def _is_database_error(error: Exception) -> bool:
    # Not imported for this: where nobody has opened a database, none has failed.
    module = sys.modules.get("sqlalchemy.exc")
    return module is not None and isinstance(error, module.SQLAlchemyError)
