"""Folders for files that are written and not yet published, on this machine and in S3 alike.

Belongs here: making a run's folder, knowing whether its writer still lives, and removing what nobody will publish.
A note beside the folder says that it is not published; it goes when the folder is. So a folder without one is never
touched: it may be another engine's, or belong to a catalog that was lost and may come back. The note is a lock. On this
machine, the operating system tells a crashed writer from a slow one; in S3, the note's age does, and a writer that was
taken for dead finds out before it publishes.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from resources.errors import translated
from resources.files.locks import try_lock
from resources.iceberg.moved import file_uri

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem
    from pyiceberg.io.pyarrow import PyArrowFileIO

    from resources.files.lease import Lease
    from resources.iceberg.s3 import S3FileIO

STALE_AFTER = timedelta(days=3)
"""A note in S3 that is so old is of a crashed run: no run takes as long to stage, nor from there to its commit."""

_UUID = 36  # characters of a UUID
NOTE = re.compile(r"\.(.+-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(staging|lock)")
"""A folder's name, and the ending of its note: `lock` is what earlier versions left of crashed runs on this machine."""


class StagingDir:
    """A run's own folder, named `name`, among the data of the table that lies at `location`."""

    def __init__(self, io: PyArrowFileIO, location: str) -> None:
        scheme, self._host, table = io.parse_location(location)
        self.name, self._ending = "", "staging"
        self._io, self._scheme = io, scheme
        self._data, self._metadata = f"{table}/data", f"{table}/metadata"
        self._is_local = scheme == "file"
        self._prefix = "" if self._is_local else f"{scheme}://"
        self._lock: int | None = None
        self._lease: Lease | None = None
        self._open = False

    @property
    def commit(self) -> uuid.UUID:
        """The id of the commit that publishes the folder: the catalog's own files of it are named by it."""
        return uuid.UUID(self.name[-_UUID:])

    @property
    def data_files(self) -> dict[str, int]:
        """The Parquet files that the engine wrote, as catalogs name them, and their bytes; its own notes are none."""
        return {
            file_uri(f"{self._prefix}{entry.path}"): entry.size
            for entry in sorted(self._list(self._folder, recursive=True), key=lambda entry: entry.path)
            if entry.base_name.endswith(".parquet") and not _is_hidden(entry.path.removeprefix(f"{self._folder}/"))
        }

    def open(self, run_id: str) -> str:
        """The path of a new folder, for an engine to make and fill; no other run, and no retry of this one, has it."""
        while not self._open:  # whoever clears up may have caught the note before it was locked
            self.name = f"{run_id[:8]}-{uuid.uuid4()}"
            if self._is_local:
                Path(self._note).parent.mkdir(parents=True, exist_ok=True)
            self._open = self._take()
        return f"{self._prefix}{self._folder}"

    def confirm(self) -> None:
        """From now on, nobody clears the folder for `STALE_AFTER`; LakehouseError where somebody has begun to."""
        if self._lease:
            self._lease.confirm()

    def close(self) -> None:
        """The files are published: leave them to the table."""
        if self._open:
            with self._clearing_up():
                self._delete(self._note)

    def release(self) -> None:
        """The files may be published: let go of them. A later run removes them if no version has them."""
        self._open = False
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard(self, live: Collection[str] = ()) -> None:
        """Remove the files, and what their commit had come to, unless the folder is closed or released. `live` are the
        names of files that a version needs.
        """
        if self._open:
            with self._clearing_up():
                self._remove(live)

    def discard_at_exit(self) -> None:
        """Remove the files, although an engine that was interrupted may go on writing: Sail does, for half a second.

        So they are removed once more when this process ends, and the engine with it. The note stays, and stays locked
        until then: a later run removes what came after all.
        """
        self._delete_folder()
        atexit.register(self._delete_folder)

    @contextmanager
    def _clearing_up(self) -> Iterator[None]:
        """What is refused here is logged and left to the next run: it hides no error, and fails no run that published.

        The note is the last to go, so that run knows. The folder is let go of.
        """
        try:
            with self._logging():
                yield
        finally:
            self.release()

    @contextmanager
    def _logging(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            refused = translated(error, f"clear up {self._folder}", self._data)
            logging.getLogger(__name__).warning(f"{refused and refused.description} The next run tries again.")

    def _delete_folder(self) -> None:
        with self._logging(), suppress(FileNotFoundError):
            self._files.delete_dir(self._folder)

    def _remove(self, live: Collection[str]) -> None:
        with suppress(FileNotFoundError):
            self._files.delete_dir(self._folder)
        began = self._files.get_file_info(self._note).mtime
        if began and self._lease:  # as the dead run has left it, also where it was just taken over
            began -= self._lease.taken_over
        for entry in self._list(self._metadata):
            if entry.base_name in live:
                continue
            # Some are named by the catalog, but tell what they publish. Older ones cannot tell of this folder.
            newer = _is_json(entry) and (began is None or entry.mtime >= began)
            if str(self.commit) in entry.base_name or (newer and f'"{self.name}"'.encode() in self._read(entry)):
                self._delete(entry.path)
        self._delete(self._note)

    def remove_leftovers(self, reachable: Callable[[], Collection[str]]) -> None:
        """Remove each folder that has a note, whose writer has died, and of whose files `reachable`, those that a
        version needs, has none. To be called before the run's own folder is opened; costs one listing if all is tidy.
        """
        if not self._notes:
            return
        # Found before the notes are taken: whoever begins after that writes none of these.
        metadata = list(filter(_is_json, self._list(self._metadata)))
        found, alive = self._notes, False
        for name, ending in found:
            left = copy(self)
            left.name, left._ending = name, ending
            left._open = left._take()
            alive = alive or not left._open
            if left._open:
                # Asked while it is locked: whoever lost the lock publishes nothing any more.
                live = reachable()
                # A commit's own files are named by its id, so a version without a row is known, too.
                if any(str(left.commit) in uri for uri in live):
                    left.close()
                left.discard({uri.rpartition("/")[2] for uri in live})
        if found and not alive:
            with self._clearing_up():
                for entry in metadata:  # what a writer left by half does not tell any more whose it is
                    if _is_half(self._read(entry)):
                        self._delete(entry.path)

    @property
    def _notes(self) -> list[tuple[str, str]]:
        """The folders that are not published, and how their notes end."""
        matches = (NOTE.fullmatch(entry.base_name) for entry in self._list(self._data))
        return sorted((match[1], match[2]) for match in matches if match)

    @property
    def _files(self) -> FileSystem:
        """Asked for whenever it is needed: between two such moments an engine may work for hours."""
        return self._io.fs_by_scheme(self._scheme, self._host)

    @property
    def _folder(self) -> str:
        return f"{self._data}/{self.name}"

    @property
    def _note(self) -> str:
        return f"{self._data}/.{self.name}.{self._ending}"

    def _take(self) -> bool:
        if self._is_local:
            self._lock = try_lock(Path(self._note))
            return self._lock is not None
        self._lease = cast("S3FileIO", self._io).lease(self._note, STALE_AFTER)
        return self._lease.take()

    def _list(self, folder: str, *, recursive: bool = False) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        listing: list[FileInfo] = self._files.get_file_info(FileSelector(folder, True, recursive))
        return listing

    def _read(self, entry: FileInfo) -> bytes:
        content = b"{}"
        with suppress(FileNotFoundError):  # meanwhile
            content = self._files.open_input_stream(entry.path).readall()
        return content

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._files.delete_file(path)


def _is_hidden(path: str) -> bool:
    """Whether it, or a folder on the way to it, is an engine's own, by Spark's rule."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.split("/"))


def _is_json(entry: FileInfo) -> bool:
    return bool(entry.base_name.endswith(".metadata.json"))


def _is_half(content: bytes) -> bool:
    """Whether a writer died, or ran out of room, in the middle of this JSON."""
    if content and not content.startswith(b"{"):
        return False  # other engines compress theirs
    try:
        json.loads(content)
    except ValueError:
        return True
    return False
