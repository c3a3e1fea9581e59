"""A feed that turns empty replaces no good table with nothing; a withdrawal is never held up for being one of many."""

from __future__ import annotations

import pytest

from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all, distance, reading
from tests.support import Stedi

PEOPLE = [f"{name}@x.org" for name in ("ann", "bob", "cleo", "dan")]


@pytest.fixture
def served(stedi: Stedi) -> Stedi:
    """Four customers who agreed, each with a reading of both sensors."""
    people = [customer(email, email[:3], updated=T, consent=T) for email in PEOPLE]
    readings = [reading(email, T) for email in PEOPLE]
    deliver_all(stedi, people, readings, [distance(email[:3], T) for email in PEOPLE])
    assert stedi.materialize().success
    assert stedi.counts()["machine_learning_curated"] == 4
    return stedi


@pytest.mark.parametrize("left", ["", "one"], ids=["empty", "one of four"])
def test_a_feed_that_has_lost_most_of_its_records_stops_and_says_how_many_there_were(served: Stedi, left: str) -> None:
    served.deliver("accelerometer", [reading(PEOPLE[0], T)] if left else b"")
    outcome = served.materialize()
    assert not outcome.success
    assert f"{1 if left else 0} rows, after 4." in outcome.failure
    assert "STEDI_SHRINK_LIMIT=1" in outcome.failure
    assert served.counts()["accelerometer_records"] == served.counts()["machine_learning_curated"] == 4


def test_losing_most_records_is_published_where_somebody_says_that_it_is_meant(served: Stedi) -> None:
    served.deliver("accelerometer", [reading(PEOPLE[0], T)])
    served.environment["STEDI_SHRINK_LIMIT"] = "1"
    assert served.materialize().success
    assert served.counts()["machine_learning_curated"] == 1


def test_everybody_who_withdraws_goes_however_many_they_are(served: Stedi) -> None:
    withdrawn = [customer(email, email[:3], updated=T + 1, consent=None) for email in PEOPLE]
    served.deliver("customer", as_delivered("customer", withdrawn), "2.json")
    outcome = served.materialize()
    assert outcome.success, outcome.failure
    counts = served.counts()
    left = {name: counts[name] for name in ("customer_trusted", "accelerometer_trusted", "machine_learning_curated")}
    assert set(left.values()) == {0}


def test_a_quarantine_that_is_mended_may_lose_all_of_its_records(stedi: Stedi) -> None:
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    deliver_all(stedi)
    stedi.deliver("customer", "no JSON\n", "broken.json")
    assert stedi.materialize().success
    eve = customer("eve@x.org", "eve", updated=T, consent=T)
    stedi.deliver("customer", as_delivered("customer", [eve]), "broken.json")
    assert stedi.materialize().success
    assert stedi.counts()["customer_quarantine"] == 0


def test_who_had_all_the_readings_goes_though_others_stay_who_have_none_that_match(stedi: Stedi) -> None:
    people = [customer(email, email[:3], updated=T, consent=T) for email in PEOPLE]
    readings = [reading(PEOPLE[0], T), reading(PEOPLE[1], T + 1)]
    deliver_all(stedi, people, readings, [distance(email[:3], T) for email in PEOPLE])
    assert stedi.materialize().success
    assert stedi.counts()["machine_learning_curated"] == 1
    withdrawn = [customer(PEOPLE[0], "ann", updated=T + 1, consent=None)]
    stedi.deliver("customer", as_delivered("customer", withdrawn), "2.json")
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    assert stedi.counts()["machine_learning_curated"] == 0


def test_who_had_most_of_a_table_goes_however_many_rows_that_are(stedi: Stedi) -> None:
    people = [customer(email, email[:3], updated=T, consent=T) for email in PEOPLE]
    deliver_all(stedi, people, [reading(PEOPLE[0], T)], [distance("ann", T)])
    assert stedi.materialize().success
    withdrawn = [customer(PEOPLE[0], "ann", updated=T + 1, consent=None)]
    stedi.deliver("customer", as_delivered("customer", withdrawn), "2.json")
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    assert stedi.counts()["customers_curated"] == stedi.counts()["machine_learning_curated"] == 0


def test_a_run_that_fails_names_the_tables_that_may_still_hold_somebody_who_withdrew(served: Stedi) -> None:
    withdrawn = [customer(PEOPLE[0], "ann", updated=T + 1, consent=None)]
    served.deliver("customer", as_delivered("customer", withdrawn), "2.json")
    moved = [reading(email, T + 9) for email in PEOPLE]
    served.deliver("accelerometer", as_delivered("accelerometer", moved))
    outcome = served.materialize()
    assert not outcome.success
    assert "Made before the latest consents: machine_learning_curated." in outcome.failure
