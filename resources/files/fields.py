"""Which fields the records of a file have, from a sample of them.

Belongs here: looking at a few records of each chunk of bytes that passes by. A whole feed is never read for it: what
it costs is lost beside the checksum of the same bytes. Does not belong here: which fields are known.
"""

from __future__ import annotations

import json

RECORDS = 10  # of each chunk
WINDOW = 1 << 14  # bytes of each chunk that are looked at
MOST_NAMES = 100  # of a file: more come from names that are values


class FieldSample:
    """Looks at a file's bytes as they pass by, and gathers the names of its records' fields."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._decoder = json.JSONDecoder()
        self._first = True

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        # Further on, only the start of a line is surely no place inside of a record.
        start = 0 if self._first else chunk.find(b"\n{") + 1
        if self._first or start:
            self._look_at(chunk[start : start + WINDOW].decode(errors="replace"))
        self._first = self._first and not chunk

    def _look_at(self, text: str) -> None:
        position = text.find("{")
        for _ in range(RECORDS):
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
        return tuple(sorted(self._names)[:MOST_NAMES])
