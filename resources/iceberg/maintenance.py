"""Keeping a table small: its history expires, its days of many files get one, and what no version needs is removed.

Belongs here: what is done once in a while, beside the runs that publish. It never touches a file that a version needs,
or a run may still publish, and where anything is in doubt it removes nothing and says why. Does not belong here: what
each run clears up (`staging.py`), and what each commit does for itself (`retention.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from resources.errors import LakehouseError, translate_errors
from resources.files.folder import side_by_side
from resources.iceberg.compaction import compact
from resources.iceberg.retention import expire, reachable, replaced_before
from resources.iceberg.staging import NOTE

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.table import Table as IcebergTable

    from resources.iceberg.lakehouse import Lakehouse
    from resources.iceberg.version import TableSpec

ORPHANED_AFTER = timedelta(days=3)
"""A file that no version needs is nobody's after so long: no commit takes as long, of this project or of Athena."""


@dataclass
class Maintained:
    """What was done for a table; `refused` says why the rest was not."""

    table: str
    versions_expired: int = 0
    versions_retained: int = 0
    days_compacted: int = 0
    files_deleted: int = 0
    bytes_deleted: int = 0
    refused: str = ""


def maintain(lakehouse: Lakehouse, table: TableSpec, history: timedelta) -> Maintained:
    """Compact the table's days, expire what readers have not been given for so long, and remove what nobody needs."""
    done = Maintained(table.name)
    try:
        with translate_errors(f"maintain {table.name}", lakehouse.root):
            lakehouse.clear_up(table.name)
            if loaded := lakehouse.load(table.name):
                done.days_compacted = compact(lakehouse, table, loaded)
            if loaded := lakehouse.load(table.name):
                _expire_and_remove(lakehouse, table.name, loaded, datetime.now(UTC) - history, done)
    except LakehouseError as refused:
        done.refused = str(refused.description)
    return done


def _another_run(name: str) -> LakehouseError:
    return LakehouseError(f"Another run published {name} meanwhile, so nothing was removed. The next maintenance does.")


def _expire_and_remove(
    lakehouse: Lakehouse, name: str, loaded: IcebergTable, since: datetime, done: Maintained
) -> None:
    from pyiceberg.exceptions import CommitFailedException

    folder, read = _Folder(lakehouse.io, loaded), dict[str, list[str]]()
    before = folder.paths(reachable(loaded, read))
    expired = replaced_before(loaded.metadata, int(since.timestamp() * 1000))
    try:
        expire(loaded, expired)
    except (CommitFailedException, ValueError):  # some of them are gone by now
        raise _another_run(name) from None
    done.versions_expired, done.versions_retained = len(expired), len(loaded.metadata.snapshots)
    live, found = folder.paths(reachable(loaded, read)), folder.listing()
    # With its commit, another run removes the oldest metadata, too.
    current = lakehouse.load(name)
    if current is None or current.metadata_location != loaded.metadata_location:
        raise _another_run(name)
    free = _free(folder.root, found, live)
    orphans = {path for path, entry in free.items() if path not in before and _is_old(entry)}
    if others := [path for path in orphans if folder.is_metadata_of_another(free[path])]:
        orphans = set()
        done.refused = (
            f"What no version of {name} needs stays: {others[0]} is of a table that lay there before, whose catalog "
            "was lost. Remove that file if it is not to come back."
        )
    removed = {path: entry for path, entry in free.items() if path in before or path in orphans}
    folder.remove(removed.values())
    folder.remove_empty(found.keys() - removed.keys())
    done.files_deleted, done.bytes_deleted = len(removed), sum(entry.size for entry in removed.values())


