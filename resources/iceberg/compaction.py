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
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable

    from resources.iceberg.lakehouse import Lakehouse
    from resources.iceberg.version import TableSpec

FEW = 4
"""A day may have so many small files: engines write several of a large one."""
SMALL = 32 * 1024 * 1024  # bytes


def compact(lakehouse: Lakehouse, table: TableSpec, loaded: IcebergTable) -> int:
    """Give the table's days of many small files one each; how many days. LakehouseError if another run publishes."""
    snapshot = loaded.current_snapshot()
    if snapshot is None or not _is_as_ours(table, loaded):
        return 0
    days = _days_of_many_files(files_of(loaded, snapshot), loaded)
    if not days:
        return 0
    served = files_of(loaded, snapshot, for_rows_of=table.name)
    replaced = [file for files in days.values() for file in files]
    directory = lakehouse.staging_dir(table.name)
    folder = directory.open("compact")
    with ExitStack() as stack:
        stack.callback(directory.discard)
        written = [
            _merged(loaded.io, [file.file_path for file in files], f"{folder}/_day={number}/part-0.parquet")
            for number, files in enumerate(days.values())
        ]
        rows = sum(file.record_count for file in replaced)
        if sum(written) != rows:
            raise LakehouseError(f"The files of {table.name} have other numbers of rows than its manifests say.")
        retained = tuple(file for file in served if file not in replaced)
        files = tuple(directory.data_files)
        staged = Staged(table, directory, loaded, files, rows, None, retained, tuple(replaced))
        lakehouse.publish(staged, carried_on(snapshot))
    return len(days)


def _is_as_ours(table: TableSpec, loaded: IcebergTable) -> bool:
    """Whether it has the days and columns of this version of the project: to give it others is no compaction."""
    from resources.iceberg.schema import FORMAT, has_columns, is_by_day

    if loaded.format_version != FORMAT:
        return False
    by_day = table.taken is not None and is_by_day(loaded.spec(), loaded.schema(), table.taken)
    return by_day and has_columns(loaded.schema(), table.columns)


def _days_of_many_files(files: Sequence[DataFile], loaded: IcebergTable) -> dict[Any, list[DataFile]]:
    days: dict[Any, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.spec_id == loaded.spec().spec_id and file.file_size_in_bytes < SMALL:
            days[file.partition[0]].append(file)
    many = {day: found for day, found in days.items() if len(found) > FEW}
    return {day: found for day, found in many.items() if len({str(_schema(loaded.io, one)) for one in found}) == 1}


def _schema(io: Any, file: DataFile) -> pa.Schema:
    import pyarrow.parquet as pq

    with io.new_input(file.file_path).open() as source:
        return pq.read_schema(source)


def _merged(io: Any, paths: Sequence[str], path: str) -> int:
    """Write the rows of these files into one, in their order; how many. In memory is one row group at a time."""
    import pyarrow.parquet as pq

    rows = 0
    with ExitStack() as stack:
        out = stack.enter_context(io.new_output(path).create())
        writer = None
        for one in paths:
            with io.new_input(one).open() as source:
                parquet = pq.ParquetFile(source)
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(out, parquet.schema_arrow, compression="zstd"))
                for group in range(parquet.num_row_groups):
                    found = parquet.read_row_group(group)
                    writer.write_table(found)
                    rows += found.num_rows
    return rows
