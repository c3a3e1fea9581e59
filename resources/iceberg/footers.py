"""Footers of Parquet files: each is read once for a version, side by side with others, as S3 takes a while to answer.

Belongs here: reading them, and showing them to PyIceberg. Does not belong here: rows, or which files there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.dataset import ParquetFileFormat
from pyiceberg.io.pyarrow import PyArrowFileIO, parquet_files_to_data_files

from resources.files.folder import side_by_side

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata


@dataclass(frozen=True)
class Footer:
    """What a Parquet file of so many bytes says of itself. To PyIceberg it is that file."""

    location: str
    size: int
    metadata: FileMetaData

    def __len__(self) -> int:  # noqa: D105
        return self.size

    def open(self) -> pa.BufferReader:
        """A file with this footer and no row."""
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
    known = {footer.location: footer for footer in footers}
    io: Any = SimpleNamespace(new_input=known.__getitem__)
    return list(parquet_files_to_data_files(io, table, iter(known)))
