"""Which files a table's versions are made of, as its own metadata says.

Belongs here: following the metadata to every file that a version reaches. Does not belong here: removing the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


def reachable(loaded: IcebergTable) -> dict[str, int]:
    """The URI of every file that any version of the table needs, and its size in bytes where that is known, or 0.

    All that the catalog keeps is a version, under a tag or a branch too. What a version was staged in says nothing of
    which files are live: another one may have taken over some, and others may be gone.
    """
    metadata, io = loaded.metadata, loaded.io
    files = dict.fromkeys([loaded.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)], 0)
    for statistics in (*metadata.statistics, *metadata.partition_statistics):
        files[statistics.statistics_path] = statistics.file_size_in_bytes
    for snapshot in metadata.snapshots:
        files[snapshot.manifest_list] = 0
        for manifest in snapshot.manifests(io):
            if manifest.manifest_path not in files:
                files[manifest.manifest_path] = manifest.manifest_length
                entries = manifest.fetch_manifest_entry(io)
                files |= {entry.data_file.file_path: entry.data_file.file_size_in_bytes for entry in entries}
    return files
