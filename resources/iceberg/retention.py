"""What of a table's past its metadata keeps, so that no commit costs more than the one before it.

Belongs here: which versions may go, having them and their manifests go from the metadata, and which files those that
stay need. Does not belong here: removing files, which needs more care (`maintenance.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from resources.iceberg.version import CONTENT, Version

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

MANIFESTS = 20
"""From so many on they are merged. Each costs every reader and every commit a millisecond, and S3's a request."""
VERSIONS = 50
"""So many are kept at least, and a fifth more at most: loading the metadata takes 0.03 ms for each."""


def transaction_on(loaded: IcebergTable) -> Transaction:
    """A transaction that knows the newest version alone: PyIceberg copies all metadata 26 times in one, which takes
    200 ms where there are 100 versions. The catalog puts what it comes to onto all that it has.
    """
    from pyiceberg.table import Table

    newest = loaded.current_snapshot()
    metadata = loaded.metadata.model_copy(update={"snapshots": [newest] if newest else [], "snapshot_log": []})
    return Table(loaded.name(), metadata, loaded.metadata_location, loaded.io, loaded.catalog).transaction()


def carried_on(snapshot: Snapshot) -> dict[str, str]:
    """The properties of a version whose rows are those of this one: where they come from, and whose they are."""
    version = Version.of(snapshot)
    ours = {key: value for key, value in version.properties.items() if key.startswith("stedi.")}
    return {**ours, CONTENT: str(version.content)}


def merge_manifests(transaction: Transaction, io: FileIO) -> bool:
    """Have the newest version's manifests in one, if there are many; whether they were. Changes no row.

    A commit that replaces days adds two, one of what it deleted, which PyIceberg keeps for good; it merges in appends
    alone, so this one appends nothing. After 300 commits planning took 0.24 s, and once merged 4 ms.
    """
    snapshot = transaction.table_metadata.current_snapshot()
    many = snapshot is not None and len(snapshot.manifests(io)) >= MANIFESTS
    if snapshot and many:
        with transaction.update_snapshot(snapshot_properties=carried_on(snapshot)).merge_append():
            pass
    return many


def replaced_before(metadata: TableMetadata, moment_ms: int) -> list[int]:
    """The versions that readers have not been given since then. One that was served until yesterday is not old."""
    replaced = {one.snapshot_id: then.timestamp_ms for one, then in pairwise(metadata.snapshot_log)}
    kept = _held(metadata)
    return [
        one.snapshot_id
        for one in metadata.snapshots
        if one.snapshot_id not in kept and replaced.get(one.snapshot_id, one.timestamp_ms) < moment_ms
    ]


def expire(loaded: IcebergTable, versions: Collection[int]) -> None:
    """Have the metadata know these versions no more. Their files stay."""
    if versions:
        loaded.maintenance.expire_snapshots().by_ids(list(versions)).commit()


def expire_most(loaded: IcebergTable) -> None:
    """Have the metadata know no more than the latest versions, if there are far more; many come in a week."""
    kept, snapshots = _held(loaded.metadata), loaded.metadata.snapshots
    if len(snapshots) > VERSIONS * 6 // 5:
        expire(loaded, [one.snapshot_id for one in snapshots[:-VERSIONS] if one.snapshot_id not in kept])


def reachable(loaded: IcebergTable, read: dict[str, list[str]] | None = None) -> set[str]:
    """The URI of every file that any version of the table needs; `read` keeps what manifests say from call to call.

    All that the catalog keeps is a version, under a tag or a branch too. What a version was staged in says nothing of
    which files are live: another one may have taken over some, and others may be gone.
    """
    metadata, io, read = loaded.metadata, loaded.io, {} if read is None else read
    files = {loaded.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    files |= {one.statistics_path for one in (*metadata.statistics, *metadata.partition_statistics)}
    for snapshot in metadata.snapshots:
        files.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(io):
            path = manifest.manifest_path
            if path not in read:
                read[path] = [entry.data_file.file_path for entry in manifest.fetch_manifest_entry(io)]
            files |= {path, *read[path]}
    return files


def _held(metadata: TableMetadata) -> set[int]:
    """What tags and branches hold, the newest version among it, and the ancestors that a branch asks for."""
    from pyiceberg.table.snapshots import ancestors_of

    return {
        one.snapshot_id
        for ref in metadata.refs.values()
        for one in islice(
            ancestors_of(metadata.snapshot_by_id(ref.snapshot_id), metadata), ref.min_snapshots_to_keep or 1
        )
    }
