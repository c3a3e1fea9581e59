"""What engines read in place of raw files: files rewritten as lines, and bundles of small files.

Belongs here: which copies a feed's files need, making one, and finding the file that a line came from.
Does not belong here: how text becomes lines (`lines.py`), or when copies are made (`landing_zone.py`).

Opening a file takes an engine milliseconds, whatever is in it: ten thousand readings in as many files took Apache
Spark a minute and a half. A bundle's name follows from its files, so a delivery makes anew only those it adds to.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from resources.files.folder import Folder
from resources.files.manifest import LandedFile
from resources.files.ndjson import CHUNK, FileShape, decompressed, rewrite

SMALL = 1 << 16  # bytes: what is in a larger file takes longer than to open it
MANY = 1000  # small files: more of them are bundled, into at most 256 bundles

Copies = Mapping[str, Sequence[LandedFile]]
"""The names of copies, and the files that are in each."""


def copies(files: Iterable[LandedFile]) -> Copies:
    """The copies that engines read; the other files they read as they are, but for those that are empty."""
    filled = [file for file in files if file.shape is not FileShape.EMPTY]
    bundled = sum(file.size <= SMALL for file in filled) > MANY
    groups: dict[str, list[LandedFile]] = defaultdict(list)
    for file in sorted(filled, key=lambda file: file.sha256):
        if bundled and file.size <= SMALL:
            groups[file.sha256[:2]].append(file)
        elif file.shape.needs_rewriting:
            groups[file.sha256].append(file)
    return {_name(group): group for group in groups.values()}


def _name(group: Sequence[LandedFile]) -> str:
    contents = [file.sha256 for file in group]
    digest = contents[0] if len(group) == 1 else hashlib.sha256("\n".join(contents).encode()).hexdigest()
    return f"{digest[:32]}.json"


def write_copy(files: Iterable[LandedFile], folder: Folder, out: BinaryIO) -> None:
    """Write the lines of these files of the folder."""
    for file in files:
        with folder.open(file.name) as raw:
            rewrite(decompressed(raw, file.name), out, file.shape)
        out.write(b"\n")


def file_with(text: str, files: Iterable[LandedFile], folder: Folder) -> str | None:
    """The name of the first of these files with a line that holds the text, as an engine reads it."""
    wanted = text.encode()
    for file in files:
        with SpooledTemporaryFile(CHUNK) as copy, folder.open(file.name) as raw:
            lines: Iterable[bytes] = decompressed(raw, file.name)
            if file.shape.needs_rewriting:
                write_copy([file], folder, cast(BinaryIO, copy))
                copy.seek(0)
                lines = copy
            if any(wanted in line for line in lines):
                return file.name
    return None
