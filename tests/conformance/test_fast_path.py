"""The fast path: records as the feeds usually spell them are cut and cast by each engine, and nothing is lost by it."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from sample.feeds import write_feeds
from stedi_assets import contracts
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, FEEDS, STEP_TRAINER, Column, Feed
from stedi_assets.ingestion.parse import fast_record, type_records
from tests.support import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

TEXT = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("\\", "")


@pytest.fixture(params=ENGINES)
def session(spark: SparkSession, request: pytest.FixtureRequest) -> SparkSession:
    """The session of each engine in turn."""
    found: SparkSession = request.getfixturevalue("apache_spark") if request.param == "local" else spark
    return found


def is_fast(record: str, feed: Feed) -> bool:
    # Python spells the end of a text in another way.
    return re.search(fast_record(feed.landing.columns).replace(r"\z", r"\Z"), record) is not None


def read(session: SparkSession, records: list[str], feed: Feed) -> list[dict[str, Any]]:
    lines = session.createDataFrame([("1.json", record) for record in records], "file string, value string")
    return [row.asDict() for row in type_records(lines, feed).collect()]


def number(column: Column, dice: random.Random) -> str:
    """A number as a record on the fast path may have it, spelled out, with more digits than a double can hold."""
    if column.type == "bigint":
        low = contracts.EPOCH_MS_MIN if column.maximum == contracts.EPOCH_MS_MAX else column.minimum or 0
        likely = str(dice.randrange(int(low), int(column.maximum or contracts.EPOCH_MS_MAX)))
        # Consent may be withdrawn, which is spelled so.
        return likely if column.minimum is not None else dice.choice(["0", "-1", f"-{likely}", likely])
    whole = dice.choice(["0", str(dice.randrange(1, 10 ** dice.randint(1, 6)))])  # of seven, all are out of range
    digits = dice.choice([1, 2, 8, 17, 25])
    return f"{dice.choice(['', '-'])}{whole}.{dice.randrange(10**digits):0{digits}}"


def text(feed: Feed, dice: random.Random) -> str:
    """Of any letters, or one that could be taken for another part of the record, or for what the reader adds."""
    name = dice.choice([name for column in feed.landing.columns for name in column.feed_names])
    like_the_rest = dice.choice([name, f"{name}:", "x:1,", "},", "1}", "end of the record"])
    return dice.choice(["".join(dice.choices(TEXT, k=dice.randint(1, 12))), like_the_rest])


def record(feed: Feed, dice: random.Random) -> str:
    """A record on the fast path, of any values; what is not required is there or not."""
    first, *rest = feed.landing.columns
    fields = [first, *(column for column in rest if column.required or dice.random() < 0.7)]
    values = (json.dumps(text(feed, dice)) if one.type == "string" else number(one, dice) for one in fields)
    space = dice.choice(["", " "])
    spelled = (f'"{one.feed_names[0]}":{space}{value}' for one, value in zip(fields, values, strict=True))
    return "{" + f",{space}".join(spelled) + "}"


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_record_on_the_fast_path_is_read_as_python_reads_it(
    feed: Feed, session: SparkSession, rounds: Callable[[int, int], int]
) -> None:
    dice = random.Random(7)
    fast = [record(feed, dice) for _ in range(rounds(1_000, 20_000))]
    assert all(is_fast(one, feed) for one in fast)
    spellings = {column.name: column.feed_names[0] for column in feed.landing.columns}
    expected = sorted(repr([json.loads(one).get(name) for name in spellings.values()]) for one in fast)
    off_it = [f'{one[:-1]}, "a new field": 1}}' for one in fast]
    assert not any(is_fast(one, feed) for one in off_it)
    found = read(session, fast + off_it, feed)
    assert {row["reason"] for row in found} == {None}
    assert sorted(repr([row[name] for name in spellings]) for row in found) == sorted(expected * 2)


def test_a_text_that_is_the_name_of_a_field_is_not_taken_for_it(spark: SparkSession) -> None:
    line = '{"customerName": "phone", "email": "a@b.org", "serialNumber": "email", "lastUpdateDate": 1655564376361}'
    assert is_fast(line, CUSTOMER)
    (row,) = read(spark, [line], CUSTOMER)
    assert (row["customername"], row["email"], row["phone"], row["serialnumber"]) == ("phone", "a@b.org", None, "email")


NUMBERS = (
    "1",
    "-0",
    "-0.0",
    f"0.{'0' * 320}49",
    f"0.{'0' * 400}1",
    f"0.{'9' * 700}",
    f"123456.{'123456789' * 40}",
    "2.2250738585072011",
    "0.30000000000000004440892098500626",
)


def test_a_fraction_is_the_nearest_double_and_what_no_double_holds_is_quarantined(session: SparkSession) -> None:
    numbers = [*NUMBERS, f"{'1' * 400}.0"]
    records = [
        f'{{"user": "{n}", "timestamp": 1655564444103, "x": {x}, "y": 0.5, "z": 0.5}}' for n, x in enumerate(numbers)
    ]
    assert all(is_fast(one, ACCELEROMETER) for one in records)
    *found, endless = sorted(read(session, records, ACCELEROMETER), key=lambda row: row["text"] or row["user"])
    assert [repr(row["x"]) for row in found] == [repr(float(x)) for x in NUMBERS]
    assert endless["reason"] == "x is not a finite number"


OFF_IT = {
    "a text with an escape": {"user": '"a\\u0040b.org"'},
    "a text of another script": {"user": '"é@b.org"'},
    "a blank at the end": {"user": '"a@b.org "'},
    "a blank text": {"user": '" "'},
    "an empty text": {"user": '""'},
    "a number for a text": {"user": "7"},
    "a text for a number": {"timestamp": '"1655564444103"'},
    "a number with an exponent": {"x": "1e2"},
    "a leading zero": {"timestamp": "01655564444103"},
    "a fraction of a millisecond": {"timestamp": "1655564444103.5"},
    "null": {"x": "null"},
    "a nested value": {"x": "[1.0]"},
    "another field": {"w": "2.0"},
    "a field twice": {"z": '0.0, "z": 2.0'},
    "more after it": {"z": "0.0} "},
    "two in one": {"z": '0.0}{"user": "a@b.org"'},
}


@pytest.mark.parametrize("changes", OFF_IT.values(), ids=OFF_IT)
def test_what_could_be_read_in_two_ways_gets_a_closer_look(changes: dict[str, str]) -> None:
    fast = {"user": '"a@b.org"', "timestamp": "1655564444103", "x": "1.0", "y": "-0.5", "z": "0.0"}

    def spelled(fields: dict[str, str]) -> str:
        return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"

    assert is_fast(spelled(fast), ACCELEROMETER)
    assert not is_fast(spelled(fast | changes), ACCELEROMETER)


def test_nearly_all_readings_of_the_sample_are_on_the_fast_path(tmp_path: Path) -> None:
    write_feeds(tmp_path, customers=100)
    for feed in (ACCELEROMETER, STEP_TRAINER):
        files = sorted((tmp_path / feed.name / "landing").glob("*.json"))
        newest = [line for file in files for line in file.read_text().replace("timeStamp", "timestamp").splitlines()]
        assert sum(is_fast(line, feed) for line in newest) > 0.98 * len(newest), feed.name
