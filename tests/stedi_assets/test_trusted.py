"""The trusted tables, rule by rule, as pure functions over a few rows."""

from __future__ import annotations

from typing import Any

import pytest

from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, STEP_TRAINER
from stedi_assets.rules import Consent
from stedi_assets.trusted import accelerometer_trusted, customer_trusted, step_trainer_trusted
from tests.stedi_assets.examples import Row, customer, distance, reading, values
from tests.support import MakeFrame

CUSTOMERS = CUSTOMER.landing
READINGS = ACCELEROMETER.landing
DISTANCES = STEP_TRAINER.landing

BOTH_RULES = pytest.mark.parametrize("consent", list(Consent))


# customer_trusted ---------------------------------------------------------------------------------------------


def trusted(frame: MakeFrame, *records: Row, columns: tuple[str, ...] = ("email",)) -> list[Any]:
    return values(customer_trusted(frame(CUSTOMERS, records)), *columns)


def test_a_customer_is_trusted_with_the_whole_of_their_latest_record(frame: MakeFrame) -> None:
    old = customer("ann@x", "A", updated=1, consent=1, phone="1", customername="Ann", birthday="1990-01-01")
    new = customer("ann@x", "B", updated=2, consent=2, phone=None, customername="Ann", birthday="0993-01-01")
    assert trusted(frame, new, old, columns=CUSTOMERS.column_names) == [
        tuple(new.get(name) for name in CUSTOMERS.column_names)
    ]


def test_a_customer_who_never_consented_is_not_trusted(frame: MakeFrame) -> None:
    assert trusted(frame, customer("ann@x", consent=5), customer("bob@x", consent=None)) == ["ann@x"]


@pytest.mark.parametrize("withdrawn", [None, 0, -1])
def test_a_withdrawal_however_the_app_spells_it_removes_the_customer(frame: MakeFrame, withdrawn: int | None) -> None:
    agreed, withdrew = customer("ann@x", updated=1, consent=1), customer("ann@x", updated=2, consent=withdrawn)
    assert trusted(frame, agreed, withdrew) == []


def test_a_customer_who_consents_again_returns_from_the_new_date_on(frame: MakeFrame) -> None:
    records = [customer("ann@x", updated=at, consent=consent) for at, consent in [(1, 1), (2, None), (3, 3)]]
    assert trusted(frame, *records, columns=("email", "sharewithresearchasofdate")) == [("ann@x", 3)]


def test_a_customer_who_consented_only_long_after_registering_is_trusted(frame: MakeFrame) -> None:
    assert trusted(frame, customer("ann@x", updated=1, consent=None), customer("ann@x", updated=2)) == ["ann@x"]


@pytest.mark.parametrize("without", [None, 0, -1])
@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_records_of_the_same_moment_the_one_without_consent_decides(
    frame: MakeFrame, without: int | None, newest_first: bool
) -> None:
    # The serial number and the other dates would decide otherwise.
    agreed = customer("ann@x", "Z", updated=2, consent=9, sharewithfriendsasofdate=9)
    refused = customer("ann@x", "A", updated=2, consent=without)
    assert trusted(frame, *([agreed, refused] if newest_first else [refused, agreed])) == []


def test_a_tie_among_older_records_decides_nothing(frame: MakeFrame) -> None:
    records = [customer("ann@x", updated=1), customer("ann@x", updated=1, consent=None), customer("ann@x", updated=2)]
    assert trusted(frame, *records) == ["ann@x"]


def test_of_two_consenting_records_of_the_same_moment_the_later_consent_decides(frame: MakeFrame) -> None:
    records = customer("ann@x", "A", consent=7), customer("ann@x", "B", consent=6)
    assert trusted(frame, *records, columns=("serialnumber",)) == ["A"]


def test_then_the_greatest_serial_number_decides(frame: MakeFrame) -> None:
    records = customer("ann@x", "A", sharewithfriendsasofdate=9), customer("ann@x", "B")
    assert trusted(frame, *records, columns=("serialnumber",)) == ["B"]


