"""Which files a table's versions are made of, as its own metadata says.

Belongs here: following the metadata to every file that a version reaches. Does not belong here: removing the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


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
