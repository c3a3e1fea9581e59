"""What a landing zone remembers of its files, so that it need not look at them again.

Belongs here: one landed file as data, the manifest that lists them, and looking at the files where the manifest
cannot be understood. Does not belong here: what is brought, or why (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from resources.files.fields import FieldSample
from resources.files.folder import File, Folder
from resources.files.ndjson import CHUNK, FileShape, decompressed, inspect

SUFFIXES = (".json.gz", ".json")
UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a file that is broken or out of reach raises."""
NAME = "manifest.json"


@dataclass(frozen=True)
class LandedFile:
    """One raw file: its name in the landing zone, its size in bytes, and how it can be read.

    `sha256` is that of the content, decompressed: a file that is delivered again as .gz is the same delivery. `stamp`
    is that of the file in the source. `fields` are names that its records have, as far as a sample of them shows.
    """

    name: str
    sha256: str
    size: int
    stamp: str
    shape: FileShape
    fields: tuple[str, ...]

    @classmethod
    def of(cls, file: File, name: str) -> LandedFile:
        """What the file would be, landed under that name; raises one of UNREADABLE."""
        digest, sample = hashlib.sha256(), FieldSample()

        def passing(stream: BinaryIO) -> Iterator[bytes]:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                sample.feed(chunk)
                yield chunk

        with file.open() as raw, decompressed(raw, file.name) as stream:
            shape = inspect(passing(stream))
        return cls(name, digest.hexdigest(), file.size, file.stamp, shape, sample.names)

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> LandedFile:
        """From what a manifest lists; KeyError, ValueError or TypeError where that is something else."""
        return cls(**{**entry, "shape": FileShape(entry["shape"]), "fields": tuple(entry["fields"])})


@dataclass(frozen=True)
class Manifest:
    """The list, kept in `beside`, of the files in `folder`, and the source that they were brought from."""

    beside: Folder
    folder: Folder

    def load(self) -> tuple[str | None, dict[str, LandedFile]]:
        """The source and the files by name; OSError where a list is there and cannot be read."""
        try:
            with self.beside.open(NAME) as stored:
                manifest = json.load(stored)
            files = [LandedFile.of_entry(entry) for entry in manifest["files"]]
            return str(manifest["source"]), {file.name: file for file in files}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # The manifest only saves work: without it, every file is looked at again, and none is taken for a stray.
            return None, {file.name: file for file in self._found()}

    def save(self, source: str, files: Iterable[LandedFile]) -> None:
        """Write the list anew."""
        text = json.dumps({"source": source, "files": [vars(file) for file in files]})
        with self.beside.create(NAME) as out:
            out.write(text.encode())

    def _found(self) -> Iterator[LandedFile]:
        for file in feed_files(self.folder):
            with suppress(*UNREADABLE):
                yield LandedFile.of(file, file.name)


def feed_files(folder: Folder) -> list[File]:
    """The folder's JSON files, but for hidden ones."""
    named = ((file, file.name.rpartition("/")[2]) for file in folder.files())
    return [file for file, name in named if name.endswith(SUFFIXES) and not name.startswith((".", "_"))]
