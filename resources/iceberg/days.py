"""The days of a table of readings: which of its files hold them, and which differ between two versions.

Belongs here: what Iceberg's metadata says of days, so that no file is scanned for it. A day is the epoch milliseconds
of its first moment, UTC: the value that the partition `truncate[86400000]` has. Does not belong here: what follows from
a day that changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from resources.errors import LakehouseError
from resources.iceberg.version import Version

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot
    from pyspark.sql import DataFrame

DAY_MS = 86_400_000
_FOLDER = "_day"
_EVER = 10**8 * DAY_MS  # in 271,800 years


def by_day(frame: DataFrame, taken: str) -> DataFrame:
    """The frame as it is to be written: with a column more, which becomes a folder a day, and one file in each."""
    from pyspark.sql import functions as F

    # Engines drop the column that they partition by from the files: it must be another one than `taken`.
    return frame.withColumn(_FOLDER, F.expr(f"`{taken}` div {DAY_MS}")).repartition(_FOLDER)


def write(frame: DataFrame, path: str, taken: str | None) -> None:
    """Add the frame as Parquet files, of one day each where `taken` says when a row's reading was taken."""
    if taken is None:
        frame.write.mode("append").parquet(path)
    else:
        by_day(frame, taken).write.mode("append").partitionBy(_FOLDER).parquet(path)


def within(frame: DataFrame, taken: str, span: Sequence[int]) -> DataFrame:
    """The frame's readings that were taken in that span of days."""
    from pyspark.sql import functions as F

    return frame.where(F.col(taken).between(span[0], span[-1] + DAY_MS - 1))


def spans(rows: Mapping[int, int], most: int) -> list[range]:
    """All days there can be, in spans of days that have so many of these `rows` by day at most, or are a single day."""
    cuts, total = list[int](), 0
    for day, count in sorted(rows.items()):
        if total and total + count > most:
            cuts.append(day)
            total = 0
        total += count
    return [range(since, until, DAY_MS) for since, until in pairwise([-_EVER, *cuts, _EVER])]


def files_of(loaded: IcebergTable, snapshot: Snapshot, *, for_rows_of: str = "") -> list[DataFile]:
    """The version's data files. To read rows of a table, name it: LakehouseError where some were deleted by row."""
    tasks = list(loaded.scan(snapshot_id=snapshot.snapshot_id).plan_files())
    if for_rows_of and any(task.delete_files for task in tasks):
        raise LakehouseError(
            f"{for_rows_of} carries row deletes, written by another engine: reading its files would bring "
            f"the deleted rows back. Rewrite the table there, or make it anew: STEDI_REBUILD=1."
        )
    return [task.file for task in tasks]


def is_of(file: DataFile, days: Collection[int] | None) -> bool:
    """Whether the file holds readings of these days; None: whatever it holds."""
    return days is None or (len(file.partition) > 0 and file.partition[0] in days)


def rows_by_day(loaded: IcebergTable, snapshot: Snapshot) -> Counter[int]:
    """How many rows the version has of each day."""
    rows = Counter[int]()
    for file in files_of(loaded, snapshot):
        rows[file.partition[0]] += file.record_count
    return rows


def changed_days(loaded: IcebergTable, since: int) -> set[int] | None:
    """The days whose rows may differ between the content `since` and the newest; None where nobody knows any more."""
    snapshot, days = loaded.current_snapshot(), set[int]()
    while snapshot is not None:
        version = Version.of(snapshot)
        if since in (version.content, version.snapshot_id):
            return days
        if version.content == version.snapshot_id:  # one that carries on the content of another changed no row
            for manifest in snapshot.manifests(loaded.io):
                if manifest.added_snapshot_id == snapshot.snapshot_id:
                    if manifest.partition_spec_id != loaded.spec().spec_id:
                        return None
                    days |= set(_days_in(manifest, loaded))
        snapshot = loaded.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
    return None


def _days_in(manifest: ManifestFile, loaded: IcebergTable) -> Iterator[int]:
    from pyiceberg.manifest import ManifestEntryStatus

    for entry in manifest.fetch_manifest_entry(loaded.io, discard_deleted=False):
        if entry.status is not ManifestEntryStatus.EXISTING:
            yield entry.data_file.partition[0]
