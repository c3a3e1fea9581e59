"""Folders in S3 for files that are written and not yet published.

Belongs here: what `staging.py` does on a machine. S3 has no locks, so only age tells a crashed writer from a slow one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resources.iceberg.staging import Area, folder_name, is_data, is_folder_name

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

ABANDONED = timedelta(days=3)
"""A folder that nobody has written to for so long is that of a crashed run: no run takes as long to publish."""


class S3StagingArea(Area):
    """A table's data folder in S3, `data` being its bucket and key."""

    def __init__(self, files: FileSystem, data: str) -> None:
        self._files = files
        self._data = data
        self._opened = False

    def open(self, run_id: str) -> str:
        """Choose the run's folder; it is there with its first file."""
        self.name, self._opened = folder_name(run_id), True
        return f"s3://{self._folder(self.name)}"

    def data_files(self) -> list[str]:
        """The Parquet files that the engine wrote."""
        return sorted(f"s3://{entry.path}" for entry in self._list(self._folder(self.name)) if is_data(entry.base_name))

    def close(self) -> None:
        """Leave the files to the table."""
        self._opened = False

    def abandon(self) -> None:
        """Leave the files: their age will tell."""
        self._opened = False

    def discard(self) -> None:
        """Remove the folder."""
        if self._opened:
            self._remove(self.name)
            self.close()

    def remove_leftovers(self, published: Callable[[], Collection[str]]) -> None:
        """Remove each abandoned folder of a run that no version is made of.

        Where the catalog knows no version, it may have lost the table, whose data are then all that is left of it.
        """
        names = {entry.base_name for entry in self._list(self._data) if is_folder_name(entry.base_name)}
        kept = set(published()) if names else set()
        for name in names - kept if kept else ():
            newest = max((entry.mtime for entry in self._list(self._folder(name)) if entry.mtime), default=None)
            if newest is not None and newest < datetime.now(UTC) - ABANDONED:
                self._remove(name)

    def _folder(self, name: str) -> str:
        return f"{self._data}/{name}"

    def _list(self, folder: str) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        listing: list[FileInfo] = self._files.get_file_info(FileSelector(folder, allow_not_found=True))
        return listing

    def _remove(self, name: str) -> None:
        if self._list(self._folder(name)):
            self._files.delete_dir(self._folder(name))
