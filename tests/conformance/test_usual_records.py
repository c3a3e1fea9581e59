"""Records as the feeds usually spell them are cut and cast by each engine, and nothing is lost by it."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from sample.feeds import write_feeds
from stedi_assets.contracts import (
    ACCELEROMETER,
    CUSTOMER,
    EPOCH_MS_MAX,
    EPOCH_MS_MIN,
    FEEDS,
    STEP_TRAINER,
    Column,
    Feed,
)
from stedi_assets.ingestion import parse as reader
from stedi_assets.ingestion.fast_path import usual_record
from tests.support import ENGINES

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

TEXT = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("\\", "")


@pytest.fixture(params=ENGINES)
def session(spark: SparkSession, request: pytest.FixtureRequest) -> SparkSession:
    """The session of each engine in turn."""
    found: SparkSession = request.getfixturevalue("apache_spark") if request.param == "local" else spark
    return found


def is_usual(record: str, feed: Feed) -> bool:
    # Python spells the end of a text in another way.
    return re.search(usual_record(feed.landing.columns).replace(r"\z", r"\Z"), record) is not None


def number(column: Column, dice: random.Random) -> str:
    """A number as a usual record may have it, spelled out, with more digits than a double can hold."""
    if column.type == "bigint":
        low = EPOCH_MS_MIN if column.maximum == EPOCH_MS_MAX else column.minimum or 0
        likely = str(dice.randrange(int(low), int(column.maximum or EPOCH_MS_MAX)))
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
    """A usual record of any values; what is not required is there or not."""
    first, *rest = feed.landing.columns
    fields = [first, *(column for column in rest if column.required or dice.random() < 0.7)]
    values = (json.dumps(text(feed, dice)) if one.type == "string" else number(one, dice) for one in fields)
    space = dice.choice(["", " "])
    spelled = (f'"{one.feed_names[0]}":{space}{value}' for one, value in zip(fields, values, strict=True))
    return "{" + f",{space}".join(spelled) + "}"


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_a_usual_record_is_read_as_python_reads_it(feed: Feed, session: SparkSession) -> None:
    dice = random.Random(7)
    records = [record(feed, dice) for _ in range(3000)]
    assert all(is_usual(one, feed) for one in records)
    names = [column.feed_names[0] for column in feed.landing.columns]
    expected = sorted(repr(tuple(json.loads(one).get(name) for name in names)) for one in records)
    with_a_closer_look = [f'{one[:-1]}, "a new field": 1}}' for one in records]
    assert not any(is_usual(one, feed) for one in with_a_closer_look)
    for spelled in (records, with_a_closer_look):
        frame = session.createDataFrame([(one,) for one in spelled], "value string")
        found = reader.type_records(frame, feed, "run").collect()
        assert {row[reader.QUARANTINE_REASON.name] for row in found} == {None}
        assert sorted(repr(tuple(row[: len(names)])) for row in found) == expected


def test_a_text_that_is_the_name_of_a_field_is_not_taken_for_it(spark: SparkSession) -> None:
    line = '{"customerName": "phone", "email": "a@b.org", "serialNumber": "email", "lastUpdateDate": 1655564376361}'
    assert is_usual(line, CUSTOMER)
    (row,) = reader.type_records(spark.createDataFrame([(line,)], "value string"), CUSTOMER, "run").collect()
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


def test_a_fraction_is_the_nearest_double_however_many_digits_it_has(session: SparkSession) -> None:
    records = [
        f'{{"user": "{at}", "timestamp": 1655564444103, "x": {x}, "y": 0.5, "z": 0.5}}' for at, x in enumerate(NUMBERS)
    ]
    assert all(is_usual(one, ACCELEROMETER) for one in records)
    frame = session.createDataFrame([(one,) for one in records], "value string")
    found = reader.type_records(frame, ACCELEROMETER, "run").collect()
    assert {row["user"]: repr(row["x"]) for row in found} == {str(at): repr(float(x)) for at, x in enumerate(NUMBERS)}


def test_a_number_that_no_double_holds_is_quarantined(session: SparkSession) -> None:
    endless = f'{{"user": "a@b.org", "timestamp": 1655564444103, "x": {"1" * 400}.0, "y": 0.5, "z": 0.5}}'
    assert is_usual(endless, ACCELEROMETER)
    found = reader.type_records(session.createDataFrame([(endless,)], "value string"), ACCELEROMETER, "run").collect()
    assert [row[reader.QUARANTINE_REASON.name] for row in found] == ["x is not a finite number"]


UNUSUAL = {
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
}


@pytest.mark.parametrize("changes", UNUSUAL.values(), ids=UNUSUAL)
def test_what_could_be_read_in_two_ways_gets_a_closer_look(changes: dict[str, str]) -> None:
    usual = {"user": '"a@b.org"', "timestamp": "1655564444103", "x": "1.0", "y": "-0.5", "z": "0.0"}

    def spelled(fields: dict[str, Any]) -> str:
        return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"

    assert is_usual(spelled(usual), ACCELEROMETER)
    assert not is_usual(spelled(usual | changes), ACCELEROMETER)


def test_a_field_that_is_there_twice_or_more_than_the_feed_has_gets_a_closer_look() -> None:
    whole = '{"user":"a@b.org","timestamp":1655564444103,"x":1.0,"y":1.0,"z":1.0}'
    assert is_usual(whole, ACCELEROMETER)
    for other in (f'{whole[:-1]},"z":2.0}}', f'{whole[:-1]},"w":2.0}}', f"{whole} ", f"{whole}{whole}", whole[:-1]):
        assert not is_usual(other, ACCELEROMETER)


def test_nearly_all_readings_of_the_sample_are_usual(tmp_path: Path) -> None:
    write_feeds(tmp_path, customers=100)
    for feed in (ACCELEROMETER, STEP_TRAINER):
        files = sorted((tmp_path / feed.name / "landing").glob("*.json"))
        newest = [line for file in files for line in file.read_text().replace("timeStamp", "timestamp").splitlines()]
        assert sum(is_usual(line, feed) for line in newest) > 0.98 * len(newest), feed.name
