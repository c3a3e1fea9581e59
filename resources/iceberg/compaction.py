"""Days of many small files get one file with the same rows, in a commit that no reader of the rows takes for a change.

Belongs here: which days, and writing their files without an engine. Does not belong here: publishing (`lakehouse.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from resources.errors import LakehouseError
from resources.iceberg.days import files_of
from resources.iceberg.retention import carried_on
from resources.iceberg.version import Staged

if TYPE_CHECKING:
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable

    from resources.iceberg.footers import Footer
    from resources.iceberg.lakehouse import Lakehouse
    from resources.iceberg.version import TableSpec

FEW = 4
"""A day may have so many small files: engines write several of a large one."""
SMALL = 32 * 1024 * 1024  # bytes


def compact(lakehouse: Lakehouse, table: TableSpec, loaded: IcebergTable) -> int:
    """Give the table's days of many small files one each; how many days. LakehouseError if another run publishes."""
    from resources.iceberg.footers import read_footers

    snapshot = loaded.current_snapshot()
    if snapshot is None or not _is_as_ours(table, loaded):
        return 0
    days = _days_of_many_files(files_of(loaded, snapshot), loaded, lakehouse.io)
    if not days:
        return 0
    served = files_of(loaded, snapshot, for_rows_of=table.name)
    merged = {footer.location for footers in days.values() for footer in footers}
    replaced = [file for file in served if file.file_path in merged]
    directory = lakehouse.staging_dir(table.name)
    folder = directory.open("compact")
    with ExitStack() as stack:
        stack.callback(directory.discard)
        for number, footers in enumerate(days.values()):
            _merge(loaded.io, footers, f"{folder}/_day={number}/part-0.parquet")
        retained = tuple(file for file in served if file.file_path not in merged)
        written = read_footers(lakehouse.io, directory.data_files)
        staged = Staged(table, directory, loaded, written, retained, tuple(replaced))
        if staged.rows != sum(file.record_count for file in replaced):
            raise LakehouseError(f"The files of {table.name} have other numbers of rows than its manifests say.")
        lakehouse.publish(staged, carried_on(snapshot))
    return len(days)


def _is_as_ours(table: TableSpec, loaded: IcebergTable) -> bool:
    """Whether it has the days and columns of this version of the project: to give it others is no compaction."""
    from resources.iceberg.schema import FORMAT, has_columns, is_by_day

    if loaded.format_version != FORMAT:
        return False
    by_day = table.taken is not None and is_by_day(loaded.spec(), loaded.schema(), table.taken)
    return by_day and has_columns(loaded.schema(), table.columns)


def _days_of_many_files(files: Sequence[DataFile], loaded: IcebergTable, io: PyArrowFileIO) -> dict[Any, list[Footer]]:
    from resources.iceberg.footers import read_footers

    days: dict[Any, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.spec_id == loaded.spec().spec_id and file.file_size_in_bytes < SMALL:
            days[file.partition[0]].append(file)
    many = {day: found for day, found in days.items() if len(found) > FEW}
    sizes = {file.file_path: file.file_size_in_bytes for found in many.values() for file in found}
    footers = {footer.location: footer for footer in read_footers(io, sizes)}
    days_read = {day: [footers[file.file_path] for file in found] for day, found in many.items()}
    return {day: found for day, found in days_read.items() if len({_schema(one) for one in found}) == 1}


def _schema(footer: Footer) -> str:
    return str(footer.metadata.schema.to_arrow_schema())


def _merge(io: Any, footers: Sequence[Footer], path: str) -> None:
    """Write the rows of these files into one, in their order. In memory is one row group at a time."""
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        out = stack.enter_context(io.new_output(path).create())
        writer = None
        for footer in footers:
            with io.new_input(footer.location).open() as source:
                parquet = pq.ParquetFile(source, metadata=footer.metadata)
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(out, parquet.schema_arrow, compression="zstd"))
                for group in range(parquet.num_row_groups):
                    writer.write_table(parquet.read_row_group(group))