def test_then_the_remaining_columns_decide_from_last_to_first_and_null_is_the_least(frame: MakeFrame) -> None:
    friends = customer("ann@x", customername="friends", sharewithfriendsasofdate=1)
    public = customer("ann@x", customername="public", sharewithpublicasofdate=9, phone="9")
    assert trusted(frame, public, friends, columns=("customername",)) == ["friends"]
    phone = customer("ann@x", customername="a", phone="1")
    name = customer("ann@x", customername="z")
    assert trusted(frame, phone, name, columns=("customername",)) == ["a"]
    earlier, later = (customer("ann@x", customername=f"{at}", sharewithfriendsasofdate=at) for at in (1, 2))
    assert trusted(frame, later, earlier, columns=("customername",)) == ["2"]


@pytest.mark.parametrize("same", ["ANN@X", "Ann@x", " ann@x", "ann@x  "])
def test_an_address_in_other_letter_case_or_with_blanks_is_the_same_customer(frame: MakeFrame, same: str) -> None:
    assert trusted(frame, customer("ann@x", updated=1), customer(same, updated=2)) == [same]
    assert trusted(frame, customer("ann@x", updated=1), customer(same, updated=2, consent=None)) == []


def test_consent_to_share_with_friends_or_the_public_is_no_consent_for_research(frame: MakeFrame) -> None:
    ann = customer("ann@x", consent=None, sharewithpublicasofdate=1, sharewithfriendsasofdate=1)
    assert trusted(frame, ann) == []


def test_a_record_delivered_twice_is_one_customer(frame: MakeFrame) -> None:
    assert trusted(frame, customer("ann@x"), customer("ann@x")) == ["ann@x"]


def test_a_shared_serial_number_leaves_both_customers_trusted(frame: MakeFrame) -> None:
    assert trusted(frame, customer("ann@x", "A"), customer("bob@x", "A")) == ["ann@x", "bob@x"]


def test_without_customers_nobody_is_trusted(frame: MakeFrame) -> None:
    assert trusted(frame) == []


# accelerometer_trusted ----------------------------------------------------------------------------------------


def shared_readings(
    frame: MakeFrame, readings: list[Row], customers: list[Row], consent: Consent = Consent.CUSTOMER
) -> list[Any]:
    table = accelerometer_trusted(frame(READINGS, readings), frame(CUSTOMERS, customers), consent)
    assert tuple(table.columns) == READINGS.column_names
    return values(table)


def test_readings_of_trusted_customers_are_kept_as_they_were_sent(frame: MakeFrame) -> None:
    ann, bob = reading("ann@x", 1, 0.1, 0.2, 0.3), reading("bob@x", 1, 9.0)
    assert shared_readings(frame, [ann, bob], [customer("ann@x")]) == [("ann@x", 1, 0.1, 0.2, 0.3)]


@BOTH_RULES
def test_readings_of_a_user_who_is_no_customer_are_left_out(frame: MakeFrame, consent: Consent) -> None:
    assert shared_readings(frame, [reading("nobody@x", 9)], [customer("ann@x")], consent) == []


@pytest.mark.parametrize("user", ["ANN@x", " ann@x", "ann@X "])
def test_a_phone_that_writes_the_address_otherwise_is_still_its_owners(frame: MakeFrame, user: str) -> None:
    assert shared_readings(frame, [reading(user)], [customer("Ann@x ")]) == [(user, 1, 0.0, 0.0, 0.0)]


def test_an_address_that_only_begins_alike_is_another_person(frame: MakeFrame) -> None:
    assert shared_readings(frame, [reading("ann@x.org"), reading("an n@x")], [customer("ann@x")]) == []


