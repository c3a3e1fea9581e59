"""What a landing zone remembers of its files, so that it need not look at them again.

Belongs here: one landed file as data, what a sync did with the files, the manifest that lists them, and looking at the
files where it cannot be understood. Does not belong here: what is synced, or why (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from gzip import BadGzipFile
from typing import Any

from resources.files.content import GZIP, OtherKindError, unpacked, utf8_chunks
from resources.files.folder import File, Folder
from resources.files.ndjson import FileShape, inspect

UNREADABLE = (OSError, EOFError, zlib.error, OtherKindError)
"""What reading a file raises that is broken, out of reach, or of another kind."""
_OPENS = re.compile(rb"[\s\0\xef\xbb\xbf\xff\xfe]*[{\[]")  # in any encoding
NAME = "manifest.json"
REMARKS = ("duplicates", "unreadable", "ignored")
"""What a sync found of files that are not landed, and a check that is executed alone still says."""
FIELD_RECORDS = 10  # of each chunk of bytes, that are looked at for their fields
FIELD_WINDOW = 1 << 14  # bytes of each chunk that are looked at
A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
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
        """The names, sorted. What is no name, as where a record's keys are addresses, is only numbered."""
        named = {name for name in self._names if A_NAME.fullmatch(name)}
        numbered = (f"?{number}" for number in range(len(self._names - named)))
        return (*sorted(named), *numbered)[:MOST_FIELDS]


@dataclass(frozen=True)
class LandedFile:
    """One raw file: its name in the landing zone, its size in bytes, and how it can be read.

    `sha256` is that of the content, decompressed and in UTF-8: a file that is delivered again as .gz is the same
    delivery. `fields` are names that its records have, as far as a sample of them shows. `most` is how large a file of
    this name has been.

    `stamp` is that of the file in the source, and `landed` that of the file in the landing zone. While a stamp is the
    same, what was seen of that file is still true. Empty: it must be looked at again.
    """

    name: str
    sha256: str
    size: int
    stamp: str
    shape: FileShape
    fields: tuple[str, ...]
    landed: str = ""
    most: int = 0

    @classmethod
    def of(cls, file: File, name: str, most: int = 0) -> LandedFile:
        """What the file would be, landed under that name; raises one of UNREADABLE."""
        digest, sample = hashlib.sha256(), FieldSample()

        def passing(chunks: Iterable[bytes]) -> Iterator[bytes]:
            for chunk in chunks:
                digest.update(chunk)
                sample.feed(chunk)
                yield chunk

        with file.open() as raw:
            is_gzip, is_named_gzip = raw.peek(2).startswith(GZIP), name.endswith(".gz")
            if is_named_gzip and not is_gzip and raw.peek(1) and not _OPENS.match(raw.peek(64)):
                raise BadGzipFile("Not a gzipped file, and no JSON")
            stream, encoding = unpacked(raw)
            shape = inspect(passing(utf8_chunks(stream, encoding)))
        if shape is FileShape.LINES and (encoding != "utf-8" or is_gzip != is_named_gzip):
            shape = FileShape.NOT_UTF8  # not as it lies there: engines go by the name
        stamp = "" if file.fresh else file.stamp
        return cls(name, digest.hexdigest(), file.size, stamp, shape, sample.names, most=max(most, file.size))

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> LandedFile:
        """From what a manifest lists; KeyError, ValueError or TypeError where that is something else."""
        return cls(
            **{"most": entry["size"], **entry, "shape": FileShape(entry["shape"]), "fields": tuple(entry["fields"])}
        )


@dataclass
class SyncResult:
    """What syncing one feed did, and what its landing zone holds now.

    `duplicates` maps a file to the one that has its content, `unreadable` a file to what went wrong, `ignored` what is
    no file of the feed by its name to the reason; `dropped` are the files of another source that were landed before;
    `taken_back` are those that somebody removed from the source and from the landing zone. `origin` is the source of
    what is landed, where that is known.
    """

    files: list[LandedFile] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    duplicates: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    synced: bool = True
    origin: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all landed files."""
        return sum(file.size for file in self.files)

    @property
    def empty(self) -> list[str]:
        """Files that hold nothing but blanks."""
        return [file.name for file in self.files if file.shape is FileShape.EMPTY]

    @property
    def shrunk(self) -> list[LandedFile]:
        """Files that have lost most of the bytes that they once had."""
        return [file for file in self.files if file.size < file.most / 2]

    @property
    def rewritten(self) -> list[str]:
        """Files that no engine reads line by line: they read copies, rewritten as lines."""
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


@dataclass
class Manifest:
    """The list, kept in `beside`, of the files in `folder`, and the source that they came from.

    It is saved in place of the one that was loaded, and of no other: in S3, a run that went on after it had lost the
    feed's lock would make the files that another one has landed since then strays.
    """

    beside: Folder
    folder: Folder
    _stamp: str = ""
    _stored: bytes = b""

    def load(self) -> tuple[str | None, dict[str, LandedFile], dict[str, Any]]:
        """The source, the files by name, and what was remarked; OSError where a list is there and cannot be read."""
        # Listed before it is read: whatever comes between is another one's, and is not replaced.
        self._stamp = next((file.stamp for file in self.beside.files() if file.name == NAME), "")
        try:
            with self.beside.open(NAME) as stored:
                self._stored = stored.read()
            manifest = json.loads(self._stored)
            files = [LandedFile.of_entry(entry) for entry in manifest["files"]]
            return str(manifest["source"]), {file.name: file for file in files}, manifest.get("remarks", {})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # The manifest only saves work: without it, every file is looked at again, and none is taken for a stray.
            return None, {file.name: file for file in self._found()}, {}

    def save(self, source: str, result: SyncResult) -> None:
        """Write the list anew, where it says something else; OSError where another run has done so since `load`."""
        remarks = {name: getattr(result, name) for name in REMARKS}
        listed = {"source": source, "files": [vars(file) for file in result.files], "remarks": remarks}
        content = json.dumps(listed).encode()
        if content != self._stored:
            self._stamp, self._stored = self.beside.replace(NAME, content, self._stamp), content

    def _found(self) -> Iterator[LandedFile]:
        for file in self.folder.files():
            if not is_hidden(file.name):
                with suppress(*UNREADABLE):
                    yield replace(LandedFile.of(file, file.name), stamp="", landed=file.stamp)


def is_hidden(name: str) -> bool:
    """Whether Spark, Hive and Athena take the file for none of the data, by its name or that of a folder."""
    return any(part.startswith((".", "_")) for part in name.split("/"))
