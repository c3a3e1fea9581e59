"""All tables together, for feeds that nobody thought of: held to the plain-Python statement of the rules."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import Zone
from stedi_assets.definitions import LAKEHOUSE_TABLES
from stedi_assets.pipeline import publish as publishing
from stedi_assets.pipeline.checks import Audit, Facts
from stedi_assets.rules import Consent
from stedi_assets.trusted import customer_trusted
from tests.oracle import expected_tables
from tests.stedi_assets.examples import Row, T, as_delivered, customer, distance, reading
from tests.support import MakeFrame, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Feeds = dict[str, list[Row]]
Tables = dict[str, list[tuple[Any, ...]]]

# Few people, devices and moments, so that they meet: conflicts, ties and sharing are the rule here, not the exception.
PEOPLE = ("ann@x.org", "bob@x.org", "cleo@x.org")
EMAILS = st.sampled_from(PEOPLE).flatmap(lambda email: st.sampled_from([email, email, email.upper(), f" {email} "]))
SERIALS = st.sampled_from(["A", "B", "C", "a"])
MOMENTS = st.integers(1, 4)
TAKEN = st.integers(1, 3)
CONSENTS = st.sampled_from([None, 0, -1, *[1, 2, 3] * 4])
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


def many(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[list[Row]]:
    """Mostly enough rows for them to meet, now and then few or none."""
    sizes = st.sampled_from([(6, 10)] * 9 + [(0, 2)])
    return sizes.flatmap(lambda size: st.lists(rows, min_size=size[0], max_size=size[1]))


FEEDS = st.fixed_dictionaries(
    {
        "customer_landing": many(RECORDS),
        "accelerometer_landing": many(st.builds(reading, USERS, TAKEN, AXIS, AXIS)),
        "step_trainer_landing": many(st.builds(distance, SERIALS, TAKEN, st.integers(0, 2))),
    }
)

# The examples are small as they are: shrinking one further would take minutes of queries.
QUICKLY = partial(settings, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate))

TRUSTED_AND_CURATED = [table for table in LAKEHOUSE_TABLES if table.contract.zone is not Zone.LANDING]


def make_all(frame: MakeFrame, feeds: Feeds, consent: Consent) -> Tables:
    """Every table's rows: the functions called in order, each upon what the ones before it gave, and audited."""
    frames = {name: frame(name, rows) for name, rows in feeds.items()}
    made: Tables = {}
    for table in TRUSTED_AND_CURATED:
        computed = call(table.function, frames, consent)
        made[table.name] = [tuple(row) for row in computed.collect()]
        rows = [dict(zip(computed.columns, row, strict=True)) for row in made[table.name]]
        frames[table.name] = frame(table.contract, rows)
        # How much of feeds as small as these joins says nothing: the shares may be nought, as with empty inputs.
        facts = Facts(rows_of(feeds, made, table.inputs[0]), len(rows), an_input_is_empty=True)
        bind = partial(query_of, known=dict(frames), consent=consent)
        outcome = publishing.audit(table.contract, table.audits, frames[table.name], computed.dtypes, facts, bind)
        assert outcome.broken == []
    return made


def rows_of(feeds: Feeds, made: Tables, table: str) -> int:
    return len(feeds[table]) if table in feeds else len(made[table])


def call(function: Callable[..., DataFrame], known: Mapping[str, DataFrame], consent: Consent) -> DataFrame:
    arguments: dict[str, Any] = {**known, "consent": consent}
    return function(**{name: arguments[name] for name in inspect.signature(function).parameters})


def query_of(one: Audit, rows: DataFrame, known: Mapping[str, DataFrame], consent: Consent) -> DataFrame:
    return call(one.query, {**known, "rows": rows}, consent)


@pytest.mark.parametrize("consent", list(Consent))
@given(feeds=FEEDS)
@QUICKLY(max_examples=24)
def test_for_any_feeds_every_table_has_the_rows_that_the_rules_say_and_every_account_balances(
    frame: MakeFrame, consent: Consent, feeds: Feeds
) -> None:
    expected = expected_tables(
        feeds["customer_landing"], feeds["accelerometer_landing"], feeds["step_trainer_landing"], consent.value
    )
    made = make_all(frame, feeds, consent)
    assert {table: Counter(rows) for table, rows in made.items()} == {
        table: Counter(rows) for table, rows in expected.items()
    }


@given(records=st.lists(RECORDS.map(lambda record: {**record, "lastupdatedate": 1}), min_size=2, max_size=8))
@QUICKLY(max_examples=60)
def test_of_records_of_the_same_moment_the_same_one_decides_in_whatever_order_they_come(
    frame: MakeFrame, records: list[Row]
) -> None:
    expected = Counter(expected_tables(records, [], [], "customer")["customer_trusted"])
    for order in (records, records[::-1]):
        trusted = customer_trusted(frame("customer_landing", order))
        assert Counter(tuple(row) for row in trusted.collect()) == expected


# The same through files ---------------------------------------------------------------------------------------


def random_feeds(seed: int) -> Feeds:
    """Feeds as the strategies above draw them, larger, and of moments that the landing zone accepts."""
    dice = random.Random(seed)

    def someone() -> str:
        return dice.choice([f"c{dice.randrange(12)}@x.org", f" C{dice.randrange(12)}@X.org"])

    def moment() -> int:
        return T + dice.randrange(6)

    return {
        "customer": [
            customer(
                someone(), f"S{dice.randrange(14)}", updated=moment(), consent=dice.choice([None, 0, *[moment()] * 6])
            )
            for _ in range(60)
        ],
        "accelerometer": [reading(someone(), moment(), round(dice.uniform(-2, 2), 3)) for _ in range(300)],
        "step_trainer": [distance(f"S{dice.randrange(16)}", moment(), dice.randrange(99)) for _ in range(300)],
    }


@pytest.mark.parametrize("consent", list(Consent))
def test_a_file_that_is_delivered_twice_counts_once(stedi: Stedi, consent: Consent) -> None:
    stedi.environment["STEDI_CONSENT"] = consent.value
    feeds = random_feeds(seed=7)
    # Blanks around a text are no part of it.
    read = [
        [{name: value.strip() if isinstance(value, str) else value for name, value in row.items()} for row in rows]
        for rows in (feeds["customer"], feeds["accelerometer"], feeds["step_trainer"])
    ]
    expected = expected_tables(*read, consent.value)
    assert all(expected.values())
    for feed, rows in feeds.items():
        half = len(rows) // 2
        first = stedi.deliver(feed, as_delivered(feed, rows[:half]), "1.json").read_bytes()
        stedi.deliver(feed, as_delivered(feed, rows[half:]), "later/2.json")
        stedi.deliver(feed, first, "later/1 again.json")
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    assert {table: stedi.rows(table) for table in expected} == {
        table: sorted(rows, key=repr) for table, rows in expected.items()
    }
    twice = outcome.checks["customer_landing", "files_as_expected"]
    assert not twice.passed
    assert outcome.metadata("customer_landing")["files delivered twice"] == 1
