"""Folders for files that are written and not yet published.

Belongs here: making a run's folder, knowing whether its writer still lives, and removing what nobody will publish.
On this machine, a lock that the operating system releases when a process dies tells a crashed writer from a slow one.
Does not belong here: S3, which has no locks (`s3_staging.py`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from resources.files.locks import try_lock

_UUID = 36  # characters of a UUID
_OURS = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Area(ABC):
    """One table's data folder; `open` gives the run's own folder inside of it, named `name`."""

    name: str = ""

    @property
    def commit(self) -> uuid.UUID:
        """The id of the commit that publishes the folder: the catalog's own files of it are named by it."""
        return uuid.UUID(self.name[-_UUID:])

    @abstractmethod
    def open(self, run_id: str) -> str:
        """The path of a folder of the run's own, as an engine writes to it."""

    @abstractmethod
    def data_files(self) -> list[str]:
        """The Parquet files that the engine wrote."""

    @abstractmethod
    def close(self) -> None:
        """The files are published: leave them to the table."""

    @abstractmethod
    def abandon(self) -> None:
        """The files may be published: let go of them. A later run removes them if no version has them."""

    @abstractmethod
    def discard(self) -> None:
        """The files will not be published: remove them. Does nothing once the area is closed."""

    @abstractmethod
    def remove_leftovers(self, published: Callable[[], Collection[str]]) -> None:
        """Remove folders that no version is made of and whose writer has died. `published` names the versions'.

        Folders that no writer of ours left are not touched: a catalog that was lost may come back.
        """


def folder_name(run_id: str) -> str:
    """A name that no other run, and no retry of this one, takes. It ends with the id of its commit."""
    return f"{run_id[:8]}-{uuid.uuid4()}"


def is_folder_name(name: str) -> bool:
    """Whether it could be one that `folder_name` gave."""
    return _OURS.fullmatch(name[-_UUID:]) is not None


def is_data(name: str) -> bool:
    """Whether the file is one of the table's, and not an engine's note."""
    return name.endswith(".parquet") and not name.startswith((".", "_"))


class StagingArea(Area):
    """A table's data folder on this machine; the catalog's own files lie in `metadata` beside it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._metadata = data.with_name("metadata")
        self._lock: int | None = None

    def open(self, run_id: str) -> str:
        """Make the run's folder, and hold its lock until it is closed or discarded."""
        self._data.mkdir(parents=True, exist_ok=True)
        while self._lock is None:  # a cleaner may have caught the lock file before it was locked
            self.name = folder_name(run_id)
            self._lock = try_lock(self._lock_file(self.name))
        return str(self._data / self.name)

    def data_files(self) -> list[str]:
        """The Parquet files that the engine wrote."""
        return sorted(str(path) for path in (self._data / self.name).glob("*") if is_data(path.name))

    def close(self) -> None:
        """Release the lock, and remove it."""
        if self._lock is not None:
            self._lock_file(self.name).unlink(missing_ok=True)
            self.abandon()

    def abandon(self) -> None:
        """Release the lock, but leave its file: it says that there is something to clear up."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Remove the folder, what its commit had come to, and its lock."""
        if self._lock is not None:
            self._remove(self.name)
            self.close()

    def remove_leftovers(self, published: Callable[[], Collection[str]]) -> None:
        """Remove each folder whose lock was left behind, and is free, and that no version is made of."""
        # Found before the locks are looked at: whoever begins after that writes none of these.
        notes = list(self._metadata.glob("*.metadata.json"))
        locks = {path: try_lock(path) for path in sorted(self._data.glob(".*.lock"))}
        for path, lock in locks.items():
            if lock is None:
                continue  # its writer is at work
            # Asked under the lock: whoever lost it publishes nothing any more.
            name = path.name.removeprefix(".").removesuffix(".lock")
            if name not in published():
                self._remove(name)
            path.unlink(missing_ok=True)
            os.close(lock)
        if locks and None not in locks.values():
            for path in filter(_is_half, notes):  # it does not tell any more whose it is
                path.unlink(missing_ok=True)

    def _remove(self, name: str) -> None:
        shutil.rmtree(self._data / name, ignore_errors=True)
        commit = name[-_UUID:]
        if not _OURS.fullmatch(commit):
            return  # not a name of ours: it says nothing about other files
        for path in self._metadata.glob(f"*{commit}*"):
            path.unlink(missing_ok=True)
        for path in self._metadata.glob("*.metadata.json"):  # named by the catalog, but they tell what they publish
            if f'"{name}"'.encode() in path.read_bytes():
                path.unlink(missing_ok=True)

    def _lock_file(self, name: str) -> Path:
        return self._data / f".{name}.lock"


def _is_half(path: Path) -> bool:
    """Whether a writer died, or ran out of room, in the middle of this JSON."""
    with suppress(FileNotFoundError):
        content = path.read_bytes()
        if content.startswith(b"{") or not content:  # other engines compress theirs
            try:
                json.loads(content)
            except ValueError:
                return True
    return False
