"""Whatever bytes a file holds, both engines read it alike, and each character is in a record that is accounted for.

Many lines are read with each query, because a query on Apache Spark takes a third of a second.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.landing_zone import LandingZone
from resources.lines import CONTINUED
from stedi_assets import reader
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, FEEDS, STEP_TRAINER, Feed
from tests.conformance import hostile
from tests.support import ENGINES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.faults

SEPARATORS = "[], \t\r\n\f\x0b\ufeff"
VALUES = [*hostile.NUMBERS, *hostile.TEXTS]
RECORDS = {
    ACCELEROMETER: (hostile.READING, ("x", "timestamp", "user")),
    STEP_TRAINER: (hostile.STEP, ("distanceFromObject", "serialNumber", "sensorReadingTime")),
    CUSTOMER: (hostile.CUSTOMER, ("email", "phone", "shareWithResearchAsOfDate")),
}
LINES = {
    feed: [
        *[json.dumps(record)] * 20,
        *(hostile.with_value(record, field, value) for field in fields for value in VALUES),
        *(record for record in hostile.RECORDS if len(record) < 900),
    ]
    for feed, (record, fields) in RECORDS.items()
}


@pytest.fixture(scope="module", autouse=True)
def both_engines(spark: SparkSession, apache_spark: SparkSession) -> None:
    """Both engines are needed."""


@dataclass(frozen=True)
class Reading:
    """What one engine read of a feed: the texts that it found, and the rows that it made of them."""

    found: list[str]
    rows: list[tuple[Any, ...]]

    @classmethod
    def of(cls, engine: str, feed: Feed, files: Sequence[str]) -> Reading:
        pieces = reader.cut_records(reader.read_text(ENGINES[engine].spark_session, files))
        rows = reader.type_records(pieces, feed, "run").collect()
        return cls(sorted(row[0] for row in pieces.collect()), sorted((tuple(row) for row in rows), key=repr))


def check(folder: Path, feed: Feed, files: Sequence[bytes]) -> None:
    """Land the files, read them on both engines, and account for every character."""
    source = folder / "source" / feed.name
    source.mkdir(parents=True)
    for number, content in enumerate(files):
        name = f"{number}.json" if number % 5 else f"{number}.json.gz"
        (source / name).write_bytes(content if number % 5 else gzip.compress(content, mtime=0))
    zone = LandingZone(root=str(folder / "lakehouse"), source=str(folder / "source"))
    paths = zone.readable(feed.name, zone.bring(feed.name))
    embedded, local = (Reading.of(engine, feed, paths) for engine in ENGINES)
    assert embedded.found == local.found
    for one, other in zip(embedded.rows, local.rows, strict=True):
        assert repr(one) == repr(other)
    text = "".join(content.decode(errors="replace") for content in dict.fromkeys(files))
    kept = "".join(piece.removeprefix(f"{CONTINUED} ") for piece in embedded.found)
    assert solid(kept) == solid(text)
    check_verdicts(feed, embedded)


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


edits = st.lists(st.tuples(st.integers(0, 300), st.sampled_from([None, *hostile.SCRAPS, *VALUES])), max_size=3)


def damage(text: str, changes: list[tuple[int, str | None]]) -> str:
    """The text with scraps thrown in, and characters removed."""
    for place, scrap in changes:
        at = place % (len(text) + 1)
        text = text[:at] + (scrap or "") + text[at + (scrap is None) :]
    return text


def files_of(feed: Feed) -> st.SearchStrategy[list[bytes]]:
    """A few files, each of damaged records in some layout and encoding."""
    line = st.builds(damage, st.sampled_from(LINES[feed]), edits)
    separator = st.sampled_from(["\n", "\r\n", ",\n", "", ", ", "\r", "\n  ", "\n\n"])
    text = st.builds(lambda between, lines: between.join(lines), separator, st.lists(line, min_size=1, max_size=25))
    encoding = st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16", "cp037"])
    content = st.builds(lambda one, name: one.encode(name, "replace"), text, encoding)
    # The first record ensures that the feed is there at all.
    return st.lists(content, min_size=1, max_size=12).map(lambda files: [LINES[feed][0].encode(), *files])


def test_both_engines_account_for_every_character_of_any_files(
    tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]
) -> None:
    @settings(max_examples=rounds(4, 150), deadline=None, derandomize=True)
    @given(st.data())
    def examples(data: st.DataObject) -> None:
        feed = data.draw(st.sampled_from(list(LINES)))
        check(tmp_path_factory.mktemp("files"), feed, data.draw(files_of(feed)))

    examples()


def test_both_engines_account_for_every_character_of_many_damaged_lines(
    tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]
) -> None:
    for number in range(rounds(2, 120)):
        feed = list(LINES)[number % len(LINES)]
        rng = random.Random(number)
        lines = list(hostile.damaged(LINES[feed], 2_000, seed=number))
        files = [
            "\n".join(lines[start : start + 250]).encode("utf-8", "surrogatepass") for start in range(0, 2_000, 250)
        ]
        # Bytes are damaged too: a flipped bit makes text that is no UTF-8, and another file of the same lines.
        flipped = bytearray(files[0])
        for _ in range(20):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        check(tmp_path_factory.mktemp("lines"), feed, [*files, bytes(flipped)])
