"""What the record reader promises of any bytes: each character is in a record that is accepted or quarantined.

Belongs here: landing and reading files as a run does, on the engines asked for, and holding the promises to what
came out. Does not belong here: which bytes; tests and the fuzzer make them up.
"""

from __future__ import annotations

import codecs
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resources.files.copies import TextFile
from resources.files.landing_zone import LandingZone
from resources.files.manifest import SyncResult
from resources.files.ndjson import CONTINUED
from stedi_assets.contracts import REASON, TEXT, Feed
from stedi_assets.ingestion import parse
from tests.resources.files.zones import sync
from tests.support import ENGINES

SEPARATORS = "[], \t\r\n\f\x0b\ufeff"
Read = tuple[list[str], list[dict[str, Any]]]
"""What one engine read of a feed: the texts that it found, and the rows that it made of them."""


def reconcile(folder: Path, feed: Feed, files: Sequence[bytes], engines: Sequence[str] = tuple(ENGINES)) -> None:
    """Land the files, read them on the engines, which must agree, and find every character again."""
    zone, synced = land(folder, feed, files)
    with zone.readable(feed.name, synced.files) as texts:
        first, *others = (read(engine, feed, texts) for engine in engines)
    refused = {int(name.partition(".")[0]) for name in synced.unreadable}
    for other in others:
        assert first[0] == other[0]
        for one, another in zip(first[1], other[1], strict=True):
            assert repr(one) == repr(another)
    kept = dict.fromkeys(content for number, content in enumerate(files) if number not in refused)
    text = "".join(map(decoded, kept))
    assert solid("".join(piece.removeprefix(f"{CONTINUED} ") for piece in first[0])) == solid(text)
    reconcile_rows(feed, *first)


def decoded(content: bytes) -> str:
    """The file's text, by its mark."""
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf_16 else "utf-8", errors="replace")


def land(folder: Path, feed: Feed, files: Sequence[bytes]) -> tuple[LandingZone, SyncResult]:
    """Deliver the files, every fifth of them compressed, and sync them as a run does."""
    source = folder / "source" / feed.name
    source.mkdir(parents=True)
    for number, content in enumerate(files):
        name = f"{number}.json" if number % 5 else f"{number}.json.gz"
        (source / name).write_bytes(content if number % 5 else gzip.compress(content, mtime=0))
    zone = LandingZone(root=str(folder / "lakehouse"), source=str(folder / "source"))
    return zone, sync(zone, feed.name)


def read(engine: str, feed: Feed, texts: Sequence[TextFile]) -> Read:
    pieces = parse.cut_records(parse.read_text(ENGINES[engine], texts))
    rows = [row.asDict() for row in parse.type_records(pieces, feed).collect()]
    return sorted(row["value"] for row in pieces.collect()), sorted(rows, key=repr)


def solid(text: str) -> Counter[str]:
    counted = Counter(text)
    for separator in SEPARATORS:
        del counted[separator]
    return counted


def reconcile_rows(feed: Feed, found: list[str], rows: list[dict[str, Any]]) -> None:
    """Each text found is quarantined as it is, or accepted; then it is JSON to another parser, and means the same."""
    taken = Counter(found)
    taken.subtract(row[TEXT.name] for row in rows if row[REASON.name] is not None)
    accepted = [row for row in rows if row[REASON.name] is None]
    assert min(taken.values(), default=0) >= 0
    assert taken.total() == len(accepted)
    numbers = [column for column in feed.landing.columns if column.type != "string"]
    assert Counter(tuple(row[column.name] for column in numbers) for row in accepted) == Counter(
        tuple(_number(record, column.feed_names[0], column.type) for column in numbers)
        for text in taken.elements()
        for record in [_json(text, feed)]
    )


def _json(text: str, feed: Feed) -> dict[str, Any]:
    """The record as Python reads it. Of two fields of one name it takes the last, as the engines do."""
    newest = {name: column.feed_names[0] for column in feed.landing.columns for name in column.feed_names}

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    record = json.loads(text, parse_constant=no_constant)
    assert isinstance(record, dict)
    return {newest.get(name, name): value for name, value in record.items()}


def _number(record: dict[str, Any], name: str, kind: str) -> float | int | None:
    value = record.get(name)
    if isinstance(value, str):
        value = value.strip(parse._BLANKS) or None
    if value is None:
        return None
    return int(float(value)) if kind == "bigint" else float(value)