@BOTH_RULES
def test_equal_readings_are_kept_each(frame: MakeFrame, consent: Consent) -> None:
    twice = [reading("ann@x", 5, 1.0), reading("ann@x", 5, 1.0)]
    assert shared_readings(frame, twice, [customer("ann@x")], consent) == [("ann@x", 5, 1.0, 0.0, 0.0)] * 2


def test_a_customer_who_agreed_shares_earlier_readings_too(frame: MakeFrame) -> None:
    readings = [reading("ann@x", at) for at in (1, 5, 9)]
    kept = shared_readings(frame, readings, [customer("ann@x", consent=5)])
    assert [row[1] for row in kept] == [1, 5, 9]


def test_as_of_date_shares_readings_from_the_very_millisecond_of_consent_on(frame: MakeFrame) -> None:
    readings = [reading("ann@x", at) for at in (1, 4, 5, 6)] + [reading("bob@x", at) for at in (5, 6)]
    customers = [customer("ann@x", consent=5), customer("bob@x", consent=6)]
    kept = shared_readings(frame, readings, customers, Consent.AS_OF_DATE)
    assert [row[:2] for row in kept] == [("ann@x", 5), ("ann@x", 6), ("bob@x", 6)]


@BOTH_RULES
def test_without_readings_or_without_trusted_customers_no_reading_is_trusted(
    frame: MakeFrame, consent: Consent
) -> None:
    assert shared_readings(frame, [], [customer("ann@x")], consent) == []
    assert shared_readings(frame, [reading("ann@x")], [], consent) == []


# step_trainer_trusted -----------------------------------------------------------------------------------------


def shared_distances(
    frame: MakeFrame,
    distances: list[Row],
    customers: list[Row],
    consent: Consent = Consent.CUSTOMER,
    curated: list[Row] | None = None,
) -> list[Any]:
    """`curated` are the customers with readings: all of them, unless the test says otherwise."""
    table = step_trainer_trusted(
        frame(DISTANCES, distances),
        frame(CUSTOMERS, [one for one in customers if _agrees(one)] if curated is None else curated),
        frame(CUSTOMERS, customers),
        consent,
    )
    assert tuple(table.columns) == DISTANCES.column_names
    return values(table)


def _agrees(record: Row) -> bool:
    return (record["sharewithresearchasofdate"] or 0) > 0


@BOTH_RULES
def test_distances_of_a_consenting_holder_are_kept_as_they_were_sent(frame: MakeFrame, consent: Consent) -> None:
    distances = [distance("A", 5, 30), distance("B", 5, 40)]
    customers = [customer("ann@x", "A"), customer("bob@x", "B", consent=None)]
    assert shared_distances(frame, distances, customers, consent) == [(5, "A", 30)]


@BOTH_RULES
def test_distances_of_a_serial_number_that_nobody_holds_are_left_out(frame: MakeFrame, consent: Consent) -> None:
    assert shared_distances(frame, [distance("lost", 5)], [customer("ann@x", "A")], consent) == []


@pytest.mark.parametrize("refusal", [None, 0, -1])
def test_a_shared_step_trainer_is_trusted_only_if_every_holder_agreed(frame: MakeFrame, refusal: int | None) -> None:
    ann, bob, cleo = customer("ann@x"), customer("bob@x"), customer("cleo@x", consent=refusal)
    assert shared_distances(frame, [distance("A", 5, 1)], [ann, bob]) == [(5, "A", 1)]
    assert shared_distances(frame, [distance("A", 5, 1)], [ann, bob, cleo]) == []


def test_a_holder_who_wrote_their_address_in_two_ways_is_one_holder(frame: MakeFrame) -> None:
    records = [customer("ann@x", updated=1, consent=None), customer("ANN@x ", updated=2, consent=2)]
    assert shared_distances(frame, [distance("A", 5)], records) == [(5, "A", 0)]


def test_a_step_trainer_whose_holder_has_no_readings_is_left_out(frame: MakeFrame) -> None:
    assert shared_distances(frame, [distance("A", 5)], [customer("ann@x")], curated=[]) == []


