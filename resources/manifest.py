"""What a landing zone remembers of its files, so that it need not look at them again.

Belongs here: one landed file as data, the manifest that lists them, and looking at a folder's files where the
manifest cannot be read. Does not belong here: what is brought, or why (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from resources.lines import CHUNK, FileShape, inspect, open_raw

SUFFIXES = (".json.gz", ".json")
UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a file that is broken or out of reach raises."""


@dataclass(frozen=True)
class LandedFile:
    """One raw file: its name in the landing zone, its size in bytes, and how it can be read.

    `sha256` is that of the content, decompressed: a file that is delivered again as .gz is the same delivery.
    """

    name: str
    sha256: str
    size: int
    modified_ns: int
    shape: FileShape

    @classmethod
    def of(cls, path: Path, name: str) -> LandedFile:
        """What the file would be, landed under that name; raises one of UNREADABLE."""
        stat, digest = path.stat(), hashlib.sha256()

        def passing(stream: BinaryIO) -> Iterator[bytes]:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                yield chunk

        with open_raw(path) as stream:
            shape = inspect(passing(stream))
        return cls(name, digest.hexdigest(), stat.st_size, stat.st_mtime_ns, shape)


@dataclass(frozen=True)
class Manifest:
    """The list at `path` of the files in `folder`, and the source that they were brought from."""

    path: Path
    folder: Path

    def load(self) -> tuple[str | None, dict[str, LandedFile]]:
        """The source and the files by name."""
        try:
            manifest = json.loads(self.path.read_text())
            files = [LandedFile(**entry | {"shape": FileShape(entry["shape"])}) for entry in manifest["files"]]
            return str(manifest["source"]), {file.name: file for file in files}
        except (OSError, ValueError, KeyError, TypeError):
            # The manifest only saves work: without it, every file is looked at again, and none is taken for a stray.
            return None, {file.name: file for file in self._found()}

    def save(self, source: str, files: Iterable[LandedFile]) -> None:
        """Write the list anew."""
        text = json.dumps({"source": source, "files": [asdict(file) for file in files]}, indent=1)
        write_beside(self.path, lambda beside: beside.write_text(text))

    def _found(self) -> Iterator[LandedFile]:
        for path in files_below(self.folder):
            with suppress(*UNREADABLE):
                yield LandedFile.of(path, path.relative_to(self.folder).as_posix())


def files_below(folder: Path) -> list[Path]:
    """Its JSON files, but for hidden ones. Links that lead nowhere are among them, so that they are reported."""
    return [
        path
        for path in sorted(folder.rglob("*") if folder.is_dir() else ())
        if path.name.endswith(SUFFIXES)
        and not path.name.startswith((".", "_"))
        and (path.is_file() or (path.is_symlink() and not path.exists()))
    ]


def write_beside(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then rename: a reader never meets half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    try:
        write(beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
