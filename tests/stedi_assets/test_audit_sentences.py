"""What an audit says, word by word: its sentence and its numbers, where the promise holds and where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from stedi_assets.pipeline.checks import Facts, measure_all
from tests.stedi_assets.checks.test_consent import (
    ANN,
    ANN_ALONE,
    ANN_WITHDREW,
    ERROR,
    LEDGERS,
    MATCHING,
    WARN,
    audit_of,
    judge,
    pair,
)
from tests.stedi_assets.examples import customer
from tests.support import MakeFrame

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def said(result: dg.AssetCheckResult) -> tuple[str | None, dict[str, Any]]:
    return result.description, {name: entry.value for name, entry in result.metadata.items()}


def test_a_promise_says_how_many_rows_were_audited_and_how_many_break_it(frame: MakeFrame) -> None:
    kept = judge(frame, "customer_trusted", "only_consenting_customers", ANN_ALONE)
    assert said(kept) == ("Every row keeps the promise.", {"rows that break the promise": 0, "rows audited": 1})
    world = {**ANN_ALONE, "customer_landing": [ANN, ANN_WITHDREW]}
    broken = judge(frame, "customer_trusted", "only_consenting_customers", world)
    assert said(broken) == ("1 rows break the promise.", {"rows that break the promise": 1, "rows audited": 1})
    assert (kept.severity, broken.severity) == (ERROR, ERROR)


def test_the_privacy_audit_names_every_column_and_counts_its_values(frame: MakeFrame) -> None:
    none = judge(frame, "machine_learning_curated", "no_direct_identifiers", {"rows": [pair("A")]})
    assert said(none) == (
        "No direct identifier, and nothing like an e-mail address.",
        {"columns with personal data": "none"},
    )
    rows = [pair("ann@x.org"), pair("bob@x.org"), pair("C")]
    some = judge(frame, "machine_learning_curated", "no_direct_identifiers", {"rows": rows})
    assert said(some) == (
        "Personal data in: serialnumber.",
        {"columns with personal data": "serialnumber", "serialnumber": 2},
    )


def test_columns_with_personal_data_are_named_in_order(spark: SparkSession) -> None:
    audit = audit_of("machine_learning_curated", "no_direct_identifiers")
    rows = spark.createDataFrame([("a@x.org", "b@x.org")], "user string, serialnumber string")
    numbers = measure_all([audit], lambda one: one.query(rows=rows))[audit.name]
    assert audit.judge(numbers, Facts()).sentence == "Personal data in: serialnumber, user."


def test_a_table_without_texts_has_nothing_that_looks_like_an_address(spark: SparkSession) -> None:
    audit = audit_of("machine_learning_curated", "no_direct_identifiers")
    numbers = measure_all([audit], lambda one: one.query(rows=spark.range(1)))
    assert audit.judge(numbers[audit.name], Facts()).passed


def test_the_audit_of_required_columns_names_them_and_counts_the_nulls(frame: MakeFrame) -> None:
    full = judge(frame, "customer_trusted", "required_columns_filled", {"rows": [ANN]})
    required = {"required columns": "email, serialnumber, lastupdatedate"}
    promised = audit_of("customer_trusted", "required_columns_filled").description
    assert promised == "No null in a required column (email, serialnumber, lastupdatedate)."
    assert said(full) == ("No null in a required column.", required)
    rows = [ANN, {**ANN, "email": None}, {**ANN, "email": None, "serialnumber": None}]
    nulls = judge(frame, "customer_trusted", "required_columns_filled", {"rows": rows})
    assert said(nulls) == ("Nulls in: email, serialnumber.", {**required, "email": 2, "serialnumber": 1})


def test_a_caution_says_what_it_found_and_how_much(frame: MakeFrame) -> None:
    shared = [customer("ann@x", "A"), customer("bob@x", "A")]
    warned = judge(frame, "step_trainer_trusted", "shared_serial_numbers", {"customer_landing": shared})
    what = "serial numbers are held by several customers"
    assert (said(warned), warned.severity) == ((f"1 {what}.", {what: 1}), WARN)
    none = judge(frame, "step_trainer_trusted", "shared_serial_numbers", {"customer_landing": [ANN]})
    assert said(none) == (f"0 {what}.", {what: 0})


def test_an_account_names_every_rule_and_its_rows(frame: MakeFrame) -> None:
    world, published, left_out = LEDGERS["customer_trusted"]
    balanced = judge(frame, "customer_trusted", "rows_accounted_for", world, Facts(7, published))
    beginning = (
        "7 rows in = 2 kept; 3 left out: not the customer's latest record; 2 left out: the customer has not consented. "
    )
    numbers = {"rows in": 7, "rows kept": 2, **left_out}

    assert said(balanced) == (beginning + "They became 2 rows.", {**numbers, "rows published": 2})
    lost = judge(frame, "customer_trusted", "rows_accounted_for", world, Facts(7, 1))
    sentence = beginning + "They became 2 rows, but 1 are here: rows were lost or invented."
    assert said(lost) == (sentence, {**numbers, "rows published": 1})


def test_a_share_says_what_it_is_made_of_and_what_was_expected(frame: MakeFrame) -> None:
    world = {**MATCHING, "accelerometer_trusted": MATCHING["accelerometer_trusted"][:4]}
    low = judge(frame, "machine_learning_curated", "distances_matched", world)
    assert said(low) == (
        "4 of 10 (40.0%); expected at least 50%.",
        {"share": 0.4, "covered": 4, "of": 10, "warns below": 0.5},
    )
    per_match = judge(frame, "machine_learning_curated", "readings_per_match", MATCHING)
    assert said(per_match) == (
        "1.00 accelerometer readings per matched distance reading; expected at most 10.",
        {"readings per match": 1.0, "distance readings matched": 10},
    )
