"""Reading raw text: every record is accepted with the contract's types, or quarantined with a reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.files.copies import TextFile
from resources.files.ndjson import CONTINUED
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, STEP_TRAINER, Feed
from stedi_assets.ingestion import parse
from tests.conformance import hostile
from tests.conformance.hostile import READING
from tests.support import ENGINE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TYPED = ("a@example.com", 1655564376361, 1.0, -0.5, 0.25)
LINE = json.dumps(READING)
CUSTOMER_RECORD = {**hostile.CUSTOMER, "email": "ada@example.com"}
DISTANCE = {"sensorReadingTime": 1655564376361, "serialNumber": "s-1", "distanceFromObject": 240}
NUMBER_IN_A_TEXT = 'Ada: 0.12345678901234567, "x":1e9, \\\\":2,'
OUT_OF_RANGE = "is out of range: epoch milliseconds expected"


class Read:
    """What the reader made of some lines."""

    def __init__(self, spark: SparkSession, feed: Feed, *lines: str) -> None:
        frame = spark.createDataFrame([("1.json", line) for line in lines], "file string, value string")
        self.found = [row["value"] for row in parse.cut_records(frame).collect()]
        typed = parse.parse(frame, feed)
        assert typed.columns == [*feed.records.column_names, "reason", "text"]
        rows = typed.collect()
        width = len(feed.landing.columns)
        self.accepted = [tuple(row)[:width] for row in rows if row["reason"] is None]
        self.quarantined = [(row["reason"], row["text"]) for row in rows if row["reason"] is not None]
        assert {row["file"] for row in rows} <= {"1.json"}
        assert all((row["reason"] is None) is (row["text"] is None) for row in rows)


@pytest.mark.parametrize(
    "lines",
    [
        [LINE, LINE],
        [LINE + LINE],
        [LINE + " " + LINE],
        [LINE + ",", LINE],
        [LINE + "," + LINE + ","],
        ["[", LINE + ",", LINE, "]"],
        ["[" + LINE + ",", LINE + "]"],
        ["[" + LINE + "," + LINE + "]"],
        [LINE + "\r", "\r", LINE + "\r"],
        ["\ufeff" + LINE, LINE],
        ["  " + LINE + "\t", "", "   ", LINE],
        [LINE.replace("timestamp", "timeStamp"), LINE],
        [LINE.replace('"timestamp":', '"timeStamp" :'), LINE[:-1] + ', "_corrupt_record": "a"}'],
        [LINE.replace("1655564376361", '"1655564376361"'), LINE.replace("1655564376361", "1655564376361.0")],
        [LINE.replace("-0.5", '"-0.5"'), LINE.replace("1.0", "1")],
    ],
    ids=[
        "one a line",
        "stuck together",
        "stuck together with a blank",
        "trailing comma",
        "commas between and behind",
        "an array, one object a line",
        "an array, brackets on the objects' lines",
        "an array on one line",
        "CRLF",
        "byte-order mark",
        "blanks and blank lines",
        "timeStamp",
        "timeStamp with a blank behind it, and a key that engines give a meaning",
        "epoch as text and as float",
        "coordinates as text and as integer",
    ],
)
def test_readings_are_read_completely_however_they_are_laid_out(spark: SparkSession, lines: list[str]) -> None:
    read = Read(spark, ACCELEROMETER, *lines)
    assert read.accepted == [TYPED, TYPED]
    assert read.quarantined == []
    assert len(read.found) == 2


@pytest.mark.parametrize("space", ["", " "], ids=["fast path", "read closely"])
def test_a_text_that_is_a_fields_older_name_stays_as_it_is(spark: SparkSession, space: str) -> None:
    line = json.dumps({**READING, "user": "timeStamp"}).replace('"timestamp":', f'"timeStamp"{space}:')
    assert Read(spark, ACCELEROMETER, line).accepted == [("timeStamp", *TYPED[1:])]


def test_files_and_bundles_are_read_together_and_each_line_knows_its_file(spark: SparkSession, tmp_path: Path) -> None:
    """Of five and more reads, since the embedded engine lost the columns of a bundle among so many."""
    bundle = tmp_path / "bundle.json"
    bundle.write_text(f"8.json\t{LINE}\n9.json\t{LINE}\t\n")
    names = ["1.json", "2.json.gz", "3.json", "4.json", "5.json.gz"]
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(LINE.encode()) if name.endswith(".gz") else LINE.encode())
    texts = [TextFile(str(bundle), None), *(TextFile(str(tmp_path / name), name) for name in names)]
    for number in range(1, len(texts) + 1):
        lines = sorted(map(tuple, parse.read_text(ENGINE, texts[:number]).collect()))
        plain = [(name, LINE) for name in names[: number - 1]]
        assert lines == [*plain, ("8.json", LINE), ("9.json", f"{LINE}\t")]
    assert parse.read_text(ENGINE, []).collect() == []


def _without(key: str) -> str:
    return json.dumps({name: value for name, value in READING.items() if name != key})


def _with(**changes: Any) -> str:
    return json.dumps({**READING, **changes})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json at all", "the text is no JSON object"),
        (LINE[:-9], "the text is no JSON object"),
        ('{"user": "a@example.com", "timestamp"', "the text is no JSON object"),
        ("12", "the text is no JSON object"),
        ('"text"', "the text is no JSON object"),
        ("null", "the text is no JSON object"),
        ("{}", "user is missing"),
        ('{"something": "else"}', "user is missing"),
        (_without("user"), "user is missing"),
        (_without("timestamp"), "timestamp is missing"),
        (_without("x"), "x is missing"),
        (_without("y"), "y is missing"),
        (_without("z"), "z is missing"),
        (_with(user=None), "user is missing"),
        (_with(user="  "), "user is missing"),
        (_with(user={"name": "a"}), "user is not text"),
        (_with(user=["a"]), "user is not text"),
        (_with(timestamp="yesterday"), "timestamp is not a number"),
        (_with(timestamp=True), "timestamp is not a number"),
        (_with(timestamp=1655564376), "timestamp is out of range: epoch milliseconds expected"),
        (_with(timestamp=-1655564376361), "timestamp is out of range: epoch milliseconds expected"),
        (_with(timestamp=1655564376361000), "timestamp is out of range: epoch milliseconds expected"),
        (_with(timestamp=1655564376361.5), "timestamp is not a whole number"),
        (_with(x="fast"), "x is not a number"),
        (_with(x="NaN"), "x is not a finite number"),
        (_with(y="Infinity"), "y is not a finite number"),
        (_with(z=1e9), "z is out of range"),
        (LINE.replace("0.25", "1e400"), "z is not a finite number"),
        (LINE.replace("0.25", "NaN"), "the text is no JSON object"),
        (LINE.replace('"', "'"), "the text is no JSON object"),
        (LINE + "}", "the text is no JSON object"),
        (LINE.replace("a@", r"\ud83d"), "the text is no JSON object"),
        (LINE.replace("a@", r"\u00g0"), "the text is no JSON object"),
        (LINE[:-1] + ', "end of the record": "end of the record"} rubbish}', "the text is no JSON object"),
        (LINE[:-1] + r', "end of the rec\u006Frd": "end of the record"} rubbish}', "the text is no JSON object"),
        (LINE[:-1] + ', "text of a broken record": ""}', "the text is no JSON object"),
        (LINE[:-1] + f', "other": {"[" * 64}{"]" * 64}}}', "the text is nested too deeply"),
        (LINE[:-1] + ', "other": ' + '{"a": [' * 32 + "]}" * 32 + "}", "the text is nested too deeply"),
        (LINE.replace('"a@example.com"', "12.50"), "user is not text"),
        (_with(x="1d"), "x is not a number"),
        (_with(x="0x1p3"), "x is not a number"),
        (LINE.replace("a@", "a\ufffd@"), "the text is not UTF-8"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_quarantined_with_its_text_and_the_reason(
    spark: SparkSession, line: str, reason: str
) -> None:
    read = Read(spark, ACCELEROMETER, LINE, line, LINE)
    assert read.accepted == [TYPED, TYPED]
    assert read.quarantined == [(reason, line)]


@pytest.mark.parametrize(
    ("feed", "changes", "reason"),
    [
        *((CUSTOMER, {key: None}, f"{key} is missing") for key in ("email", "serialNumber", "lastUpdateDate")),
        *((STEP_TRAINER, {key: None}, f"{key} is missing") for key in DISTANCE),
        (CUSTOMER, {"shareWithResearchAsOfDate": 1655564376}, f"shareWithResearchAsOfDate {OUT_OF_RANGE}"),
        (STEP_TRAINER, {"distanceFromObject": -1}, "distanceFromObject is out of range"),
        (STEP_TRAINER, {"distanceFromObject": 240.5}, "distanceFromObject is not a whole number"),
    ],
)
def test_a_record_without_a_required_value_or_with_an_impossible_one_is_quarantined(
    spark: SparkSession, feed: Feed, changes: dict[str, Any], reason: str
) -> None:
    whole = {CUSTOMER.name: CUSTOMER_RECORD, STEP_TRAINER.name: DISTANCE}[feed.name]
    read = Read(spark, feed, json.dumps(whole), json.dumps({**whole, **changes}))
    assert len(read.accepted) == 1
    assert [found for found, _ in read.quarantined] == [reason]


def test_optional_keys_may_be_missing_null_or_blank_and_unknown_ones_are_ignored(spark: SparkSession) -> None:
    bare = {key: CUSTOMER_RECORD[key] for key in ("email", "serialNumber", "lastUpdateDate")}
    read = Read(
        spark,
        CUSTOMER,
        json.dumps(bare),
        json.dumps({**bare, "phone": None, "shareWithResearchAsOfDate": None}),
        json.dumps({**bare, "phone": "", "shareWithResearchAsOfDate": ""}),
        json.dumps({**bare, "shoeSize": 44, "tags": [{"a": 1}, {"b": {"c": "}{"}}]}),
    )
    assert read.quarantined == []
    assert len(set(read.accepted)) == 1
    assert read.accepted[0][2] is read.accepted[0][7] is None


def test_a_birthday_is_kept_as_typed_and_a_phone_number_may_come_as_a_number(spark: SparkSession) -> None:
    read = Read(spark, CUSTOMER, json.dumps({**CUSTOMER_RECORD, "phone": 5550100}))
    assert read.accepted[0][2:4] == ("5550100", "0993-01-01")


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"shareWithResearchAsOfDate": 0}, "sharewithresearchasofdate", 0),
        ({"shareWithResearchAsOfDate": -1}, "sharewithresearchasofdate", -1),
        ({"customerName": 'Curly } { "Brace" \\', "phone": "}{"}, "customername", 'Curly } { "Brace" \\'),
        ({"customerName": "[Ada] Example"}, "customername", "[Ada] Example"),
        ({"customerName": NUMBER_IN_A_TEXT}, "customername", NUMBER_IN_A_TEXT),
        *(({"email": f"{blank}ada@x.org{blank}"}, "email", "ada@x.org") for blank in " \t\u00a0\ufeff\u200b"),
    ],
)
def test_a_value_that_is_odd_but_possible_is_accepted_as_it_is(
    spark: SparkSession, changes: dict[str, Any], column: str, value: object
) -> None:
    line = json.dumps({**CUSTOMER_RECORD, **changes})
    accepted = Read(spark, CUSTOMER, line, line + line).accepted
    assert [row[CUSTOMER.landing.column_names.index(column)] for row in accepted] == [value] * 3


def test_a_bad_record_between_good_ones_on_one_line_hides_neither(spark: SparkSession) -> None:
    bad = _without("x")
    read = Read(spark, ACCELEROMETER, LINE + bad + LINE, LINE + " oops " + LINE + " {")
    assert read.accepted == [TYPED] * 4
    assert (("x is missing", bad)) in read.quarantined
    assert len(read.quarantined) == 2


def test_an_object_inside_a_broken_one_is_no_record(spark: SparkSession) -> None:
    """Else the history of a customer could bring back a consent that the broken record takes away."""
    broken = LINE[:-1] + f', "history": [{LINE}, {LINE}'
    deep = LINE[:-1] + ', "a": {"b": {"c": {"d": ' + LINE + "}}}}"
    read = Read(spark, ACCELEROMETER, broken, deep + deep, LINE)
    assert read.accepted == [TYPED]
    assert [text for _, text in read.quarantined] == [broken, deep + deep]


@pytest.mark.parametrize("rest", ["1}, " + LINE, LINE, ", " + LINE + "]}", LINE + LINE])
def test_a_record_in_the_rest_of_a_broken_object_is_none(spark: SparkSession, rest: str) -> None:
    read = Read(spark, ACCELEROMETER, f"{CONTINUED} {rest}", LINE)
    assert read.accepted == [TYPED]
    assert read.quarantined == [("the text is no JSON object", f"{CONTINUED} {rest}")]


def test_what_is_nested_less_deeply_is_ignored_like_any_unknown_field(spark: SparkSession) -> None:
    deep = LINE[:-1] + f', "other": {"[" * 63}{"]" * 63}}}'
    wide = LINE[:-1] + f', "other": [{", ".join(["[]"] * 100)}], "text": "{"[" * 100}"}}'
    assert Read(spark, ACCELEROMETER, deep, wide).accepted == [TYPED, TYPED]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.floats(-999_999, 999_999), min_size=1, max_size=300))
def test_a_number_is_accepted_to_its_last_digit(spark: SparkSession, numbers: list[float]) -> None:
    read = Read(spark, ACCELEROMETER, *(_with(x=number) for number in numbers))
    assert sorted(row[2] for row in read.accepted) == sorted(numbers)


FRAGMENTS = st.sampled_from([LINE, LINE[:-4], _without("z"), "{", "}", "[", "]", ",", " ", '"', "rubbish", "\\", "{}"])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(FRAGMENTS, max_size=6).map("".join), max_size=8))
def test_nothing_is_lost_whatever_a_line_holds(spark: SparkSession, lines: list[str]) -> None:
    read = Read(spark, ACCELEROMETER, *lines)
    assert len(read.found) == len(read.accepted) + len(read.quarantined)
    kept = "".join(read.found)
    for symbol in '{}"\\r':
        assert kept.count(symbol) == "".join(lines).count(symbol)
