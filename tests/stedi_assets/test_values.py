"""Odd but possible values in the feeds, through the whole graph: the tables become what the README says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from sample.feeds import write_feeds
from stedi_assets.contracts import CUSTOMER, TABLES
from tests.stedi_assets.examples import T, customer, deliver_all, distance, reading
from tests.support import Stedi

NEXT_YEAR = int(time.time() * 1000) + 31_557_600_000


def trusted(stedi: Stedi, *customers: dict[str, Any]) -> list[str]:
    """Who is in customer_trusted, after a delivery of these records."""
    deliver_all(stedi, customers, [reading("ann@x.org", T)], [distance("A", T)])
    made = stedi.materialize("customer_landing", "customer_records", "customer_quarantine", "customer_trusted")
    assert made.success, made.failure
    return [row[1] for row in stedi.rows("customer_trusted")]


def person(email: str, consent: int | None, serial: str = "A", updated: int = T) -> dict[str, Any]:
    return customer(email, serial, updated=updated, consent=consent)


def test_a_consent_date_in_the_future_covers_by_date_only_readings_from_then_on(stedi: Stedi) -> None:
    stedi.environment["STEDI_CONSENT"] = "as-of-date"
    readings = [reading("ann@x.org", at) for at in (T, NEXT_YEAR - 1, NEXT_YEAR)]
    deliver_all(stedi, [person("ann@x.org", NEXT_YEAR)], readings, [distance("A", NEXT_YEAR)])
    assert stedi.materialize().success
    assert [row[1] for row in stedi.rows("customer_trusted")] == ["ann@x.org"]
    assert [row[1] for row in stedi.rows("accelerometer_trusted")] == [NEXT_YEAR]


def test_the_last_of_a_thousand_records_of_one_customer_however_they_write_their_address_decides(stedi: Stedi) -> None:
    ways = ["ann@x", "ANN@X", " ann@x ", "Ann@X\t", "\u00a0ann@x"]
    records = [person(ways[n % len(ways)], T if n % 2 else None, f"s-{n}", T + n) for n in range(1_000)]
    assert trusted(stedi, *records) == ["ann@x"]
    assert stedi.rows("customer_trusted")[0][4] == "s-999"
    assert trusted(stedi, *records, person("Ann@x", None, updated=T + 1_000)) == []


def test_thirty_serial_numbers_for_everybody_pair_nobody_with_anybody(stedi: Stedi) -> None:
    """The website once sent the same few numbers for all customers: no training row could be told to be right."""
    people = [person(f"c{n}@x", T if n % 30 < 10 else None, f"s-{n % 30}") for n in range(999)]
    readings = [reading(f"c{n}@x", T + n) for n in range(999)]
    deliver_all(stedi, people, readings, [distance(f"s-{n % 30}", T + n) for n in range(999)])
    outcome = stedi.materialize()
    consenting = sum(n % 30 < 10 for n in range(999))
    assert {name: len(stedi.rows(name)) for name in ("customer_trusted", "step_trainer_trusted")} == {
        "customer_trusted": consenting,
        "step_trainer_trusted": consenting,
    }
    assert not outcome.success
    assert "machine_learning_curated was not published" in outcome.failure
    assert "accelerometer_readings_matched: 0 of" in outcome.failure


# Another spelling of the same feed

Change = Callable[[dict[str, Any]], dict[str, Any]]


def each(**changes: Callable[[Any], Any]) -> Change:
    """A spelling in which these fields, where a record has them, are written otherwise."""
    return lambda record: {
        name: changes[name](value) if name in changes and value is not None else value for name, value in record.items()
    }


TIMES = ("registrationDate", "lastUpdateDate", "timestamp", "timeStamp", "sensorReadingTime")
CONSENTS = ("shareWithResearchAsOfDate", "shareWithPublicAsOfDate", "shareWithFriendsAsOfDate")
OPTIONAL = [column.feed_names[0] for column in CUSTOMER.landing.columns if not column.required]
SPELLINGS: dict[str, list[Change]] = {
    "phone as a number, consent as a float, times as texts, new fields in another order": [
        each(phone=int, **dict.fromkeys(CONSENTS, float), **dict.fromkeys(TIMES, lambda at: f"{at}.0")),
        lambda record: {"new": {"a": [1]}, **dict(reversed(record.items()))},
    ],
    "consent as a text, measurements as texts, null where a field was absent": [
        each(**dict.fromkeys((*CONSENTS, "x", "y", "z", "distanceFromObject"), str)),
        lambda record: {**(dict.fromkeys(OPTIONAL) if "email" in record else {}), **record},
    ],
    "the older name of a field, absent where one was null or blank": [
        lambda record: {("timeStamp" if name == "timestamp" else name): value for name, value in record.items()},
        lambda record: {name: value for name, value in record.items() if value not in (None, "")},
    ],
}


def respelled(line: str, changes: list[Change]) -> str:
    """The line with its records spelled otherwise; what is no record stays."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    for change in changes:
        record = change(record)
    return json.dumps(record)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Stedi:
    """A lakehouse made of feeds as they are today."""
    stedi = Stedi(tmp_path_factory.mktemp("today"))
    write_feeds(stedi.source, customers=8)
    assert stedi.materialize().success
    return stedi


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_feed_that_spells_its_values_otherwise_gives_the_same_tables(
    stedi: Stedi, today: Stedi, spelling: str
) -> None:
    for path in today.source.rglob("*.json"):
        text = "\n".join(respelled(line, SPELLINGS[spelling]) for line in path.read_text().splitlines())
        stedi.deliver(path.parent.parent.name, text, path.name)
        assert text != path.read_text()
    assert stedi.materialize().success
    for name in TABLES:
        if not name.endswith("_quarantine"):
            assert stedi.rows(name) == today.rows(name), name


def test_feeds_of_nothing_but_equal_records_are_tables_like_any_other(stedi: Stedi) -> None:
    """Parquet says of each of their columns that it is constant, and the embedded engine then panicked in xxhash64."""
    motion, step = reading("ann@x.org", T), distance("A", T)
    deliver_all(stedi, [person("ann@x.org", T)] * 3, [motion] * 3, [step] * 3)
    assert (made := stedi.materialize()).success, made.failure
    assert len(stedi.rows("accelerometer_trusted")) == len(stedi.rows("step_trainer_trusted")) == 3
    assert len(stedi.rows("machine_learning_curated")) == 9
