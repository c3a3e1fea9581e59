"""Every audit of every table: data that keeps its promise, and data that breaks it, judged as a run judges it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from stedi_assets import rules
from stedi_assets.checks import consent as audits
from stedi_assets.checks import coverage
from stedi_assets.checks import independent_rules as second_opinion
from stedi_assets.checks import reconciliation as accounting
from stedi_assets.contracts import FEEDS, TABLES, Pii
from stedi_assets.definitions import LAKEHOUSE_TABLES
from stedi_assets.pipeline import publish as publishing
from stedi_assets.pipeline.checks import Audit, Facts, measure_all
from stedi_assets.pipeline.table import LakehouseTable
from stedi_assets.rules import Consent
from tests.stedi_assets.examples import Row, customer, distance, reading
from tests.support import MakeFrame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

World = dict[str, Sequence[Row]]
"""Rows by table; `rows` are those of the audited table."""

ASSETS = {table.name: table for table in LAKEHOUSE_TABLES}
RECORDS = {feed.records.name: feed.records for feed in FEEDS}
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def audit_of(table: str, name: str) -> Audit:
    return next(one for one in ASSETS[table].audits if one.name == name)


def judge(
    frame: MakeFrame,
    table: str,
    name: str,
    world: World,
    facts: Facts | None = None,
    consent: Consent = Consent.CUSTOMER,
) -> dg.AssetCheckResult:
    """The one check's result. What the world leaves out is empty."""
    rows = frame(table, world.get("rows", ()))
    outcome = publishing.audit(
        TABLES[table],
        [audit_of(table, name)],
        rows,
        rows.dtypes,
        facts or Facts(rows_published=len(world.get("rows", ()))),
        lambda one, audited: bind(frame, one, audited, world, consent),
    )
    [contract, result] = outcome.results
    assert contract.passed
    assert bool(outcome.broken) is (not result.passed and result.severity is ERROR)
    return result


def bind(frame: MakeFrame, one: Audit, rows: DataFrame, world: World, consent: Consent) -> DataFrame:
    known: dict[str, Any] = {"rows": rows, "consent": consent}
    wanted = [name for name in inspect.signature(one.query).parameters if name not in known]
    known |= {name: frame(RECORDS.get(name, name), world.get(name, ())) for name in wanted}
    return one.query(**{name: known[name] for name in inspect.signature(one.query).parameters})


@dataclass(frozen=True)
class Case:
    """A promise, a world that keeps it, and how to break it: rows by table that replace some of that world's."""

    audit: str
    table: str
    story: str
    kept: World
    broken: World
    severity: dg.AssetCheckSeverity = ERROR
    consent: Consent = Consent.CUSTOMER
    says: str = ""

    def __str__(self) -> str:
        return f"{self.table}-{self.audit}-{self.story}".replace(" ", "-")


ANN, BOB = customer("ann@x", "A"), customer("bob@x", "B")
ANN_WITHDREW = customer("ann@x", "A", updated=2, consent=0)
ANN_LATE = customer("ann@x", "A", consent=5)
ANN_ALONE: World = {"rows": [ANN], "customer_landing": [ANN]}
ONE_READING: World = {"rows": [reading("ann@x", 5)], "customer_landing": [ANN_LATE]}
ONE_DISTANCE: World = {"rows": [distance("A", 5)], "customer_landing": [ANN_LATE]}


def pair(serial: str, at: int = 5, x: float = 1.0) -> Row:
    return {**distance(serial, at), "x": x, "y": 0.0, "z": 0.0}


TWO_PAIRS: World = {
    "rows": [pair("A", x=1.0), pair("B", x=2.0)],
    "customer_landing": [ANN, BOB],
    "accelerometer_trusted": [reading("ann@x", 5, 1.0), reading("bob@x", 5, 2.0)],
}


def on_each(tables: Sequence[str], *arguments: Any, **more: Any) -> list[Case]:
    audit, *rest = arguments
    return [Case(audit, table, *rest, **more) for table in tables]


CUSTOMER_TABLES = ("customer_trusted", "customers_curated")
DISTANCE_TABLES = ("step_trainer_trusted", "machine_learning_curated")

