"""What engines read in place of raw files: files rewritten as lines, and bundles of small files.

Belongs here: which copies engines need, and making them for as long as they are read. Does not belong here: how text
becomes lines (`ndjson.py`).

Opening a file takes an engine milliseconds, whatever is in it: ten thousand readings in as many files took Apache
Spark a minute and a half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO
from uuid import uuid4

from resources.files.folder import Folder
from resources.files.manifest import LandedFile
from resources.files.ndjson import ndjson_lines

SMALL = 1 << 16  # bytes: what is in a larger file takes longer than to open it
MANY = 200  # small files: more of them are bundled, as many in each bundle


@dataclass(frozen=True)
class TextFile:
    """What an engine reads line by line: a landed file, or a copy.

    `file` is the landed file's name. It is None for a copy: there, each line begins with the name of the landed file
    that it came from, and a tab.
    """

    path: str
    file: str | None


@contextmanager
def text_files(files: Sequence[LandedFile], folder: Folder, beside: Folder) -> Iterator[list[TextFile]]:
    """What an engine reads of these files of `folder`. The copies of them lie in `beside` as long as the block."""
    made = {f"{uuid4().hex}.json": group for group in _groups(files)}
    copied = {file.name for group in made.values() for file in group}
    try:
        for name, group in made.items():
            with beside.create(name) as out:
                _write(group, folder, out)
        yield [TextFile(beside.path(name), None) for name in made] + [
            TextFile(folder.path(file.name), file.name) for file in files if file.name not in copied
        ]
    finally:
        with suppress(OSError):  # the next sync removes them
            beside.remove(made)


def _groups(files: Sequence[LandedFile]) -> list[list[LandedFile]]:
    """The files that are copied, by copy."""
    small = [file for file in files if file.size <= SMALL]
    bundled = small if len(small) > MANY else []
    names = {file.name for file in bundled}
    alone = [[file] for file in files if file.shape.needs_rewriting and file.name not in names]
    return [bundled[start : start + MANY] for start in range(0, len(bundled), MANY)] + alone


def _write(files: Sequence[LandedFile], folder: Folder, out: BinaryIO) -> None:
    """Write the lines of these files, but for blank ones, as `TextFile` says."""
    for file in files:
        with folder.open(file.name) as raw:
            lines = ndjson_lines(raw, file.shape)
            out.writelines(f"{file.name}\t{line}\n".encode() for line in lines if line.strip(" \t\r"))