def test_of_a_shared_step_trainer_one_holder_with_readings_is_enough(frame: MakeFrame) -> None:
    ann, bob = customer("ann@x"), customer("bob@x")
    assert shared_distances(frame, [distance("A", 5)], [ann, bob], curated=[bob]) == [(5, "A", 0)]


def test_after_a_change_of_device_the_old_serial_number_belongs_to_nobody(frame: MakeFrame) -> None:
    old, new = customer("ann@x", "old", updated=1), customer("ann@x", "new", updated=2)
    distances = [distance("old", 5), distance("new", 5)]
    assert shared_distances(frame, distances, [old, new], curated=[new]) == [(5, "new", 0)]


def test_a_step_trainer_handed_on_is_judged_by_its_new_holder_alone(frame: MakeFrame) -> None:
    ann = [customer("ann@x", "A", updated=1, consent=None), customer("ann@x", "B", updated=2, consent=None)]
    bob = customer("bob@x", "A")
    assert shared_distances(frame, [distance("A", 5)], [*ann, bob]) == [(5, "A", 0)]
    ann_agreed = [{**record, "sharewithresearchasofdate": 1} for record in ann]
    bob_refused = {**bob, "sharewithresearchasofdate": None}
    curated = [ann_agreed[1]]
    assert shared_distances(frame, [distance("A", 5)], [*ann_agreed, bob_refused], curated=curated) == []


def test_a_withdrawal_takes_the_distances_with_it(frame: MakeFrame) -> None:
    agreed, withdrew = customer("ann@x", updated=1), customer("ann@x", updated=2, consent=0)
    assert shared_distances(frame, [distance("A", 5)], [agreed, withdrew], curated=[agreed]) == []


@BOTH_RULES
def test_equal_distances_are_kept_each_and_several_holders_do_not_multiply_them(
    frame: MakeFrame, consent: Consent
) -> None:
    twice = [distance("A", 5, 7), distance("A", 5, 7)]
    holders = [customer("ann@x"), customer("bob@x")]
    assert shared_distances(frame, twice, holders, consent) == [(5, "A", 7)] * 2


def test_a_holder_who_agreed_shares_earlier_distances_too(frame: MakeFrame) -> None:
    kept = shared_distances(frame, [distance("A", at) for at in (1, 5, 9)], [customer("ann@x", consent=5)])
    assert [row[0] for row in kept] == [1, 5, 9]


def test_as_of_date_shares_distances_from_the_very_millisecond_of_consent_on(frame: MakeFrame) -> None:
    distances = [distance("A", at) for at in (1, 4, 5, 6)]
    kept = shared_distances(frame, distances, [customer("ann@x", consent=5)], Consent.AS_OF_DATE)
    assert [row[0] for row in kept] == [5, 6]


def test_as_of_date_shares_a_shared_step_trainers_distances_from_the_last_holders_consent_on(frame: MakeFrame) -> None:
    holders = [customer("ann@x", consent=5), customer("bob@x", consent=7)]
    distances = [distance("A", at) for at in (5, 6, 7, 8)]
    kept = shared_distances(frame, distances, holders, Consent.AS_OF_DATE)
    assert [row[0] for row in kept] == [7, 8]


def test_as_of_date_counts_the_consent_of_a_holder_without_readings_too(frame: MakeFrame) -> None:
    ann, bob = customer("ann@x", consent=5), customer("bob@x", consent=7)
    distances = [distance("A", at) for at in (6, 7)]
    assert shared_distances(frame, distances, [ann, bob], Consent.AS_OF_DATE, curated=[ann]) == [(7, "A", 0)]


@BOTH_RULES
def test_without_distances_or_customers_no_distance_is_trusted(frame: MakeFrame, consent: Consent) -> None:
    assert shared_distances(frame, [], [customer("ann@x")], consent) == []
    assert shared_distances(frame, [distance("A", 5)], [], consent) == []
