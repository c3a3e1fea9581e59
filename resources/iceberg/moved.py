"""A lakehouse on this machine that was moved, renamed or copied: its tables name their files by where they lay then.

Belongs here: having the tables name the files that are here, so that every reader of Iceberg finds them, and no run on
a copy writes into the original. Does not belong here: S3, where the catalog lies elsewhere and may be of another copy.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog

PATH, LENGTH = 500, 501
"""The ids of a manifest list's fields for a manifest's path, and its length in bytes: of the Iceberg specification."""

Moved = Callable[[Any], Any]
"""Gives a value with every path in it as it is now."""


def adopt(catalog: SqlCatalog, namespace: str, uri: Callable[[str], str]) -> None:
    """Have the catalog's tables lie where `uri` says, if their files are there and the catalog names another place.

    What is broken off is done again by the next one: the catalog learns of it last, and what is moved stays as it is.
    """
    from pyiceberg.catalog.sql import IcebergTables
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    with Session(catalog.engine) as session:
        for row in session.scalars(select(IcebergTables).where(IcebergTables.table_namespace == namespace)):
            was, _, name = (row.metadata_location or "").rpartition("/metadata/")
            now = uri(row.table_name)
            if lies_in(was, now) or not Path(path_of(now), "metadata", name).is_file():
                continue
            moved = _moved(was, now)
            _rewrite_table(path_of(moved(row.metadata_location)), moved)
            row.metadata_location = moved(row.metadata_location)
            row.previous_metadata_location = moved(row.previous_metadata_location)
        session.commit()


def unshare(database: Path) -> None:
    """Have the file to itself, if the lakehouse is a copy of links to another one's files: SQLite writes in place."""
    if database.exists() and database.stat().st_nlink > 1:
        half = database.with_name(f".{database.name}.half")
        shutil.copy(database, half)
        half.replace(database)


def lies_in(location: str, uri: str) -> bool:
    """Whether both name one folder, which may be reached by several ways."""
    if location == uri:
        return True
    one, other = path_of(location), path_of(uri)
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


def path_of(uri: str) -> str:
    """The path of a `file://` URI, as engines and this machine name it; any other URI as it is."""
    return urlparse(uri).path if uri.startswith("file:") else uri


def _moved(was: str, now: str) -> Moved:
    def moved(value: Any) -> Any:
        if isinstance(value, str):
            return now + value.removeprefix(was) if value == was or value.startswith(f"{was}/") else value
        if isinstance(value, list):
            return [moved(one) for one in value]
        if isinstance(value, dict):
            return {key: moved(one) for key, one in value.items()}
        return value

    return moved


def _rewrite_table(path: str, moved: Moved) -> None:
    """Rewrite this metadata file, what it names, and those before it."""
    metadata = moved(json.loads(Path(path).read_bytes()))
    for entry in metadata.get("metadata-log", ()):
        earlier = Path(path_of(entry["metadata-file"]))
        if earlier.is_file():
            _write(earlier, moved(json.loads(earlier.read_bytes())))
    done = dict[str, int]()
    for snapshot in metadata.get("snapshots", ()):
        _rewrite_avro(path_of(snapshot["manifest-list"]), moved, done)
    _write(Path(path), metadata)


def _write(path: Path, metadata: Any) -> None:
    # Beside it, and then in its place: a copy may be one of links to the original's files.
    half = path.with_name(f".{path.name}.half")
    half.write_text(json.dumps(metadata))
    half.replace(path)


def _rewrite_avro(path: str, moved: Moved, done: dict[str, int]) -> int:
    """Rewrite a manifest, or a list of them and each of these; its length in bytes. `done` are those of others."""
    from pyiceberg.avro.file import AvroFile, AvroOutputFile
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.typedef import Record

    if path in done:
        return done[path]
    io, half = PyArrowFileIO(), f"{path}.half"
    # By the schema in the file, whoever wrote it: as a manifest, it would lose what PyIceberg does not know.
    with AvroFile[Record](io.new_input(path)) as file:
        records, fields = list(file), [field.field_id for field in file.schema.fields]
        schema, meta = file.schema, file.header.meta
    for record in records:
        _move_record(record, moved)
        if PATH in fields:
            record[fields.index(LENGTH)] = _rewrite_avro(path_of(record[fields.index(PATH)]), moved, done)
    kind = json.loads(meta["avro.schema"])["name"]
    with AvroOutputFile[Record](io.new_output(half), schema, kind, metadata=meta) as out:
        out.write_block(records)
    os.replace(half, path)
    done[path] = os.path.getsize(path)
    return done[path]


def _move_record(record: Any, moved: Moved) -> None:
    from pyiceberg.typedef import Record

    for position in range(len(record)):
        if isinstance(record[position], Record):
            _move_record(record[position], moved)
        else:
            record[position] = moved(record[position])


def file_uri(path: str) -> str:
    """A path as catalogs name it; what is a URI stays one."""
    # Iceberg's readers take a location as it is written: they decode no `%20`, so none must be in it.
    return path if "://" in path else f"file://{path}"
