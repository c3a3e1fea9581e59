"""Locks between processes: what every one promises, and those of this machine.

Belongs here: locks that the operating system releases when their holder dies, however it dies. Does not belong here:
what they guard; locks between machines (`lease.py`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WAITING = "waiting for another run, which holds the lock"


class Lock:
    """A lock that is held. One of this machine cannot be lost while its holder lives."""

    def confirm(self) -> None:
        """LakehouseError where another run has taken the lock over. To be asked before what cannot be undone."""


def try_lock(path: Path) -> int | None:
    """The descriptor that holds the lock until it is closed; None where another process has it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)  # removed between opening and locking, or even made anew: the lock guards nothing
    return None


@contextmanager
def lock(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[Lock]:
    """Hold the lock for a block, once it is free; `waiting` is called if it is not. Its file is never removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield Lock()