CONSENT_CASES = [
    *on_each(
        CUSTOMER_TABLES,
        "only_consenting_customers",
        "the newest record withdraws",
        ANN_ALONE,
        {"customer_landing": [ANN, ANN_WITHDREW]},
        says="1 rows break the promise.",
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_consenting_customers",
        "the newest record leaves the consent out",
        ANN_ALONE,
        {"customer_landing": [ANN, customer("ann@x", updated=2, consent=None)]},
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_consenting_customers",
        "a record of the same moment has no consent",
        {"rows": [ANN], "customer_landing": [ANN, customer("ann@x", consent=7)]},
        {"customer_landing": [ANN, customer("ann@x", consent=None)]},
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_consenting_customers",
        "the withdrawal spells the address otherwise",
        {"rows": [ANN], "customer_landing": [customer(" ANN@x")]},
        {"customer_landing": [ANN, customer(" ANN@x", updated=2, consent=-1)]},
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_consenting_customers",
        "the customer is unknown",
        ANN_ALONE,
        {"customer_landing": []},
    ),
    Case(
        "only_readings_of_consenting_customers",
        "accelerometer_trusted",
        "the user is no customer",
        ONE_READING,
        {"rows": [reading("ann@x"), reading("nobody@x"), reading("nobody@x")]},
        says="2 rows break the promise.",
    ),
    Case(
        "only_readings_of_consenting_customers",
        "accelerometer_trusted",
        "the user has withdrawn",
        {**ONE_READING, "rows": [reading("ANN@x ", 1)]},
        {"customer_landing": [ANN, ANN_WITHDREW]},
    ),
    Case(
        "only_readings_of_consenting_customers",
        "accelerometer_trusted",
        "as of date the reading is a millisecond too early",
        {**ONE_READING, "rows": [reading("ann@x", 5), reading("ann@x", 6)]},
        {"rows": [reading("ann@x", 4)]},
        consent=Consent.AS_OF_DATE,
    ),
    *(
        case
        for table, row in zip(DISTANCE_TABLES, (distance, pair), strict=True)
        for case in (
            Case(
                "only_readings_of_consenting_holders",
                table,
                "nobody holds the serial number",
                {**ONE_DISTANCE, "rows": [row("A", 5)]},
                {"rows": [row("lost", 5)]},
            ),
            Case(
                "only_readings_of_consenting_holders",
                table,
                "one of two holders has not consented",
                {"rows": [row("A", 5)], "customer_landing": [ANN, customer("bob@x", "A")]},
                {"customer_landing": [ANN, customer("bob@x", "A", consent=None)]},
            ),
            Case(
                "only_readings_of_consenting_holders",
                table,
                "the holder has withdrawn",
                {**ONE_DISTANCE, "rows": [row("A", 5)]},
                {"customer_landing": [ANN, ANN_WITHDREW]},
            ),
            Case(
                "only_readings_of_consenting_holders",
                table,
                "the holder has another device now",
                {**ONE_DISTANCE, "rows": [row("A", 5)]},
                {"customer_landing": [ANN, customer("ann@x", "new", updated=2)]},
            ),
            Case(
                "only_readings_of_consenting_holders",
                table,
                "a newer holder with an unlike history has not consented",
                {"rows": [row("A", 5)], "customer_landing": [ANN, customer("bob@x", "B", consent=None)]},
                {
                    "customer_landing": [
                        ANN,
                        customer("bob@x", "B", updated=1, consent=1),
                        customer("bob@x", "A", updated=2, consent=None),
                    ]
                },
            ),
            Case(
                "only_readings_of_consenting_holders",
                table,
                "as of date the reading is a millisecond too early",
                {**ONE_DISTANCE, "rows": [row("A", 5), row("A", 6)]},
                {"rows": [row("A", 4)]},
                consent=Consent.AS_OF_DATE,
            ),
            Case(
                "only_readings_of_consenting_holders",
                table,
                "as of date the last holder had not consented yet",
                {"rows": [row("A", 5)], "customer_landing": [ANN, customer("bob@x", "A", consent=5)]},
                {"customer_landing": [ANN, customer("bob@x", "A", consent=6)]},
                consent=Consent.AS_OF_DATE,
            ),
        )
    ),
    Case(
        "no_row_pairs_two_customers",
        "machine_learning_curated",
        "the motion is the other customer's",
        TWO_PAIRS,
        {"rows": [pair("A", x=1.0), pair("B", x=2.0), pair("A", x=2.0), pair("B", x=1.0)]},
        says="2 rows break the promise.",
    ),
    Case(
        "no_row_pairs_two_customers",
        "machine_learning_curated",
        "the holder took that reading at another time",
        TWO_PAIRS,
        {"rows": [pair("A", at=6)]},
    ),
    Case(
        "no_row_pairs_two_customers",
        "machine_learning_curated",
        "the step trainer has two holders",
        TWO_PAIRS,
        {"customer_landing": [ANN, BOB, customer("cleo@x", "A")]},
    ),
    Case(
        "no_row_pairs_two_customers",
        "machine_learning_curated",
        "nobody holds the step trainer",
        TWO_PAIRS,
        {"customer_landing": [ANN]},
    ),
    Case(
        "no_direct_identifiers",
        "machine_learning_curated",
        "a value looks like an address",
        TWO_PAIRS,
        {"rows": [pair("A"), pair("Ann <ann@example.org>")]},
        says="Personal data in: serialnumber.",
    ),
    *on_each(
        CUSTOMER_TABLES,
        "one_row_per_customer",
        "the address is spelled in two ways",
        {"rows": [ANN, BOB]},
        {"rows": [ANN, BOB, customer("ANN@x ")]},
        says="1 rows break the promise.",
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_latest_records",
        "the row is of an older record",
        {"rows": [customer("Ann@x", "B", updated=2)], "customer_landing": [ANN, customer("Ann@x", "B", updated=2)]},
        {"rows": [ANN, BOB], "customer_landing": [ANN, BOB, customer("Ann@x", "B", updated=2)]},
        says="1 rows break the promise.",
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_latest_records",
        "the older record names the Step Trainer of the newer one, and another customer's record is as old",
        {"rows": [ANN], "customer_landing": [ANN, customer("bob@x", "A")]},
        {"customer_landing": [ANN, customer("ann@x", "A", updated=2), customer("bob@x", "A")]},
        says="1 rows break the promise.",
    ),
    *on_each(
        CUSTOMER_TABLES,
        "only_latest_records",
        "the row names another Step Trainer than its customer's newest record",
        ANN_ALONE,
        {"rows": [customer("ann@x", "B")]},
        says="1 rows break the promise.",
    ),
    *(
        Case(
            "no_row_pairs_two_customers",
            "machine_learning_curated",
            f"{axis} is not what the holder's phone measured",
            TWO_PAIRS,
            {"rows": [{**pair("A", x=1.0), axis: 9.0}]},
        )
        for axis in "xyz"
    ),
]

