"""What engines read in place of raw files: files rewritten as lines, and bundles of small files.

Belongs here: which copies engines need, and making them for as long as they are read. Does not belong here: how text
becomes lines (`ndjson.py`).

Opening a file takes an engine milliseconds, whatever is in it: ten thousand readings in as many files took Apache
Spark a minute and a half. In S3 it takes eight requests, one after another: 100 files took Sail 38 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from itertools import chain
from typing import Any, cast
from uuid import uuid4

from resources.files.folder import Folder, side_by_side
from resources.files.manifest import LandedFile
from resources.files.ndjson import ndjson_lines

SMALL = 1 << 16  # bytes: what is in a larger file takes longer than to open it
MANY = 200  # small files in a bundle


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
    bundles, large = ({f"{uuid4().hex}.json": group for group in groups} for groups in _groups(files, folder.few))
    copied = {file.name for group in chain(bundles.values(), large.values()) for file in group}

    def fetch(file: LandedFile) -> BufferedReader:
        with folder.open(file.name) as raw:
            return BufferedReader(cast(Any, BytesIO(raw.read())))

    def rewrite(name: str) -> None:
        (file,) = large[name]
        with folder.open(file.name) as raw, beside.create(name) as out:
            out.writelines(_lines(file, raw))

    try:
        for name, group in bundles.items():
            with beside.create(name) as out:
                for file, raw in zip(group, side_by_side(fetch, group), strict=True):
                    out.writelines(_lines(file, raw))
        side_by_side(rewrite, large)
        yield [TextFile(beside.path(name), None) for name in chain(bundles, large)] + [
            TextFile(folder.path(file.name), file.name) for file in files if file.name not in copied
        ]
    finally:
        with suppress(OSError):  # the next sync removes them
            beside.remove(chain(bundles, large))


def _groups(files: Sequence[LandedFile], most: int) -> tuple[list[list[LandedFile]], list[list[LandedFile]]]:
    """The files that are copied, by copy: small ones together, if they are more than `most`, and each large one."""
    small = [file for file in files if file.size <= SMALL]
    bundled = small if len(small) > most else [file for file in small if file.shape.needs_rewriting]
    large = [[file] for file in files if file.size > SMALL and file.shape.needs_rewriting]
    return [bundled[start : start + MANY] for start in range(0, len(bundled), MANY)], large


def _lines(file: LandedFile, raw: Any) -> Iterator[bytes]:
    """The lines of this file's bytes, but for blank ones, as `TextFile` says."""
    lines = ndjson_lines(raw, file.shape)
    return (f"{file.name}\t{line}\n".encode() for line in lines if line.strip(" \t\r"))
