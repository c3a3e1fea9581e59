"""What a landing zone remembers of its files, so that it need not look at them again.

Belongs here: one landed file as data, what a sync did with the files, the manifest that lists them, and looking at the
files where it cannot be understood. Does not belong here: what is synced, or why (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from resources.files.folder import File, Folder
from resources.files.ndjson import CHUNK, FileShape, decompressed, inspect

SUFFIXES = (".json.gz", ".json")
UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a file that is broken or out of reach raises."""
NAME = "manifest.json"
FIELD_RECORDS = 10  # of each chunk of bytes, that are looked at for their fields
FIELD_WINDOW = 1 << 14  # bytes of each chunk that are looked at
MOST_FIELDS = 100  # of a file: more come from names that are values


class FieldSample:
    """Looks at a file's bytes as they pass by, and gathers the names of its records' fields.

    A whole feed is never read for it: what a few records of each chunk cost is lost beside the checksum of its bytes.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._decoder = json.JSONDecoder()
        self._first = True

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        # Further on, only the start of a line is surely no place inside of a record.
        start = 0 if self._first else chunk.find(b"\n{") + 1
        if self._first or start:
            self._look_at(chunk[start : start + FIELD_WINDOW].decode(errors="replace"))
        self._first = self._first and not chunk

    def _look_at(self, text: str) -> None:
        position = text.find("{")
        for _ in range(FIELD_RECORDS):
            if position == -1:
                return
            try:
                record, end = self._decoder.raw_decode(text, position)
            except (ValueError, RecursionError):  # broken, or cut off by the window
                position = text.find("\n{", position) + 1 or -1
            else:
                self._names.update(record)
                position = text.find("{", end)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(self._names)[:MOST_FIELDS])


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

        with file.open() as raw:
            shape = inspect(passing(decompressed(raw, file.name)))
        return cls(name, digest.hexdigest(), file.size, file.stamp, shape, sample.names)

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> LandedFile:
        """From what a manifest lists; KeyError, ValueError or TypeError where that is something else."""
        return cls(**{**entry, "shape": FileShape(entry["shape"]), "fields": tuple(entry["fields"])})


@dataclass
class SyncResult:
    """What syncing one feed did, and what its landing zone holds now.

    `duplicates` maps a file to the one that has its content; `unreadable` maps a file to what went wrong; `dropped`
    are the files of another source that the landing zone held before; `taken_back` are those that somebody removed
    from the source and from the landing zone.
    """

    files: list[LandedFile] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    duplicates: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    synced: bool = True

    @property
    def size(self) -> int:
        """Bytes of all landed files."""
        return sum(file.size for file in self.files)

    @property
    def empty(self) -> list[str]:
        """Files that hold nothing but blanks."""
        return [file.name for file in self.files if file.shape is FileShape.EMPTY]

    @property
    def rewritten(self) -> list[str]:
        """Files that no engine reads line by line, and that were therefore rewritten as lines beside."""
        return [file.name for file in self.files if file.shape.needs_rewriting]

    @property
    def fields(self) -> Counter[str]:
        """The fields that a sample of the records has, and in how many files each was seen."""
        return Counter(name for file in self.files for name in file.fields)

    @property
    def fingerprint(self) -> str:
        """Equal for the same contents under the same names, which records hold, whatever the files' dates."""
        landed = "\n".join(sorted(f"{file.sha256} {file.name}" for file in self.files))
        return hashlib.sha256(landed.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Manifest:
    """The list, kept in `beside`, of the files in `folder`, and the source that they came from."""

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
