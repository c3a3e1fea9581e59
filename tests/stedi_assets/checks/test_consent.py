"""Consent, privacy, keys, and what is worth a look: rows that keep a promise, and rows that break it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stedi_assets import rules
from stedi_assets.checks import consent as checks
from stedi_assets.checks import coverage, independent_rules, reconciliation
from stedi_assets.contracts import TABLES, Pii
from stedi_assets.pipeline.checks import Facts
from stedi_assets.rules import Consent
from tests.stedi_assets.checks.worlds import ERROR, EVERY_TABLE, WARN, World, check_of, found, measured, pair
from tests.stedi_assets.examples import Row, T, customer, distance, reading
from tests.support import MakeFrame

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ANN, BOB = customer("ann@x", "A"), customer("bob@x", "B")
ANN_WITHDREW = customer("ann@x", "A", updated=2, consent=0)
ANN_LATE = customer("ann@x", "A", consent=5)


CASES: list[Any] = []


def broken_by(
    check: str,
    table: str,
    kept: World,
    stories: dict[str, World],
    finds: int = 1,
    consent: Consent = Consent.CUSTOMER,
) -> None:
    """By story: what replaces some of a world that keeps the promise, and how many rows are then found."""
    for story, broken in stories.items():
        CASES.append(pytest.param(check, table, kept, {**kept, **broken}, finds, consent, id=f"{check}-{story}"))


RECORDS = "customer_records"
CONSENTING = ("only_consenting_customers", "customer_trusted")
broken_by(
    *CONSENTING,
    {"rows": [ANN], RECORDS: [ANN]},
    {
        "the newest record withdraws": {RECORDS: [ANN, ANN_WITHDREW]},
        "the newest record leaves the consent out": {RECORDS: [ANN, customer("ann@x", updated=2, consent=None)]},
        "a record of the same moment has no consent": {RECORDS: [ANN, customer("ann@x", consent=None)]},
        "the withdrawal spells the address otherwise": {RECORDS: [ANN, customer(" ANN@x", updated=2, consent=-1)]},
        "the customer is unknown": {RECORDS: []},
    },
)
broken_by(*CONSENTING, {"rows": [ANN], RECORDS: [customer(" ANN@x")]}, {"others are known": {RECORDS: [BOB]}})

ANN_KNOWN = customer("ann@x", "A", updated=T)


def unreadable(text: str) -> Row:
    return {"file": "1.json", "reason": "no JSON", "text": text, "run": "1"}


OLDER = unreadable(f'{{"lastUpdateDate": {T - 1}, "email": "ann@x"')
broken_by(
    "no_customer_in_doubt",
    "customer_trusted",
    {"rows": [ANN_KNOWN], RECORDS: [ANN_KNOWN, BOB], "customer_quarantine": [OLDER, unreadable('"email": "bob@x"')]},
    {
        story: {"customer_quarantine": [unreadable(text)]}
        for story, text in {
            "an unreadable record is newer": f'{{"email": "ann@x", "lastUpdateDate": "{T + 1}"}}',
            "an unreadable record is of the same moment": f'"lastupdatedate":{T},"email":"Ann@X"',
            "an unreadable record has no moment": '{"user": " ANN@x ", "lastUpdateDate": NaN',
            "the address has escapes": f'{{"email": "\\u0061nn\\u0040x", "lastUpdateDate": {T}, ',
        }.items()
    },
)

OF_CUSTOMERS = ("only_readings_of_consenting_customers", "accelerometer_trusted")
ONE_READING: World = {"rows": [reading("ann@x", 5)], RECORDS: [ANN_LATE]}
STRANGERS = [reading("ann@x"), reading("nobody@x"), reading("nobody@x")]
broken_by(*OF_CUSTOMERS, ONE_READING, {"the user is no customer": {"rows": STRANGERS}}, finds=2)
broken_by(
    *OF_CUSTOMERS,
    {"rows": [reading("ANN@x ", 1)], RECORDS: [ANN_LATE]},
    {"the user has withdrawn": {RECORDS: [ANN, ANN_WITHDREW]}},
)
broken_by(
    *OF_CUSTOMERS,
    {"rows": [reading("ann@x", 5), reading("ann@x", 6)], RECORDS: [ANN_LATE]},
    {"as of date the reading is a millisecond too early": {"rows": [reading("ann@x", 4)]}},
    consent=Consent.AS_OF_DATE,
)

OF_HOLDERS = ("only_readings_of_consenting_holders", "step_trainer_trusted")
BOB_REFUSES = customer("bob@x", "A", updated=2, consent=None)
broken_by(
    *OF_HOLDERS,
    {"rows": [distance("A", 5)], RECORDS: [ANN_LATE, customer("bob@x", "A")]},
    {
        "nobody holds the serial number": {"rows": [distance("lost", 5)]},
        "one of two holders has not consented": {RECORDS: [ANN, customer("bob@x", "A", consent=None)]},
        "the holder has withdrawn": {RECORDS: [ANN, ANN_WITHDREW]},
        "the holder has another device now": {RECORDS: [ANN, customer("ann@x", "new", updated=2)]},
        "a newer holder with an unlike history has not consented": {RECORDS: [ANN, BOB, BOB_REFUSES]},
    },
)
broken_by(
    *OF_HOLDERS,
    {"rows": [distance("A", 5), distance("A", 6)], RECORDS: [ANN_LATE, customer("bob@x", "A", consent=5)]},
    {
        "as of date the reading is a millisecond too early": {"rows": [distance("A", 4)]},
        "as of date the last holder had not consented yet": {RECORDS: [ANN, customer("bob@x", "A", consent=6)]},
    },
    consent=Consent.AS_OF_DATE,
)

OF_ONE = ("no_row_pairs_two_customers", "machine_learning_curated")
TWO_PAIRS: World = {
    "rows": [pair("A", 5, 1.0), pair("B", 5, 2.0)],
    RECORDS: [ANN, BOB],
    "accelerometer_trusted": [reading("ann@x", 5, 1.0), reading("bob@x", 5, 2.0)],
}
ALL_FOUR = [*TWO_PAIRS["rows"], pair("A", 5, 2.0), pair("B", 5, 1.0)]
broken_by(*OF_ONE, TWO_PAIRS, {"the motion is the other customer's": {"rows": ALL_FOUR}}, finds=2)
broken_by(
    *OF_ONE,
    TWO_PAIRS,
    {
        "the holder took that reading at another time": {"rows": [pair("A", 6)]},
        "the step trainer has two holders": {RECORDS: [ANN, BOB, customer("cleo@x", "A")]},
        "nobody holds the step trainer": {RECORDS: [ANN]},
        **{f"{axis} is not what the phone measured": {"rows": [{**pair("A", 5), axis: 9.0}]} for axis in "xyz"},
    },
)

TWICE = {"rows": [ANN, BOB, customer("ANN@x ")]}
broken_by(
    "one_row_per_customer", "customer_trusted", {"rows": [ANN, BOB]}, {"the address is spelled in two ways": TWICE}
)
NEWER, NEWER_A = customer("Ann@x", "B", updated=2), customer("ann@x", "A", updated=2)
broken_by(
    "only_latest_records",
    "customer_trusted",
    {"rows": [ANN, BOB], RECORDS: [ANN, BOB]},
    {
        "the row is of an older record": {RECORDS: [ANN, BOB, NEWER]},
        "another customer's record is as old, and names the Step Trainer": {
            "rows": [ANN],
            RECORDS: [ANN, NEWER_A, customer("bob@x", "A")],
        },
        "the row names another Step Trainer than its customer's newest record": {"rows": [customer("ann@x", "B"), BOB]},
    },
)

UNLIKE = [("ann@x", 5, 1.0, 1.0), ("bob@x", 5, 1.0, 1.0), ("ann@x", 6, 1.0, 1.0), ("ann@x", 5, 2.0, 1.0)]
UNLIKE_READINGS = [*(reading(*one, 1.0) for one in UNLIKE), reading("ann@x", 5, 1.0, 2.0, 1.0)]
broken_by(
    "equal_readings",
    "accelerometer_trusted",
    {"rows": [*UNLIKE_READINGS, reading("ann@x", 5, 1.0, 1.0, 2.0)]},
    {"a reading is there twice": {"rows": [*UNLIKE_READINGS, UNLIKE_READINGS[0]]}},
)
UNLIKE_DISTANCES = [distance("A", 5, 1), distance("A", 6, 2), distance("B", 5, 2)]
broken_by(
    "equal_distances",
    "step_trainer_trusted",
    {"rows": [*UNLIKE_DISTANCES, distance("A", 5, 2)]},
    {"a distance is there twice": {"rows": [*UNLIKE_DISTANCES, distance("A", 5, 1)]}},
)
broken_by(
    "distances_disagree",
    "step_trainer_trusted",
    {"rows": [*UNLIKE_DISTANCES, distance("A", 5, 1)]},
    {"one device is at two distances at once": {"rows": [*UNLIKE_DISTANCES, distance("A", 5, 2)]}},
)
broken_by(
    "readings_before_consent",
    "accelerometer_trusted",
    {**ONE_READING, RECORDS: [ANN_LATE, customer("bob@x", consent=9)]},
    {"two are older than the consent": {"rows": [reading("Ann@x", 3), reading("ann@x", 4), reading("ann@x", 5)]}},
    finds=2,
)
broken_by(
    "distances_before_consent",
    "step_trainer_trusted",
    {
        "rows": [distance("A", 5)],
        RECORDS: [ANN_LATE, customer("bob@x", "A", consent=4), customer("cleo@x", "C", consent=9)],
    },
    {"one of the holders consented later": {RECORDS: [ANN_LATE, customer("bob@x", "A", consent=6)]}},
)
broken_by(
    "shared_serial_numbers",
    "step_trainer_trusted",
    # That Bob held Ann's once is no sharing.
    {RECORDS: [ANN, customer("bob@x", "A"), customer("bob@x", "B", updated=2)]},
    {"two customers hold it now": {RECORDS: [ANN, BOB, customer("bob@x", "A", updated=2)]}},
)
broken_by("nothing_quarantined", "customer_quarantine", {}, {"a record was not accepted": {"rows": [OLDER]}})


@pytest.mark.parametrize(("check", "table", "kept", "broken", "finds", "consent"), CASES)
def test_a_kept_promise_passes_and_of_a_broken_one_every_row_is_counted(
    frame: MakeFrame, check: str, table: str, kept: World, broken: World, finds: int, consent: Consent
) -> None:
    assert found(frame, table, check, kept, consent=consent).passed
    result = found(frame, table, check, broken, consent=consent)
    assert (result.passed, result.severity) == (False, ERROR if check_of(table, check).blocking else WARN)
    assert str(result.description).startswith(f"{finds} ")


def test_every_check_that_looks_for_rows_is_tried_and_is_the_same_in_every_table_that_has_it() -> None:
    alike: dict[str, set[int]] = {}
    for table in EVERY_TABLE.values():
        for one in table.checks:
            if one.query.__module__ == checks.__name__ or one.name == "nothing_quarantined":
                alike.setdefault(one.name, set()).add(id(one))
    assert alike.keys() == {case.values[0] for case in CASES} | {"no_direct_identifiers"}
    assert all(len(ids) == 1 for ids in alike.values())


def test_checks_take_from_the_rules_who_is_meant_and_how_a_choice_is_called_and_no_decision() -> None:
    taken = {
        name
        for module in (reconciliation, checks, coverage, independent_rules)
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == rules.__name__
    }
    assert taken == {"person", "Consent"}


def test_a_consent_that_covers_all_readings_does_not_ask_when_they_were_taken(frame: MakeFrame) -> None:
    early: World = {"rows": [reading("ann@x", 4)], "customer_records": [ANN_LATE]}
    assert found(frame, "accelerometer_trusted", "only_readings_of_consenting_customers", early).passed


# Privacy ------------------------------------------------------------------------------------------------------

PRIVACY = check_of("machine_learning_curated", "no_direct_identifiers")
DIRECT = ("birthday", "customername", "email", "phone", "text", "user")


def test_names_addresses_phones_birthdays_and_texts_that_hold_them_are_the_direct_identifiers() -> None:
    columns = {column for table in TABLES.values() for column in table.columns}
    assert {column.name for column in columns if column.pii is Pii.DIRECT} == set(DIRECT)


@pytest.mark.parametrize(
    ("columns", "row", "shown"),
    [
        *((f"serialnumber string, {name} string", ("A", "none of your business"), {name: 1}) for name in DIRECT),
        ("user string, serialnumber string", ("a@x.org", "b@x.org"), {"serialnumber": 1, "user": 1}),
        ("serialnumber string, x double", ("Ann <ann@example.org>", 1.0), {"serialnumber": 1}),
        ("serialnumber string, x double", ("A", 1.0), {}),
        ("x double", (1.0,), {}),
    ],
    ids=str,
)
def test_personal_data_is_found_by_the_columns_name_or_by_what_it_looks_like(
    spark: SparkSession, columns: str, row: tuple[Any, ...], shown: dict[str, int]
) -> None:
    rows = spark.createDataFrame([row], columns)
    numbers = measured([PRIVACY], {"rows": rows})[PRIVACY.name]
    result = PRIVACY.evaluate(numbers, Facts())
    names = ", ".join(shown)
    sentence = f"Personal data in: {names}." if names else "No direct identifier, and nothing like an e-mail address."
    assert (result.passed, result.description) == (not shown, sentence)
    numbers_shown = {name: entry.value for name, entry in result.metadata.items()}
    assert numbers_shown == {"columns with personal data": names or "none", **shown}
