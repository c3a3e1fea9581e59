"""Folders of files, on this machine or in S3, seen alike.

Belongs here: what is done with raw files: listing, opening, creating, copying, removing. What cannot be done raises
OSError, wherever the files lie. Does not belong here: which files matter (`landing_zone.py`); the files of tables
(`iceberg/`).
"""

from __future__ import annotations

import os
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, TypeVar, cast

from resources.files.locks import lock
from resources.files.ndjson import CHUNK
from resources.threads import run_in_worker_thread

AT_ONCE = 8
"""Files that are read or copied at the same time."""

One = TypeVar("One")
Result = TypeVar("Result")


@dataclass(frozen=True)
class File:
    """A file as its folder lists it: its name there, its size in bytes, and a stamp that changes with its content."""

    folder: Folder
    name: str
    size: int
    stamp: str

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file's bytes, as many as were listed: what is added meanwhile is for the next time."""
        with self.folder.open(self.name) as stream:
            # Some file systems list no size for what has content.
            yield cast(BinaryIO, _Beginning(stream, self.size)) if self.size > 0 else stream


@dataclass
class _Beginning:
    """The first `left` bytes of a stream."""

    stream: BinaryIO
    left: int

    def read(self, size: int = -1) -> bytes:
        found = self.stream.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(found)
        return found


class Folder(ABC):
    """A folder and all that lies below it; names are relative to it, with `/` between their parts."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """Where it lies, with a slash at its end."""

    @abstractmethod
    def below(self, name: str) -> Folder:
        """The folder of that name inside of this one."""

    @abstractmethod
    def path(self, name: str) -> str:
        """Where a file lies, as engines take it."""

    @abstractmethod
    def files(self) -> list[File]:
        """All files, sorted by name; none where there is no such folder."""

    def linked_folders(self) -> list[str]:
        """Links to folders, which `files` does not follow."""
        return []

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The file's bytes."""

    @abstractmethod
    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to write to. It is there when the block ends, whole; not at all if the block raises."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove the files."""

    @abstractmethod
    def holds(self, other: Folder) -> bool:
        """Whether the other folder is this one, or inside of it."""

    @abstractmethod
    def lock(self, name: str, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Wait until no other process is in a block of this name; `waiting` is called if one is."""

    def take(self, file: File, name: str) -> None:
        """Copy a file, from wherever it lies, under that name."""
        with file.open() as reader, self.create(name) as writer:
            shutil.copyfileobj(reader, writer, CHUNK)


@dataclass(frozen=True)
class LocalFolder(Folder):
    """A folder of this machine."""

    root: Path

    @property
    def uri(self) -> str:
        """As `file://`."""
        return self.root.as_uri() + "/"

    def below(self, name: str) -> LocalFolder:
        """The folder of that name inside of this one."""
        return LocalFolder(self.root / name)

    def path(self, name: str) -> str:
        """The whole path; OSError where that is not inside of the folder."""
        return str(self._inside(name))

    def files(self) -> list[File]:
        """All files. Links that lead nowhere are among them, so that they are reported. Links to folders are not
        followed: they may lead in a circle.
        """
        walk = os.walk(self.root, onerror=_refuse) if self.root.is_dir() else ()
        found = (os.path.join(folder, name) for folder, _, names in walk for name in names)
        return sorted(filter(None, map(self._file, found)), key=lambda file: file.name)

    def linked_folders(self) -> list[str]:
        """By their names."""
        walk = os.walk(self.root) if self.root.is_dir() else ()
        paths = (os.path.join(folder, name) for folder, names, _ in walk for name in names)
        return sorted(os.path.relpath(path, self.root) for path in paths if os.path.islink(path))

    def _file(self, path: str) -> File | None:
        """The file at the path, or None where there is something else, such as a pipe."""
        name = path[len(os.path.join(self.root, "")) :]
        try:
            found = os.stat(path)
        except OSError:  # opening it will say why
            return File(self, name, -1, "")
        return File(self, name, found.st_size, str(found.st_mtime_ns)) if stat.S_ISREG(found.st_mode) else None

    def open(self, name: str) -> BinaryIO:
        """The file's bytes."""
        return self._inside(name).open("rb")

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Written under another name, then renamed: a reader never meets half of it."""
        target = self._inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not self.holds(LocalFolder(target.parent)):
            raise OSError(f"{target} is not written: a link on the way leads out of {self.root}")
        beside = target.with_name(f".{target.name}.part")
        try:
            with beside.open("wb") as out:
                yield out
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove the files; folders stay."""
        for name in names:
            self._inside(name).unlink()

    def _inside(self, name: str) -> Path:
        if name.startswith("/") or ".." in name.split("/"):
            raise OSError(f"{name!r} names no file inside of {self.root}")
        return self.root / name

    def lock(self, name: str, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Kept from the other processes of this machine."""
        return lock(self.root / f".{name}.lock", waiting)

    def holds(self, other: Folder) -> bool:
        """Whether it does once links are followed."""
        return isinstance(other, LocalFolder) and Path(os.path.realpath(other.root)).is_relative_to(
            os.path.realpath(self.root)
        )


def _refuse(error: OSError) -> None:
    """What is in a folder that cannot be read must not be missed in silence."""
    raise error


def side_by_side(do: Callable[[One], Result], each: Iterable[One]) -> list[Result]:
    """What `do` gives for each, a few at a time: most of a file's time is waiting for a disk or for S3.

    Raises what the first one raises that fails; what has not begun by then, or by an interrupt, is left undone. What
    has begun is done to its end: no file is written to any more when the caller goes on, and gives up its lock.
    """
    begun, over, ended = False, False, SimpleQueue[None]()

    def one(what: One) -> Result:
        if over:
            raise CancelledError
        return do(what)

    def every() -> list[Result]:
        nonlocal begun
        begun = True
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                return list(pool.map(one, each))
        finally:
            ended.put(None)

    try:
        done: list[Result] = run_in_worker_thread(every)
    except BaseException:
        over = True
        if begun:  # what begins after this finds that it is over
            ended.get()
        raise
    return done
