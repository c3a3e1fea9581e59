"""Footers of Parquet files: each is read once for a version, side by side with others, as S3 takes a while to answer.

Belongs here: reading them, and showing them to PyIceberg. Does not belong here: rows, or which files there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow.dataset import ParquetFileFormat
from pyiceberg.io import InputFile
from pyiceberg.io.pyarrow import PyArrowFileIO, parquet_files_to_data_files

from resources.files.folder import side_by_side

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata


class Footer(InputFile):
    """A Parquet file that was looked at, of `size` bytes. Whoever opens it gets its footer alone."""

    def __init__(self, location: str, size: int, metadata: FileMetaData) -> None:
        super().__init__(location)
        self.size, self.metadata = size, metadata
        self.rows: int = metadata.num_rows

    @property
    def schema(self) -> pa.Schema:
        """The columns as written."""
        return self.metadata.schema.to_arrow_schema()

    def __len__(self) -> int:  # noqa: D105
        return self.size

    def exists(self) -> bool:
        """It was there."""
        return True

    def open(self, seekable: bool = True) -> pa.BufferReader:
        """A Parquet file with this footer and no row."""
        content = pa.BufferOutputStream()
        self.metadata.write_metadata_file(content)
        return pa.BufferReader(content.getvalue())


def read_footers(io: PyArrowFileIO, files: Mapping[str, int]) -> list[Footer]:
    """The footers of these files, whose sizes in bytes a listing has told: so each costs one request."""

    def read(location: str) -> Footer:
        scheme, host, path = io.parse_location(location)
        place = io.fs_by_scheme(scheme, host)
        parquet = ParquetFileFormat().make_fragment(path, place, file_size=files[location])
        return Footer(location, files[location], parquet.metadata)

    return side_by_side(read, files)


def data_files(footers: Sequence[Footer], table: TableMetadata) -> list[DataFile]:
    """The files as a manifest of the table has them. ValueError where their columns are not the table's."""
    return list(parquet_files_to_data_files(_Known(footers), table, (one.location for one in footers)))


class _Known(PyArrowFileIO):
    """Files that are not asked for again."""

    def __init__(self, footers: Sequence[Footer]) -> None:
        super().__init__()
        self._footers = {one.location: one for one in footers}

    def new_input(self, location: str) -> Footer:  # type: ignore[override]
        return self._footers[location]
