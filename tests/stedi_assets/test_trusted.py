"""The trusted tables, rule by rule, as pure functions over a few rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from stedi_assets.checks.independent_rules import consent_of_customers, consent_on_serials
from stedi_assets.contracts import ACCELEROMETER, ACCELEROMETER_TRUSTED, CUSTOMER, STEP_TRAINER, STEP_TRAINER_TRUSTED
from stedi_assets.rules import Consent
from stedi_assets.trusted import accelerometer_trusted, customer_trusted, step_trainer_trusted
from tests.stedi_assets.examples import Row, T, customer, distance, reading, values
from tests.support import MakeFrame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CUSTOMERS = CUSTOMER.landing
QUARANTINE = CUSTOMER.quarantine
READINGS = ACCELEROMETER.records
DISTANCES = STEP_TRAINER.records

BOTH_RULES = pytest.mark.parametrize("consent", list(Consent))
WITHDRAWN = pytest.mark.parametrize("withdrawn", [None, 0, -1])


# customer_trusted ---------------------------------------------------------------------------------------------


def trusted(
    frame: MakeFrame, *records: Row, columns: tuple[str, ...] = ("email",), unreadable: Sequence[str] = ()
) -> list[Any]:
    return values(customer_trusted(frame(CUSTOMERS, records), quarantined(frame, unreadable)), *columns)


def quarantined(frame: MakeFrame, texts: Sequence[str]) -> DataFrame:
    return frame(QUARANTINE, [{"text": text} for text in texts])


def ann(updated: int, consent: int | None, **others: Any) -> Row:
    return customer("ann@x", updated=updated, consent=consent, **others)


def test_a_customer_is_trusted_with_the_whole_of_their_latest_record(frame: MakeFrame) -> None:
    old = customer("ann@x", "A", updated=1, consent=1, phone="1", customername="Ann", birthday="1990-01-01")
    new = customer("ann@x", "B", updated=2, consent=2, phone=None, customername="Ann", birthday="0993-01-01")
    table = customer_trusted(frame(CUSTOMERS, [new, old]), quarantined(frame, []))
    assert tuple(table.columns) == CUSTOMERS.column_names
    assert values(table) == [tuple(new.get(name) for name in CUSTOMERS.column_names)]


@pytest.mark.parametrize(
    ("records", "since"),
    [
        ([ann(1, 5)], [5]),
        ([ann(1, None)], []),
        ([ann(1, 1), ann(2, None), ann(3, 3)], [3]),
        ([ann(1, None), ann(2, 2)], [2]),
        ([ann(1, 1), ann(1, None), ann(2, 2)], [2]),
        ([ann(1, 1), ann(1, 1)], [1]),
        ([ann(1, None, sharewithpublicasofdate=1, sharewithfriendsasofdate=1)], []),
        ([customer("ann@x", "A"), customer("bob@x", "A")], [1, 1]),
        ([], []),
    ],
    ids=[
        "consented",
        "never consented",
        "consented again: from the new date on",
        "consented long after registering",
        "a tie among older records decides nothing",
        "delivered twice: one customer",
        "friends and the public are not research",
        "a shared serial number leaves both trusted",
        "no customers",
    ],
)
def test_the_latest_record_decides_about_its_customer(frame: MakeFrame, records: list[Row], since: list[int]) -> None:
    assert trusted(frame, *records, columns=("sharewithresearchasofdate",)) == since


@WITHDRAWN
def test_a_withdrawal_however_the_app_spells_it_removes_the_customer(frame: MakeFrame, withdrawn: int | None) -> None:
    assert trusted(frame, ann(1, 1), ann(2, withdrawn)) == []


@WITHDRAWN
@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_records_of_the_same_moment_the_one_without_consent_decides(
    frame: MakeFrame, withdrawn: int | None, newest_first: bool
) -> None:
    # The serial number and the other dates would decide otherwise.
    agreed = customer("ann@x", "Z", updated=2, consent=9, sharewithfriendsasofdate=9)
    refused = customer("ann@x", "A", updated=2, consent=withdrawn)
    assert trusted(frame, *([agreed, refused] if newest_first else [refused, agreed])) == []


@pytest.mark.parametrize(
    ("decides", "other"),
    [
        (customer("ann@x", "A", consent=7), customer("ann@x", "B", consent=6)),
        (customer("ann@x", "B"), customer("ann@x", "A", sharewithfriendsasofdate=9)),
        (customer("ann@x", sharewithfriendsasofdate=1), customer("ann@x", sharewithpublicasofdate=9, phone="9")),
        (customer("ann@x", phone="1", customername="a"), customer("ann@x", customername="z")),
        (customer("ann@x", sharewithfriendsasofdate=2), customer("ann@x", sharewithfriendsasofdate=1)),
    ],
    ids=["the later consent", "then the greatest serial number", "then the last column", "null is the least", "value"],
)
def test_of_two_consenting_records_of_the_same_moment_one_decides_by_its_values(
    frame: MakeFrame, decides: Row, other: Row
) -> None:
    whole = tuple(decides.get(name) for name in CUSTOMERS.column_names)
    for records in ([decides, other], [other, decides]):
        assert trusted(frame, *records, columns=CUSTOMERS.column_names) == [whole]


@pytest.mark.parametrize("same", ["ANN@X", "Ann@x", " ann@x", "ann@x  "])
def test_an_address_in_other_letter_case_or_with_blanks_is_the_same_customer(frame: MakeFrame, same: str) -> None:
    assert trusted(frame, ann(1, 1), customer(same, updated=2)) == [same]
    assert trusted(frame, ann(1, 1), customer(same, updated=2, consent=None)) == []


# Doubt --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ('{"email": "ann@x", "lastUpdateDate": 1700000000002', True),
        ('{"email": "ann@x", "lastUpdateDate": 1700000000001}', True),
        ('{"email": "ann@x", "lastUpdateDate": 1700000000000}', False),
        ('{"email": "ann@x", "lastUpdateDate": "1699999999999" }', False),
        ('{"lastUpdateDate": "soon", "email": "ann@x"}', True),
        ('{"email": "ann@x", "lastUpdateDate": 1600000000000}{"lastUpdateDate": 1900000000000', True),
        ('{"email": "ann@x", "lastUpdateDate": 16000000\t00000}', True),
        ('{"email": "ann@x\\", "phone": "\\ud"', True),
        ('{"lastUpdateDate": 169999999, "email": "ann@x"}', True),
        ('"email": " ANN@X ", ', True),
        (r'{"email": "ann\u0040x"', True),
        (r'{"email": "\u0041nn@x"', True),
        ("ann@x;2023;no", True),
        ('{"email": "annie@x"}', False),
        ('{"email": "nn@x"}', False),
        ('{"customerName": "Ann"}', False),
        ("{'email': 'ann@x', 'lastUpdateDate': 1700000000009}", True),
        ('{"email": "\u200bann@x\ufeff", "lastUpdateDate": 1700000000009', True),
        (r'{"email": "\u00a0ann@x", "lastUpdateDate": 1700000000009', True),
        (r'{"email": "\tann@x\/", "lastUpdateDate": 1700000000009', True),
        (r'{"email": "Ann \u003cann@x\u003e", "lastUpdateDate": 1700000000009', True),
        ("email=ann@x&lastUpdateDate=1700000000009", True),
        ("Mail of ann@x.", True),
        (r'{"email": "\u0061nn@x\u20", "lastUpdateDate": 1700000000009', True),
        (r'{"email": "ann@x\ud83d", "lastUpdateDate": 1700000000009', True),
        (
            '{"email": "cleo@x", "lastUpdateDate": 1700000000000, "{"email": "ann@x", "lastUpdateDate": 1700000000009}',
            True,
        ),
        ('{"email": "cleo@x", "lastUpdateDate": 1700000000000, "na{"email": "ann@x"}', True),
        ('{"email": "cleo@x", "lastUpdateDate": 1600000000000, "lastUpdateDate": 1700000000000, "u": "ann@x"}', True),
        ('{"email": "ann@x", "lastUpdateDate": 1700000000000, "lastUpdateDate": soon}', True),
        ('{"email": "o\'ann@x"}', False),
    ],
)
def test_a_customer_of_whom_a_record_could_not_be_read_is_in_doubt_until_a_newer_one_is(
    frame: MakeFrame, text: str, doubted: bool
) -> None:
    records = [ann(T, 1), ann(T + 1, 1), customer("bob@x", updated=T)]
    assert trusted(frame, *records, unreadable=[text]) == [*([] if doubted else ["ann@x"]), "bob@x"]
    checked = consent_of_customers(frame(CUSTOMERS, records), quarantined(frame, [text]))
    assert values(checked.where("doubted"), "person") == (["ann@x"] if doubted else [])


# accelerometer_trusted ----------------------------------------------------------------------------------------


def in_file(records: Iterable[Row], name: str = "1.json") -> list[Row]:
    """The records as one file delivered them, unless they say another."""
    return [{"file": name, **record} for record in records]


def shared_readings(
    frame: MakeFrame, readings: list[Row], customers: list[Row], consent: Consent = Consent.CUSTOMER
) -> list[Any]:
    table = accelerometer_trusted(frame(READINGS, in_file(readings)), frame(CUSTOMERS, customers), consent)
    assert tuple(table.columns) == ACCELEROMETER_TRUSTED.column_names
    return values(table)


@BOTH_RULES
def test_readings_of_trusted_customers_are_retained_as_they_were_sent(frame: MakeFrame, consent: Consent) -> None:
    sent = [reading("ann@x", 1, 0.1, 0.2, 0.3), reading("bob@x", 1, 9.0), reading("nobody@x", 9)]
    assert shared_readings(frame, sent, [customer("ann@x")], consent) == [("ann@x", 1, 0.1, 0.2, 0.3)]
    assert shared_readings(frame, [reading("ann@x")] * 2, [customer("ann@x")], consent) == [("ann@x", 1, 0, 0, 0)] * 2
    assert shared_readings(frame, [], [customer("ann@x")], consent) == []
    assert shared_readings(frame, sent, [], consent) == []


@pytest.mark.parametrize("user", ["ANN@x", " ann@x", "ann@X "])
def test_a_phone_that_writes_the_address_otherwise_is_still_its_owners(frame: MakeFrame, user: str) -> None:
    assert shared_readings(frame, [reading(user)], [customer("Ann@x ")]) == [(user, 1, 0.0, 0.0, 0.0)]


def test_what_another_file_delivers_again_counts_once_however_the_address_is_written(frame: MakeFrame) -> None:
    """Who met it: "the app writes addresses in lower case now; all that it sent again counts twice"."""
    sent = in_file([reading("Ann@x", 1, 0.5), reading("ann@x", 2)]) + in_file([reading("ann@x ", 1, 0.5)], "2.json")
    assert shared_readings(frame, sent, [customer("ann@x")]) == [
        ("ann@x ", 1, 0.5, 0.0, 0.0),
        ("ann@x", 2, 0.0, 0.0, 0.0),
    ]


def test_an_address_that_only_begins_alike_is_another_person(frame: MakeFrame) -> None:
    assert shared_readings(frame, [reading("ann@x.org"), reading("an n@x")], [customer("ann@x")]) == []


@pytest.mark.parametrize(
    ("consent", "shared"),
    [
        (Consent.CUSTOMER, [("ann@x", at) for at in (1, 4, 5, 6)] + [("bob@x", 5), ("bob@x", 6)]),
        (Consent.AS_OF_DATE, [("ann@x", 5), ("ann@x", 6), ("bob@x", 6)]),
    ],
)
def test_a_customer_shares_all_readings_or_as_of_date_those_from_the_very_millisecond_of_consent_on(
    frame: MakeFrame, consent: Consent, shared: list[tuple[str, int]]
) -> None:
    readings = [reading("ann@x", at) for at in (1, 4, 5, 6)] + [reading("bob@x", at) for at in (5, 6)]
    customers = [customer("ann@x", consent=5), customer("bob@x", consent=6)]
    assert [row[:2] for row in shared_readings(frame, readings, customers, consent)] == shared


# step_trainer_trusted -----------------------------------------------------------------------------------------


def shared_distances(
    frame: MakeFrame,
    distances: list[Row],
    customers: list[Row],
    consent: Consent = Consent.CUSTOMER,
    curated: list[Row] | None = None,
    unreadable: Sequence[str] = (),
) -> list[Any]:
    """`curated` are the customers with readings: all of them, unless the test says otherwise."""
    table = step_trainer_trusted(
        frame(DISTANCES, in_file(distances)),
        frame(CUSTOMERS, [one for one in customers if _agrees(one)] if curated is None else curated),
        frame(CUSTOMERS, customers),
        quarantined(frame, unreadable),
        consent,
    )
    assert tuple(table.columns) == STEP_TRAINER_TRUSTED.column_names
    return values(table)


def _agrees(record: Row) -> bool:
    return (record["sharewithresearchasofdate"] or 0) > 0


@BOTH_RULES
def test_distances_of_a_consenting_holder_are_retained_as_they_were_sent(frame: MakeFrame, consent: Consent) -> None:
    distances = [distance("A", 5, 30), distance("B", 5, 40), distance("lost", 5)]
    customers = [customer("ann@x", "A"), customer("bob@x", "B", consent=None)]
    assert shared_distances(frame, distances, customers, consent) == [(5, "A", 30)]
    assert shared_distances(frame, distances, [], consent) == []
    assert shared_distances(frame, [], customers, consent) == []


@WITHDRAWN
def test_a_shared_step_trainer_is_trusted_only_if_every_holder_agreed(frame: MakeFrame, withdrawn: int | None) -> None:
    holders = [customer("ann@x"), customer("bob@x")]
    assert shared_distances(frame, [distance("A", 5, 1)], holders) == [(5, "A", 1)]
    assert shared_distances(frame, [distance("A", 5, 1)], [*holders, customer("cleo@x", consent=withdrawn)]) == []


def test_a_holder_in_doubt_is_one_without_consent(frame: MakeFrame) -> None:
    holders = [customer("ann@x"), customer("bob@x")]
    assert shared_distances(frame, [distance("A", 5, 1)], holders, unreadable=['{"email": "bob@x", ']) == []


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ('{"email": "zed@x", "serialNumber": "A-1", "lastUpdateDate": 1700000000009', True),
        ('{"serialNumber": "A-1", "lastUpdateDate": 1700000000009', False),  # it names nobody
        ('{"email": "bob@x", "serialNumber": "A-1", "lastUpdateDate": NaN', True),
        ('{"email": "bob@x", "serialNumber": "A-1", "lastUpdateDate": 1700000000009', True),
        ('{"email": "ann@x", "serialNumber": "B", "lastUpdateDate": NaN', True),  # she may not agree any more
        ('{"email": "bob@x", "serialNumber": "A-1", "lastUpdateDate": 1600000000000', False),
        ('{"email": "bob@x", "email": "zed@x", "serialNumber": "A-1", "lastUpdateDate": 1600000000000', True),
        (r'{"email": "zed@x", "serialNumber": "\u0041-1"', True),
        (r'{"email": "zed@x", "serialNumber": " A\u002D1\t"', True),
        ("{'email': 'zed@x', 'serialNumber': 'A-1'}", True),
        ("zed@x;A-1;2023", True),
        ('{"email": "zed@x", "serialNumber": "A-12"', False),
        ('{"email": "zed@x", "serialNumber": "a-1"', False),  # another device
        ("-- connection reset by peer --", False),
    ],
)
def test_a_serial_number_that_an_unreadable_record_names_is_held_in_doubt_until_its_customer_is_known(
    frame: MakeFrame, text: str, doubted: bool
) -> None:
    """Nobody knows whether whoever the record is of holds it, and has agreed."""
    customers = [customer("ann@x", "A-1", updated=T), customer("bob@x", "B", updated=T)]
    sent = [distance("A-1", 5, 1)]
    assert shared_distances(frame, sent, customers, unreadable=[text]) == ([] if doubted else [(5, "A-1", 1)])
    agreed = consent_on_serials(frame(CUSTOMERS, customers), quarantined(frame, [text])).where("all_agreed")
    assert ("A-1" in values(agreed, "serialnumber")) is not doubted


@pytest.mark.parametrize("serial", ["two words", "12:34", "a,b", "é{1}"])
def test_a_serial_number_of_any_signs_is_found_where_it_is_named(frame: MakeFrame, serial: str) -> None:
    text = json.dumps({"email": "zed@x", "serialNumber": f" {serial} ", "lastUpdateDate": "soon"})
    assert shared_distances(frame, [distance(serial, 5)], [customer("ann@x", serial)], unreadable=[text]) == []


def test_a_holder_who_wrote_their_address_in_two_ways_is_one_holder(frame: MakeFrame) -> None:
    records = [customer("ann@x", updated=1, consent=None), customer("ANN@x ", updated=2, consent=2)]
    assert shared_distances(frame, [distance("A", 5)], records) == [(5, "A", 0)]


def test_a_step_trainer_is_trusted_if_any_holder_has_readings(frame: MakeFrame) -> None:
    holders = [customer("ann@x"), customer("bob@x")]
    assert shared_distances(frame, [distance("A", 5)], holders, curated=[]) == []
    assert shared_distances(frame, [distance("A", 5)], holders, curated=holders[1:]) == [(5, "A", 0)]


def test_after_a_change_of_device_the_old_serial_number_belongs_to_nobody(frame: MakeFrame) -> None:
    old, new = customer("ann@x", "old", updated=1), customer("ann@x", "new", updated=2)
    distances = [distance("old", 5), distance("new", 5)]
    assert shared_distances(frame, distances, [old, new], curated=[new]) == [(5, "new", 0)]


@pytest.mark.parametrize("agreed", [True, False])
def test_a_step_trainer_handed_on_is_decided_by_its_new_holder_alone(frame: MakeFrame, agreed: bool) -> None:
    before, after = (None, 1) if agreed else (1, None)
    handed_on = [customer("ann@x", "A", updated=1, consent=before), customer("ann@x", "B", updated=2, consent=before)]
    bob = customer("bob@x", "A", consent=after)
    curated = [bob if agreed else handed_on[1]]
    found = shared_distances(frame, [distance("A", 5)], [*handed_on, bob], curated=curated)
    assert found == ([(5, "A", 0)] if agreed else [])


def test_a_withdrawal_takes_the_distances_with_it(frame: MakeFrame) -> None:
    agreed, withdrew = customer("ann@x", updated=1), customer("ann@x", updated=2, consent=0)
    assert shared_distances(frame, [distance("A", 5)], [agreed, withdrew], curated=[agreed]) == []


@BOTH_RULES
def test_equal_distances_are_retained_each_and_several_holders_do_not_multiply_them(
    frame: MakeFrame, consent: Consent
) -> None:
    twice = [distance("A", 5, 7), distance("A", 5, 7)]
    holders = [customer("ann@x"), customer("bob@x")]
    assert shared_distances(frame, twice, holders, consent) == [(5, "A", 7)] * 2


@pytest.mark.parametrize(
    ("consent", "since", "shared"),
    [
        (Consent.CUSTOMER, [6], [1, 5, 6, 7, 8]),
        (Consent.AS_OF_DATE, [6], [6, 7, 8]),
        (Consent.AS_OF_DATE, [5, 7], [7, 8]),
    ],
    ids=["all", "from the very millisecond of consent on", "a shared one's: from the last holder's consent on"],
)
@pytest.mark.parametrize("with_readings", [1, None], ids=["one holder has readings", "all have"])
def test_holders_share_distances_from_their_consent_on(
    frame: MakeFrame, consent: Consent, since: list[int], shared: list[int], with_readings: int | None
) -> None:
    holders = [customer(f"{at}@x", consent=at) for at in since]
    distances = [distance("A", at) for at in (1, 5, 6, 7, 8)]
    found = shared_distances(frame, distances, holders, consent, curated=holders[:with_readings])
    assert [row[0] for row in found] == shared


# Once ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "times"),
    [
        ({"1": 1, "2": 1}, 1),
        ({"1": 2, "2": 1}, 2),
        ({"1": 1, "2": 2, "3": 2}, 2),
        ({"1": 9, "2": 10}, 10),
        ({"1": 2}, 2),
    ],
)
def test_a_record_counts_as_often_as_it_occurs_in_the_one_file_that_has_it_most_often(
    frame: MakeFrame, files: dict[str, int], times: int
) -> None:
    names = [name for name, count in files.items() for _ in range(count)]
    readings = [*({**reading("ann@x", 1, 0.5), "file": name} for name in names), reading("ann@x", 2)]
    distances = [*({**distance("A", 1, 7), "file": name} for name in names), distance("A", 2)]
    ours = [customer("ann@x")]
    assert shared_readings(frame, readings, ours) == [("ann@x", 1, 0.5, 0.0, 0.0)] * times + [("ann@x", 2, 0, 0, 0)]
    assert shared_distances(frame, distances, ours) == [(1, "A", 7)] * times + [(2, "A", 0)]