QUARANTINED = {"feed": "customer_landing", "reason": "email is missing", "text": "{}", "run": "1"}

CAUTIONS = [
    Case(
        "equal_readings",
        "accelerometer_trusted",
        "a reading is there twice",
        {
            "rows": [
                reading("ann@x", 5, 1.0, 1.0, 1.0),
                reading("bob@x", 5, 1.0, 1.0, 1.0),
                reading("ann@x", 6, 1.0, 1.0, 1.0),
                reading("ann@x", 5, 2.0, 1.0, 1.0),
                reading("ann@x", 5, 1.0, 2.0, 1.0),
                reading("ann@x", 5, 1.0, 1.0, 2.0),
            ]
        },
        {"rows": [reading("ann@x", 5, 1.0)] * 2},
        WARN,
        says="1 readings occur more than once.",
    ),
    Case(
        "readings_before_consent",
        "accelerometer_trusted",
        "two readings are older than the consent",
        {**ONE_READING, "customer_landing": [ANN_LATE, customer("bob@x", consent=9)]},
        {"rows": [reading("Ann@x", 3), reading("ann@x", 4), reading("ann@x", 5)]},
        WARN,
        says="2 accelerometer readings were taken before their owner consented.",
    ),
    Case(
        "distances_before_consent",
        "step_trainer_trusted",
        "one of the holders consented later",
        {
            "rows": [distance("A", 5)],
            "customer_landing": [ANN_LATE, customer("bob@x", "A", consent=4), customer("cleo@x", "C", consent=9)],
        },
        {"customer_landing": [ANN_LATE, customer("bob@x", "A", consent=6)]},
        WARN,
        says="1 distance readings were taken before all holders consented.",
    ),
    Case(
        "shared_serial_numbers",
        "step_trainer_trusted",
        "two customers hold a serial number now",
        # That Bob held Ann's once is no sharing.
        {"customer_landing": [ANN, customer("bob@x", "A"), customer("bob@x", "B", updated=2)]},
        {"customer_landing": [ANN, customer("bob@x", "B"), customer("bob@x", "A", updated=2)]},
        WARN,
        says="1 serial numbers are held by several customers.",
    ),
    *(
        Case(
            "nothing_quarantined",
            f"{feed}_quarantine",
            "a record was not accepted",
            {"rows": []},
            {"rows": [QUARANTINED]},
            WARN,
            says="1 records were not accepted.",
        )
        for feed in ("customer", "accelerometer", "step_trainer")
    ),
]


