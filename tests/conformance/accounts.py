"""What the record reader promises of any bytes: each character is in a record that is accepted or quarantined.

Belongs here: landing and reading files as a run does, on the engines asked for, and holding the promises to what
came out. Does not belong here: which bytes; tests and the fuzzer make them up.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.files.copies import TextFile
from resources.files.landing_zone import LandingZone
from resources.files.ndjson import CONTINUED
from stedi_assets.contracts import FEEDS, Feed
from stedi_assets.ingestion import parse as reader
from tests.support import ENGINES

SEPARATORS = "[], \t\r\n\f\x0b\ufeff"


@dataclass(frozen=True)
class Reading:
    """What one engine read of a feed: the texts that it found, and the rows that it made of them."""

    found: list[str]
    rows: list[tuple[Any, ...]]

    @classmethod
    def of(cls, engine: str, feed: Feed, texts: Sequence[TextFile]) -> Reading:
        pieces = reader.cut_records(reader.read_text(ENGINES[engine].spark_session, texts))
        rows = reader.type_records(pieces, feed, "run").collect()
        return cls(sorted(row[0] for row in pieces.collect()), sorted((tuple(row) for row in rows), key=repr))


def check(folder: Path, feed: Feed, files: Sequence[bytes], engines: Sequence[str] = tuple(ENGINES)) -> None:
    """Land the files, read them on the engines, which must agree, and account for every character."""
    paths = land(folder, feed, files)
    first, *others = (Reading.of(engine, feed, paths) for engine in engines)
    for other in others:
        assert first.found == other.found
        for one, another in zip(first.rows, other.rows, strict=True):
            assert repr(one) == repr(another)
    text = "".join(content.decode(errors="replace") for content in dict.fromkeys(files))
    kept = "".join(piece.removeprefix(f"{CONTINUED} ") for piece in first.found)
    assert solid(kept) == solid(text)
    check_verdicts(feed, first)


def land(folder: Path, feed: Feed, files: Sequence[bytes]) -> list[TextFile]:
    """Deliver the files, every fifth of them compressed, and bring them as a run does; what an engine is to read."""
    source = folder / "source" / feed.name
    source.mkdir(parents=True)
    for number, content in enumerate(files):
        name = f"{number}.json" if number % 5 else f"{number}.json.gz"
        (source / name).write_bytes(content if number % 5 else gzip.compress(content, mtime=0))
    zone = LandingZone(root=str(folder / "lakehouse"), source=str(folder / "source"))
    return zone.readable(feed.name, zone.sync(feed.name))


def solid(text: str) -> Counter[str]:
    counted = Counter(text)
    for separator in SEPARATORS:
        del counted[separator]
    return counted


def check_verdicts(feed: Feed, read: Reading) -> None:
    """Each text found is quarantined as it is, or accepted; then it is JSON to another parser, and means the same."""
    width = len(feed.landing.columns)
    refused = Counter(row[width + 1] for row in read.rows if row[width] is not None)
    taken = Counter(read.found)
    taken.subtract(refused)
    assert min(taken.values(), default=0) >= 0
    accepted = [row[:width] for row in read.rows if row[width] is None]
    assert taken.total() == len(accepted)
    numbers = [place for place, column in enumerate(feed.landing.columns) if column.type != "string"]
    assert Counter(tuple(row[place] for place in numbers) for row in accepted) == Counter(
        tuple(_number(record, feed, place) for place in numbers)
        for text in taken.elements()
        for record in [_json(text)]
    )


def _json(text: str) -> dict[str, Any]:
    """The record as Python reads it. Of two fields of one name it takes the last, as the engines do."""
    older = {
        old: column.feed_names[0] for feed in FEEDS for column in feed.landing.columns for old in column.feed_names
    }

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    record = json.loads(text, parse_constant=no_constant)
    assert isinstance(record, dict)
    return {older.get(name, name): value for name, value in record.items()}


def _number(record: dict[str, Any], feed: Feed, place: int) -> float | int | None:
    column = feed.landing.columns[place]
    value = record.get(column.feed_names[0])
    if isinstance(value, str):
        value = value.strip(reader._BLANKS) or None
    if value is None:
        return None
    return int(float(value)) if column.type == "bigint" else float(value)
