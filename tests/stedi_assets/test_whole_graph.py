"""All tables together, for feeds that nobody thought of: held to the plain-Python statement of the rules."""

from __future__ import annotations

import gzip
import inspect
import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.settings import Consent
from stedi_assets.auditing import Facts, measure_all
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, STEP_TRAINER, TABLES
from stedi_assets.definitions import LAKEHOUSE_TABLES
from tests.oracle import expected_tables
from tests.stedi_assets.examples import Row, T, as_delivered, customer, distance, reading
from tests.support import MakeFrame, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Feeds = dict[str, list[Row]]

# Few people, devices and moments, so that they meet: conflicts, ties and sharing are the rule here, not the exception.
PEOPLE = ("ann@x.org", "bob@x.org", "cleo@x.org")
EMAILS = st.sampled_from(PEOPLE).flatmap(lambda email: st.sampled_from([email, email, email.upper(), f" {email} "]))
SERIALS = st.sampled_from(["A", "B", "C", "a"])
MOMENTS = st.integers(1, 4)
CONSENTS = st.sampled_from([None, 0, -1, 1, 2, 2, 3, 4])
FREE_TEXT = st.sampled_from([None, "", "a", "B", "ä", "1399-01-01"])

RECORDS = st.builds(
    customer,
    EMAILS,
    SERIALS,
    updated=MOMENTS,
    consent=CONSENTS,
    customername=FREE_TEXT,
    phone=FREE_TEXT,
    birthday=FREE_TEXT,
    registrationdate=st.one_of(st.none(), MOMENTS),
    sharewithpublicasofdate=CONSENTS,
    sharewithfriendsasofdate=CONSENTS,
)
AXIS = st.sampled_from([0.0, -0.5, 1.25])
USERS = st.one_of(EMAILS, EMAILS, st.just("nobody@x.org"))
FEEDS = st.fixed_dictionaries(
    {
        "customer_landing": st.lists(RECORDS, max_size=8),
        "accelerometer_landing": st.lists(st.builds(reading, USERS, MOMENTS, AXIS, AXIS), max_size=8),
        "step_trainer_landing": st.lists(st.builds(distance, SERIALS, MOMENTS, st.integers(0, 2)), max_size=8),
    }
)

TRUSTED_AND_CURATED = [table for table in LAKEHOUSE_TABLES if table.account]


def make_all(frame: MakeFrame, feeds: Feeds, consent: Consent) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows: the functions called in order, each upon what the ones before it gave."""
    frames = {name: frame(name, rows) for name, rows in feeds.items()}
    made: dict[str, list[tuple[Any, ...]]] = {}
    for table in TRUSTED_AND_CURATED:
        computed = call(table.function, frames, consent)
        assert computed.dtypes == [(column.name, column.type) for column in table.contract.columns]
        made[table.name] = [tuple(row) for row in computed.collect()]
        frames[table.name] = frame(
            table.contract, [dict(zip(computed.columns, row, strict=True)) for row in made[table.name]]
        )
    judge_all(frames, made, consent)
    return made


def call(function: Any, frames: Mapping[str, DataFrame], consent: Consent) -> DataFrame:
    known: dict[str, Any] = {**frames, "consent": consent}
    result: DataFrame = function(**{name: known[name] for name in inspect.signature(function).parameters})
    return result


def judge_all(frames: Mapping[str, DataFrame], made: Mapping[str, list[Any]], consent: Consent) -> None:
    """Every account balances, and no promise is broken. All are measured in one query, for speed."""
    audits = [
        (table, one)
        for table in TRUSTED_AND_CURATED
        for one in table.audits
        if one.name == "rows_accounted_for" or one.against_today or one.name == "only_latest_records"
    ]
    numbered = [with_name(one, f"{number}") for number, (_, one) in enumerate(audits)]
    rows = {one.name: frames[table.name] for one, (table, _) in zip(numbered, audits, strict=True)}
    numbers = measure_all(numbered, lambda one: call(one.query, {**frames, "rows": rows[one.name]}, consent))
    for one, (table, original) in zip(numbered, audits, strict=True):
        facts = Facts(frames_rows(frames, made, table.inputs[0]), len(made[table.name]))
        verdict = original.judge(numbers[one.name], facts)
        assert verdict.passed, f"{table.name}, {original.name}: {verdict.sentence}"
