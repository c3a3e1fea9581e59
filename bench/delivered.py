"""What a program under test is given: a folder of feeds, whose records are spelled as the feeds spell them today.

Belongs here: where a feed's files lie, what they hold, and how large they are. Does not belong here: making feeds
(that is `sample`), or anything that a program under test does to them. Only the standard library is used: the programs
under test import this module, and its import must cost them nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

COLUMNS = {
    "customer": {
        "customerName": "STRING",
        "email": "STRING",
        "phone": "STRING",
        "birthDay": "STRING",
        "serialNumber": "STRING",
        "registrationDate": "BIGINT",
        "lastUpdateDate": "BIGINT",
        "shareWithResearchAsOfDate": "BIGINT",
        "shareWithPublicAsOfDate": "BIGINT",
        "shareWithFriendsAsOfDate": "BIGINT",
    },
    "accelerometer": {"user": "STRING", "timestamp": "BIGINT", "x": "DOUBLE", "y": "DOUBLE", "z": "DOUBLE"},
    "step_trainer": {"sensorReadingTime": "BIGINT", "serialNumber": "STRING", "distanceFromObject": "BIGINT"},
}
"""How each feed spells its columns today, and their types as both Spark and DuckDB call them."""

FEEDS = tuple(COLUMNS)


def delivered_files(folder: Path) -> list[str]:
    """Return a feed's files; of files with equal content only one, since a second delivery adds nothing."""
    by_content: dict[bytes, str] = {}
    for path in sorted(folder.glob("*.json")):
        with path.open("rb") as file:
            by_content.setdefault(file_digest(file, "sha256").digest(), str(path))
    if not by_content:
        sys.exit(
            f"There is no .json file in {folder}: the benchmark reads feeds laid out as SOURCE/customer/landing/*.json."
        )
    return list(by_content.values())


def feed_folder(source: Path, feed: str) -> Path:
    """Return the folder of a feed's files."""
    return source / feed / "landing"


@dataclass(frozen=True)
class Size:
    """How large a feed is."""

    files: int
    lines: int
    bytes: int


def sizes(source: Path) -> dict[str, Size]:
    """Return each feed's size. A feed without files ends the program with a sentence that says what is missing."""
    return {feed: _size(delivered_files(feed_folder(source, feed))) for feed in FEEDS}


def _size(files: list[str]) -> Size:
    lines = 0
    for path in files:
        with open(path, "rb") as file:
            lines += sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return Size(len(files), lines, sum(Path(path).stat().st_size for path in files))
