"""Fields are read in any letter case, as Athena's external tables read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stedi_assets.contracts import CUSTOMER, STEP_TRAINER, Feed
from stedi_assets.ingestion.parse import parse
from tests.stedi_assets.examples import READINGS, deliver_all
from tests.support import ENGINES, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = 1655564376361
DISTANCE = {"sensorReadingTime": T, "serialNumber": "s-1", "distanceFromObject": 240}
AGREED = {"email": "a@example.com", "serialNumber": "s-1", "lastUpdateDate": T, "shareWithResearchAsOfDate": T}


@pytest.fixture(params=ENGINES)
def session(spark: SparkSession, request: pytest.FixtureRequest) -> SparkSession:
    """The session of each engine in turn."""
    found: SparkSession = request.getfixturevalue("apache_spark") if request.param == "local" else spark
    return found


def read(session: SparkSession, feed: Feed, *records: str) -> list[tuple[object, ...]]:
    """What each record says, in the order of the columns, and the reason where it was not accepted."""
    lines = session.createDataFrame([(f"{at}", text) for at, text in enumerate(records)], "file string, value string")
    rows = parse(lines, feed).orderBy("file").collect()
    return [tuple(row[name] for name in (*feed.landing.column_names, "reason")) for row in rows]


def test_a_field_in_another_letter_case_is_read(session: SparkSession) -> None:
    """Who met it: "`sensorreadingtime` is in the file, Athena shows it, and all of it is quarantined as missing"."""
    spelled = [json.dumps({change(key): value for key, value in DISTANCE.items()}) for change in (str.lower, str.upper)]
    mixed = json.dumps(DISTANCE).replace("serialNumber", "SerialNUMBER", 1).replace('":', '" :')
    assert read(session, STEP_TRAINER, *spelled, mixed) == [(T, "s-1", 240, None)] * 3


def test_a_withdrawal_in_another_letter_case_is_one(session: SparkSession) -> None:
    withdrawn = json.dumps({**AGREED, "shareWithResearchAsOfDate": 0}).replace("WithResearch", "withresearch")
    (row,) = read(session, CUSTOMER, withdrawn)
    assert row[CUSTOMER.landing.column_names.index("sharewithresearchasofdate")] == 0


def test_of_two_spellings_the_last_counts_as_of_any_field_twice(session: SparkSession) -> None:
    record = json.dumps({"SERIALNUMBER": "old", **DISTANCE, "serialnumber": "new"})
    assert read(session, STEP_TRAINER, record) == [(T, "new", 240, None)]


@pytest.mark.parametrize("value", ['{"a": 1}', "12.50"])
def test_what_is_no_text_is_none_in_any_letter_case(session: SparkSession, value: str) -> None:
    record = json.dumps(DISTANCE).replace('"serialNumber": "s-1"', f'"serialnumber": {value}')
    assert [reason for *_, reason in read(session, STEP_TRAINER, record)] == ["serialNumber is not text"]


def test_letters_of_other_scripts_are_other_letters(session: SparkSession) -> None:
    record = json.dumps(DISTANCE, ensure_ascii=False).replace("serialNumber", "\u017ferialNumber")
    assert [reason for *_, reason in read(session, STEP_TRAINER, record)] == ["serialNumber is missing"]


def test_a_value_that_is_called_like_a_field_stays_as_it_is(session: SparkSession) -> None:
    record = json.dumps({**DISTANCE, "serialNumber": "SENSORREADINGTIME", "other": {"SERIALNUMBER": "t"}})
    assert read(session, STEP_TRAINER, record) == [(T, "SENSORREADINGTIME", 240, None)]


def test_a_known_field_in_another_letter_case_is_not_called_new(stedi: Stedi) -> None:
    deliver_all(stedi)
    path = stedi.deliver("accelerometer", READINGS, "2.json")
    path.write_text(path.read_text().replace('"user"', '"USER"'))
    outcome = stedi.materialize("accelerometer_landing")
    assert "USER" not in str(outcome.checks["accelerometer_landing", "files_as_expected"].description)