def covered(audit: str, table: str, full: World, low: World, none: World, nothing: World, says: str) -> list[Case]:
    """A share as four cases: it warns when low, blocks when nothing is covered, passes where nothing could be."""
    return [
        Case(audit, table, "few are covered", full, low, WARN, says=says),
        Case(audit, table, "none is covered", nothing, none, ERROR),
    ]


MANY = [customer(f"c{number}@x", f"S{number}") for number in range(10)]
ALL_READ = [reading(f"c{number}@x") for number in range(10)]
ALL_MEASURED = [distance(f"S{number}") for number in range(10)]
MATCHING: World = {
    "rows": [pair(f"S{number}", at=1) for number in range(10)],
    "customer_trusted": MANY,
    "accelerometer_trusted": ALL_READ,
    "step_trainer_trusted": ALL_MEASURED,
}
EMPTY: World = {name: [] for name in ("rows", *TABLES)}

COVERAGE_CASES = [
    *covered(
        "readings_of_known_customers",
        "accelerometer_trusted",
        {"accelerometer_landing": ALL_READ, "customer_landing": [*MANY[:8], customer("C8@x ", consent=None)]},
        {"customer_landing": MANY[:8]},
        {"accelerometer_landing": ALL_READ, "customer_landing": [ANN]},
        EMPTY,
        says="8 of 10 (80.0%); expected at least 90%.",
    ),
    *covered(
        "consenting_customers_with_readings",
        "customers_curated",
        {"customer_trusted": MANY, "accelerometer_trusted": ALL_READ[:5]},
        {"accelerometer_trusted": ALL_READ[:4] * 3},
        {"customer_trusted": MANY, "accelerometer_trusted": [reading("nobody@x")]},
        EMPTY,
        says="4 of 10 (40.0%); expected at least 50%.",
    ),
    *covered(
        "curated_customers_with_distances",
        "step_trainer_trusted",
        {"customers_curated": MANY, "rows": ALL_MEASURED[:5]},
        {"rows": ALL_MEASURED[:4] * 3},
        {"customers_curated": MANY, "rows": []},
        EMPTY,
        says="4 of 10 (40.0%); expected at least 50%.",
    ),
    *covered(
        "distances_matched",
        "machine_learning_curated",
        # A shared Step Trainer (S9) is no mismatch: its distances are left out on purpose.
        {**MATCHING, "customer_trusted": [*MANY, customer("d@x", "S9")], "accelerometer_trusted": ALL_READ[:5]},
        {"accelerometer_trusted": ALL_READ[:4] * 3},
        {"step_trainer_trusted": ALL_MEASURED, "customer_trusted": MANY, "accelerometer_trusted": [reading("c1@x", 2)]},
        EMPTY,
        says="4 of 9 (44.4%); expected at least 50%.",
    ),
    *covered(
        "accelerometer_readings_matched",
        "machine_learning_curated",
        {**MATCHING, "rows": [pair(f"S{number}", at=1) for number in range(5)]},
        {"rows": [pair(f"S{number}", at=1) for number in range(4)] * 3},
        {**MATCHING, "rows": [pair("S1", at=2)]},
        EMPTY,
        says="4 of 10 (40.0%); expected at least 50%.",
    ),
    Case(
        "readings_per_match",
        "machine_learning_curated",
        "a distance meets eleven readings",
        {**MATCHING, "accelerometer_trusted": [reading("c1@x")] * 10},
        {"accelerometer_trusted": [reading("c1@x")] * 11},
        WARN,
        says="11.00 accelerometer readings per matched distance reading; expected at most 10.",
    ),
]

