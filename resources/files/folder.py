"""Folders of files, on this machine or in S3, seen alike.

Belongs here: what is done with raw files: listing, opening, creating, copying, removing. What cannot be done raises
OSError, wherever the files lie. Does not belong here: which files matter (`landing_zone.py`); the files of tables
(`iceberg/`).
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar, cast

from resources.files.content import CHUNK
from resources.files.locks import WAITING, Lock, lock
from resources.threads import run_in_worker_thread

AT_ONCE = 16
"""Files that are read or copied at the same time: what S3 takes for one is nearly all waiting."""
TICK = 2.0
"""Seconds within which a file system may give two changes of a file one time: FAT counts in twos."""

One = TypeVar("One")
Result = TypeVar("Result")


@dataclass(frozen=True)
class File:
    """A file as its folder lists it: its name there, its size in bytes, and a stamp that changes with its content.

    `fresh`: it changed so lately that it may change again without getting another stamp.
    """

    folder: Folder
    name: str
    size: int
    stamp: str
    fresh: bool = field(default=False, compare=False)

    @contextmanager
    def open(self) -> Iterator[BufferedReader]:
        """The file's bytes, as many as were listed: what is added meanwhile is for the next time."""
        with self.folder.open(self.name) as stream:
            # Some file systems list no size for what has content.
            yield BufferedReader(_Beginning(stream, self.size) if self.size > 0 else cast(Any, stream), CHUNK)


@dataclass
class _Beginning(RawIOBase):
    """The first `left` bytes of a stream."""

    stream: BinaryIO
    left: int

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self.stream.read(min(len(buffer), self.left))
        buffer[: len(found)] = found
        self.left -= len(found)
        return len(found)


class Folder(ABC):
    """A folder and all that lies below it; names are relative to it, with `/` between their parts."""

    few: int
    """As many small files an engine opens sooner than they are bundled."""

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
    def is_there(self) -> bool:
        """Whether there is such a folder, if only an empty one."""

    @abstractmethod
    def files(self) -> list[File]:
        """All files, sorted by name; none where there is no such folder."""

    def passed_over(self) -> dict[str, str]:
        """What `files` does not list, and why."""
        return {}

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The file's bytes."""

    @abstractmethod
    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to write to. It is there when the block ends, whole; not at all if the block raises."""

    def replace(self, name: str, content: bytes, stamp: str) -> str:
        """Write a file in place of the one with that stamp, or of none (empty); its own stamp.

        OSError where another one is there. On this machine, locks alone see to that: they cannot be lost.
        """
        with self.create(name) as out:
            out.write(content)
        return ""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove the files."""

    def remove_listed(self, files: Iterable[File]) -> None:
        """Remove the files as they were listed; as in `replace`, none that was replaced meanwhile."""
        self.remove(file.name for file in files)

    @abstractmethod
    def holds(self, other: Folder) -> bool:
        """Whether the other folder is this one, or inside of it."""

    @abstractmethod
    def lock(self, name: str, say: Callable[[str], None]) -> AbstractContextManager[Lock]:
        """Wait until no other process is in a block of this name; `say` is told if one is, or died in it."""

    def is_still(self, file: File) -> bool:
        """Whether the file surely is what was listed."""
        return False

    def take(self, file: File, name: str, stamp: str) -> bool:
        """Copy a file, from wherever it lies, under that name, as `replace` writes one; whether it surely is what was
        listed.
        """
        with file.open() as reader, self.create(name) as writer:
            shutil.copyfileobj(reader, writer, CHUNK)
        return file.folder.is_still(file)


@dataclass(frozen=True)
class LocalFolder(Folder):
    """A folder of this machine."""

    root: Path
    few = 200

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

    def is_there(self) -> bool:
        """Whether there is such a folder, if only an empty one."""
        return self.root.is_dir()

    def files(self) -> list[File]:
        """All files. Links that lead nowhere are among them, so that they are reported. Links to folders are not
        followed: they may lead in a circle.
        """
        walk = os.walk(self.root, onerror=_refuse) if self.root.is_dir() else ()
        found = (os.path.join(folder, name) for folder, _, names in walk for name in names)
        return sorted(filter(None, map(self._file, found)), key=lambda file: file.name)

    def passed_over(self) -> dict[str, str]:
        """Links to folders, and what is neither file nor folder, such as a pipe."""
        found: dict[str, str] = {}
        for folder, folders, names in os.walk(self.root) if self.root.is_dir() else ():
            links = [os.path.join(folder, name) for name in folders if os.path.islink(os.path.join(folder, name))]
            found |= dict.fromkeys(links, "a link to a folder, which is not followed")
            others = (os.path.join(folder, name) for name in names)
            found |= {path: "neither a file nor a folder" for path in others if self._file(path) is None}
        return {os.path.relpath(path, self.root): reason for path, reason in sorted(found.items())}

    def _file(self, path: str) -> File | None:
        """The file at the path, or None where there is something else, such as a pipe."""
        name = path[len(os.path.join(self.root, "")) :]
        try:
            found = os.stat(path)
        except OSError:  # opening it will say why
            return File(self, name, -1, "")
        if not stat.S_ISREG(found.st_mode):
            return None
        # Anybody can set a file's date, but not the time of its last change, nor its number.
        stamp = f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
        return File(self, name, found.st_size, stamp, time.time() - found.st_ctime < TICK)

    def is_still(self, file: File) -> bool:
        """Whether nothing changed it, as far as its stamp tells."""
        return not file.fresh and self._file(self.path(file.name)) == file

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

    def lock(self, name: str, say: Callable[[str], None]) -> AbstractContextManager[Lock]:
        """Kept from the other processes of this machine."""
        return lock(self.root / f".{name}.lock", lambda: say(WAITING))

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
