"""What engines read in place of raw files: files rewritten as lines, and bundles of small files.

Belongs here: which copies a feed's files need, and making one. Does not belong here: how text becomes lines
(`ndjson.py`), or when copies are made (`landing_zone.py`).

Opening a file takes an engine milliseconds, whatever is in it: ten thousand readings in as many files took Apache
Spark a minute and a half.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from resources.files.folder import Folder
from resources.files.manifest import LandedFile
from resources.files.ndjson import FileShape, ndjson_lines

SMALL = 1 << 16  # bytes: what is in a larger file takes longer than to open it
MANY = 200  # small files: more of them are bundled
VERY_MANY = 1000  # small files: up to as many make at most 16 bundles, more at most 256


@dataclass(frozen=True)
class TextFile:
    """What an engine reads line by line: a landed file, or a copy.

    `file` is the landed file's name. It is None for a copy: there, each line begins with the name of the landed file
    that it came from, and a tab.
    """

    path: str
    file: str | None


def copies(files: Iterable[LandedFile]) -> dict[str, list[LandedFile]]:
    """The names of the copies that engines read, and the files in each; others they read as they are, or are empty."""
    filled = [file for file in files if file.shape is not FileShape.EMPTY]
    small = sum(file.size <= SMALL for file in filled)
    bundle = slice(1 if small <= VERY_MANY else 2)  # of the checksum: its first digits
    groups: dict[str, list[LandedFile]] = defaultdict(list)
    for file in sorted(filled, key=lambda file: file.sha256):
        if small > MANY and file.size <= SMALL:
            groups[file.sha256[bundle]].append(file)
        elif file.shape.needs_rewriting:
            groups[file.sha256].append(file)
    return {_name(group): group for group in groups.values() if len(group) > 1 or group[0].shape.needs_rewriting}


def _name(group: Sequence[LandedFile]) -> str:
    contents = "\n".join(f"{file.sha256} {file.name}" for file in group)
    return f"{hashlib.sha256(contents.encode()).hexdigest()[:32]}.json"


def write_copy(files: Sequence[LandedFile], folder: Folder, out: BinaryIO) -> None:
    """Write the lines of these files of the folder, but for blank ones, as `TextFile` says."""
    for file in files:
        with folder.open(file.name) as raw:
            lines = ndjson_lines(raw, file.shape)
            out.writelines(f"{file.name}\t{line}\n".encode() for line in lines if line.strip(" \t\r"))