def _free(root: str, found: Mapping[str, FileInfo], live: Collection[str]) -> dict[str, FileInfo]:
    """The table's files that no version needs, and no run may still publish. LakehouseError if the listing is wrong."""
    lacking = [path for path in live if path.startswith(f"{root}/") and path not in found]
    if lacking:
        raise LakehouseError(
            f"The listing of {root} lacks {len(lacking)} files that the table needs, {min(lacking)} among them, "
            "so nothing was removed. If they are gone, make the table anew: STEDI_REBUILD=1."
        )
    staged = [note[1] for path in found if (note := NOTE.fullmatch(path.rpartition("/")[2]))]
    return {
        path: entry for path, entry in found.items() if path not in live and not any(name in path for name in staged)
    }


def _is_old(entry: FileInfo) -> bool:
    return entry.mtime is not None and entry.mtime < datetime.now(UTC) - ORPHANED_AFTER


class _Folder:
    """The folder of a table, where each file has one path: on this machine, a folder may be reached by several."""

    def __init__(self, io: PyArrowFileIO, loaded: IcebergTable) -> None:
        self._io = io
        self._uuid = str(loaded.metadata.table_uuid).encode()
        self._scheme, self._host, self._path = io.parse_location(loaded.location().rstrip("/"))
        self._is_local = self._scheme == "file"
        self.root = self._real(self._path)

    @property
    def _files(self) -> FileSystem:
        return self._io.fs_by_scheme(self._scheme, self._host)

    def paths(self, uris: Collection[str]) -> set[str]:
        """The paths of these files."""
        return {self._real(self._io.parse_location(uri)[2]) for uri in uris}

    def listing(self) -> dict[str, FileInfo]:
        """Every file of the table's data and metadata, by its path."""
        from pyarrow.fs import FileSelector

        entries: list[FileInfo] = []
        for folder in ("data", "metadata"):
            entries += self._files.get_file_info(FileSelector(f"{self._path}/{folder}", True, True))
        return {self._real(entry.path): entry for entry in entries if entry.is_file}

    def is_metadata_of_another(self, entry: FileInfo) -> bool:
        """Whether it is of a table that lay here before: its catalog was lost, and may come back."""
        if not entry.base_name.endswith(".metadata.json"):
            return False
        with self._files.open_input_stream(entry.path) as file:
            content = file.readall()
        named = re.search(rb'"table-uuid"\s*:\s*"([^"]+)"', content)
        # Other engines compress theirs; what was written by half names none.
        return content[:1] not in (b"", b"{") or (named is not None and named[1] != self._uuid)

    def remove_empty(self, found: Collection[str]) -> None:
        """Remove the folders of dead runs that hold no file, of those found: in S3, what marks a folder is an object.

        Tasks of Spark that outlive their run make them again, as `__magic_job-*/`, when it has tidied up. The folder of
        a living run has a note; looked for now, since the run may have begun after the files were found.
        """
        from pyarrow.fs import FileSelector, FileType

        data = f"{self._path}/data"
        full = {path.removeprefix(f"{self._real(data)}/").partition("/")[0] for path in found}
        for folder in self._files.get_file_info(FileSelector(data, True)):
            note = f".{folder.base_name}.staging"
            if folder.is_file or folder.base_name in full or not NOTE.fullmatch(note):
                continue
            is_dead = self._files.get_file_info(f"{data}/{note}").type == FileType.NotFound
            inside = self._files.get_file_info(FileSelector(folder.path, True, True)) if is_dead else []
            if is_dead and not any(entry.is_file for entry in inside):
                self._files.delete_dir(folder.path)

    def remove(self, entries: Collection[FileInfo]) -> None:
        """Remove these files, and folders that have none then."""

        def remove(entry: FileInfo) -> None:
            with suppress(FileNotFoundError):
                self._files.delete_file(entry.path)

        side_by_side(remove, entries)
        for folder in {Path(entry.path).parent for entry in entries} if self._is_local else ():
            with suppress(OSError):  # until one is not empty
                for empty in (folder, *folder.parents):
                    empty.rmdir()

    def _real(self, path: str) -> str:
        return os.path.realpath(path) if self._is_local else path