CASES = [*CONSENT_CASES, *CAUTIONS, *COVERAGE_CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kept_promise_passes_and_a_broken_one_is_told(frame: MakeFrame, case: Case) -> None:
    assert judge(frame, case.table, case.audit, case.kept, consent=case.consent).passed
    broken = judge(frame, case.table, case.audit, {**case.kept, **case.broken}, consent=case.consent)
    assert not broken.passed
    assert broken.severity is case.severity
    assert case.says in (broken.description or "")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_promise_holds_where_there_is_nothing(frame: MakeFrame, case: Case) -> None:
    assert judge(frame, case.table, case.audit, EMPTY, consent=case.consent).passed


def test_every_audit_of_every_table_is_tried_here() -> None:
    on_every_table = {"required_columns_filled", "rows_accounted_for"}
    tried = {(case.table, case.audit) for case in CASES}
    assert {(table.name, one.name) for table in LAKEHOUSE_TABLES for one in table.audits} == tried | {
        (table.name, one.name) for table in LAKEHOUSE_TABLES for one in table.audits if one.name in on_every_table
    }


def test_only_what_warns_is_not_blocking() -> None:
    not_blocking = {one.name for table in LAKEHOUSE_TABLES for one in table.audits if not one.blocking}
    assert not_blocking == {case.audit for case in CASES} - {case.audit for case in CASES if case.severity is ERROR}


def test_audits_and_accounts_take_from_the_rules_who_is_meant_and_no_decision() -> None:
    taken = {
        name
        for module in (accounting, audits, coverage, second_opinion)
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == rules.__name__
    }
    assert taken == {"person"}


def test_a_consent_that_covers_all_readings_does_not_ask_when_they_were_taken(frame: MakeFrame) -> None:
    early: World = {"rows": [reading("ann@x", 4)], "customer_landing": [ANN_LATE]}
    assert judge(frame, "accelerometer_trusted", "only_readings_of_consenting_customers", early).passed


@pytest.mark.parametrize("case", [case for case in COVERAGE_CASES if case.severity is ERROR], ids=str)
def test_nothing_covered_only_warns_where_an_input_is_empty(frame: MakeFrame, case: Case) -> None:
    facts = Facts(rows_published=0, an_input_is_empty=True)
    result = judge(frame, case.table, case.audit, {**case.kept, **case.broken}, facts)
    assert not result.passed
    assert result.severity is WARN


# The contract -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", LAKEHOUSE_TABLES, ids=lambda table: table.name)
def test_a_table_whose_columns_are_not_the_contracts_is_told_so_and_nothing_else(
    frame: MakeFrame, table: LakehouseTable
) -> None:
    good = frame(table.contract, [])
    first, last = table.contract.column_names[0], table.contract.column_names[-1]
    wrong_kind = {first: good[first].cast("double" if table.contract[first].type != "double" else "string")}
    breaches = {
        f"Missing: {last} {table.contract[last].type}. Not in the contract: none.": good.drop(last),
        "Missing: none. Not in the contract: extra bigint.": good.selectExpr("*", "1L as extra"),
        f"Missing: {first} {table.contract[first].type}. Not in the contract: {first} double.": good.withColumns(
            wrong_kind
        ),
        f"Not in the contract's order: {', '.join(reversed(good.columns))}.": good.select(*reversed(good.columns)),
    }
    for sentence, rows in breaches.items():
        outcome = publishing.audit(table.contract, table.audits, rows, rows.dtypes, Facts(), unused)
        [result] = outcome.results
        assert (result.check_name, result.passed, result.severity) == ("matches_contract", False, ERROR)
        assert result.description == sentence
        assert outcome.broken == [f"matches_contract: {sentence}"]
    assert publishing.judge_schema(table.contract, good.dtypes).passed


def unused(one: Audit, rows: DataFrame) -> DataFrame:
    raise AssertionError(f"{one.name} was run on rows of a wrong shape")


def a_row(table: LakehouseTable) -> Row:
    made = {"string": "some text", "bigint": 1, "double": 1.0}
    return {column.name: made[column.type] for column in table.contract.columns}


@pytest.mark.parametrize("table", LAKEHOUSE_TABLES, ids=lambda table: table.name)
def test_a_null_in_any_required_column_is_named_and_one_in_an_optional_column_is_not(
    frame: MakeFrame, table: LakehouseTable
) -> None:
    full = a_row(table)
    sparse = {name: value for name, value in full.items() if table.contract[name].required}
    assert judge(frame, table.name, "required_columns_filled", {"rows": [full, sparse]}).passed
    for name in table.contract.required:
        rows = [full, {**full, name: None}]
        broken = judge(frame, table.name, "required_columns_filled", {"rows": rows})
        assert (broken.passed, broken.severity) == (False, ERROR)
        assert broken.description == f"Nulls in: {name}."
        assert broken.metadata[name].value == 1


DIRECT = ("birthday", "customername", "email", "phone", "text", "user")


def test_names_addresses_phones_birthdays_and_texts_that_hold_them_are_the_direct_identifiers() -> None:
    columns = {column for table in ASSETS.values() for column in table.contract.columns}
    assert {column.name for column in columns if column.pii is Pii.DIRECT} == set(DIRECT)


@pytest.mark.parametrize("name", DIRECT)
def test_a_direct_identifier_is_found_by_its_columns_name(spark: SparkSession, name: str) -> None:
    promise = audit_of("machine_learning_curated", "no_direct_identifiers")
    rows = spark.createDataFrame([("A", "none of your business")], f"serialnumber string, {name} string")
    numbers = measure_all([promise], lambda one: one.query(rows=rows))[promise.name]
    assert numbers == {"serialnumber": 0, name: 1, "none": 0}
    verdict = promise.judge(numbers, Facts())
    assert (verdict.passed, verdict.sentence) == (False, f"Personal data in: {name}.")


# Every row is accounted for -----------------------------------------------------------------------------------

LEDGERS: dict[str, tuple[World, int, dict[str, int]]] = {
    **{
        f"{feed.name}_quarantine": (
            {feed.records.name: [{"quarantine_reason": "email is missing"}, *[{"run": None}] * 3]},
            1,
            {accounting.ACCEPTED: 3},
        )
        for feed in FEEDS
    },
    "customer_trusted": (
        {
            "customer_landing": [
                *[customer("ann@x", updated=at) for at in (1, 2, 3)],
                *[customer(spelled, updated=2, consent=None) for spelled in ("bob@x", "BOB@x")],
                customer("cleo@x", consent=0),
                customer("dan@x"),
            ]
        },
        2,
        {accounting.NOT_LATEST: 3, accounting.NO_CONSENT: 2},
    ),
    "accelerometer_trusted": (
        {
            "customer_landing": [customer("ann@x", consent=5), customer("bob@x", consent=None)],
            "accelerometer_landing": [
                *[reading("nobody@x", 9)] * 3,
                *[reading("bob@x", 9)] * 2,
                reading("ann@x", 4),
                reading("Ann@x", 5),
                reading("ann@x", 5),
            ],
        },
        2,
        {accounting.UNKNOWN_USER: 3, accounting.NO_CONSENT: 2, accounting.BEFORE_CONSENT: 1},
    ),
    "customers_curated": (
        {"customer_trusted": [ANN, BOB], "accelerometer_trusted": [reading("ANN@x"), reading("ann@x")]},
        1,
        {accounting.NO_READINGS: 1},
    ),
    "step_trainer_trusted": (
        {
            "customer_landing": [
                customer("ann@x", "A", consent=5),
                customer("bob@x", "A", consent=6),
                customer("cleo@x", "C"),
                customer("dan@x", "C", consent=None),
                customer("eve@x", "E"),
            ],
            "customers_curated": [
                customer("ann@x", "A", consent=5),
                customer("bob@x", "A", consent=6),
                customer("cleo@x", "C"),
            ],
            "step_trainer_landing": [
                *[distance("lost", 9)] * 4,
                *[distance("C", 9)] * 3,
                *[distance("E", 9)] * 2,
                distance("A", 5),
                distance("A", 6),
            ],
        },
        1,
        {
            accounting.UNKNOWN_SERIAL: 4,
            accounting.HOLDER_WITHOUT_CONSENT: 3,
            accounting.HOLDERS_WITHOUT_READINGS: 2,
            accounting.BEFORE_CONSENT: 1,
        },
    ),
    "machine_learning_curated": (
        {
            "customer_trusted": [ANN, BOB, customer("cleo@x", "B"), customer("dan@x", "D")],
            "accelerometer_trusted": [*[reading("Ann@x", 5)] * 3, reading("bob@x", 5), reading("dan@x", 6)],
            "step_trainer_trusted": [
                distance("A", 5, 1),
                distance("A", 5, 2),
                *[distance("B", 5)] * 2,
                distance("D", 5),
            ],
        },
        6,
        {accounting.SEVERAL_HOLDERS: 2, accounting.NO_MATCH: 1},
    ),
}


@pytest.mark.parametrize("table", LEDGERS)
def test_every_row_that_is_left_out_is_counted_under_its_rule(frame: MakeFrame, table: str) -> None:
    world, published, left_out = LEDGERS[table]
    rows_in = len(world[ASSETS[table].inputs[0]])
    consent = Consent.AS_OF_DATE
    balanced = judge(frame, table, "rows_accounted_for", world, Facts(rows_in, published), consent)
    assert balanced.passed, balanced.description
    shown = {name: entry.value for name, entry in balanced.metadata.items()}
    kept = rows_in - sum(left_out.values())
    assert shown == {"rows in": rows_in, "rows kept": kept, "rows published": published, **left_out}


@pytest.mark.parametrize("table", LEDGERS)
def test_a_row_that_is_lost_or_invented_unbalances_the_account(frame: MakeFrame, table: str) -> None:
    world, published, _ = LEDGERS[table]
    rows_in = len(world[ASSETS[table].inputs[0]])
    for facts in (
        Facts(rows_in, published - 1),
        Facts(rows_in, published + 1),
        Facts(rows_in + 1, published),
        Facts(rows_in - 1, published),
    ):
        broken = judge(frame, table, "rows_accounted_for", world, facts, Consent.AS_OF_DATE)
        assert (broken.passed, broken.severity) == (False, ERROR)
        assert "rows were lost or invented" in (broken.description or "")


def test_the_account_of_an_empty_table_balances(frame: MakeFrame) -> None:
    for table in LEDGERS:
        assert judge(frame, table, "rows_accounted_for", {}, Facts(0, 0)).passed


def test_every_table_keeps_an_account() -> None:
    assert {table.name for table in LAKEHOUSE_TABLES} == set(LEDGERS)


# One query for all --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consent", list(Consent))
def test_measured_together_the_audits_say_what_each_says_alone(frame: MakeFrame, consent: Consent) -> None:
    table = ASSETS["machine_learning_curated"]
    world: World = {**MATCHING, "customer_landing": MANY, "rows": [pair("S1", at=1), pair("S1", at=1), pair("x@y.z")]}
    rows = frame(table.name, world["rows"])
    together = measure_all(table.audits, lambda one: bind(frame, one, rows, world, consent))
    alone = [measure_all([one], lambda one: bind(frame, one, rows, world, consent)) for one in table.audits]
    assert together == {name: numbers for each in alone for name, numbers in each.items()}
    assert len(together) == len(table.audits)
