"""All tables together, for feeds that nobody thought of: held to the plain-Python statement of the rules."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stedi_assets.definitions import TRUSTED_AND_CURATED
from stedi_assets.pipeline.checks import Facts
from stedi_assets.pipeline.evaluation import evaluate
from stedi_assets.rules import Consent
from tests.oracle import expected_tables
from tests.stedi_assets.checks.worlds import measured
from tests.stedi_assets.examples import (
    CUSTOMERS,
    DISTANCES,
    READINGS,
    Row,
    T,
    as_delivered,
    customer,
    distance,
    reading,
)
from tests.support import MakeFrame, Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Feeds = dict[str, list[Row]]
Tables = dict[str, list[tuple[Any, ...]]]

FEED_NAMES = ("customer", "accelerometer", "step_trainer")

# Few people, devices and moments, so that they meet: conflicts, ties and sharing are the rule here, not the exception.
PEOPLE = ("ann@x.org", "bob@x.org", "cleo@x.org")
EMAILS = st.sampled_from(PEOPLE).flatmap(lambda email: st.sampled_from([email, email, email.upper(), f" {email} "]))
SERIALS = st.sampled_from(["A", "B", "C", "a"])
MOMENTS = st.integers(T + 1, T + 4)
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


def in_files(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[list[Row]]:
    """The rows as one of a few files delivered each: the same row in several files, and several times in one."""
    file = st.sampled_from(["1.json", "2.json", "later/1.json"])
    return many(st.builds(lambda row, file: {**row, "file": file}, rows, file))


def sent_again(readings: list[Row]) -> list[Row]:
    """With some of them once more, in another file, by an app that writes addresses otherwise."""
    return readings + [{**one, "user": one["user"].swapcase(), "file": "again.json"} for one in readings[:3]]


ADDRESSES = st.builds(
    lambda email, spelled: spelled(email),
    st.sampled_from([*PEOPLE, "nobody@x.org", "no address"]),
    st.sampled_from(
        [
            str,
            str.upper,
            " {} ".format,
            lambda one: one.replace("@", r"\u0040"),
            lambda one: rf"\u{ord(one[0]):04x}{one[1:]}",
        ]
    ),
)
SAID = st.one_of(
    st.sampled_from(["", '"lastUpdateDate": "soon", ', '"lastUpdateDate": 17, ']),
    st.builds(
        str.format,
        st.sampled_from(['"lastUpdateDate":{},', '"lastUpdateDate" : "{}", ', '"LASTUPDATEDATE": {}\n, ']),
        MOMENTS,
    ),
)
UNREADABLE = st.builds('{{"serialNumber": {}, {}"email":"{}", "phone'.format, SERIALS, SAID, ADDRESSES)

FEEDS = st.fixed_dictionaries(
    {
        "customer_records": in_files(RECORDS),
        "accelerometer_records": in_files(st.builds(reading, USERS, TAKEN, AXIS, AXIS)).map(sent_again),
        "step_trainer_records": in_files(st.builds(distance, SERIALS, TAKEN, st.integers(0, 2))),
        "customer_quarantine": st.lists(st.builds(lambda text: {"text": text}, UNREADABLE), max_size=2),
    }
)

# The examples are small as they are: shrinking one further would take minutes of queries.
QUICKLY = partial(settings, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate))


def make_all(frame: MakeFrame, feeds: Feeds, consent: Consent) -> Tables:
    """Every table's rows: the functions called in order, each upon what the ones before it gave, and checked."""
    frames = {name: frame(name, rows) for name, rows in feeds.items()}
    sizes = {name: len(rows) for name, rows in feeds.items()}
    made: Tables = {}
    for table in TRUSTED_AND_CURATED:
        computed = call(table.function, frames, consent)
        made[table.name] = [tuple(row) for row in computed.collect()]
        sizes[table.name] = len(made[table.name])
        frames[table.name] = frame(
            table.contract, [dict(zip(computed.columns, row, strict=True)) for row in made[table.name]]
        )
        known = {**frames, "rows": frames[table.name]}
        evaluation = evaluate(table.contract, computed.dtypes)
        numbers = measured(table.checks, known, consent)
        # How much of feeds as small as these joins says nothing: the shares may be nought, as with empty inputs.
        facts = Facts(sizes[table.inputs[0]], sizes[table.name], an_input_is_empty=True)
        evaluation.add_all(table.checks, table.name, numbers, facts)
        assert evaluation.stops == []
    return made


def call(function: Callable[..., DataFrame], known: Mapping[str, DataFrame], consent: Consent) -> DataFrame:
    arguments: dict[str, Any] = {**known, "consent": consent}
    return function(**{name: arguments[name] for name in inspect.signature(function).parameters})


@pytest.mark.parametrize("consent", list(Consent))
@given(feeds=FEEDS)
@QUICKLY(max_examples=16)
def test_for_any_feeds_every_table_has_the_rows_that_the_rules_say_and_its_checks_pass(
    frame: MakeFrame, consent: Consent, feeds: Feeds
) -> None:
    unreadable = [row["text"] for row in feeds["customer_quarantine"]]
    expected = expected_tables(*(feeds[f"{feed}_records"] for feed in FEED_NAMES), consent.value, unreadable)
    made = make_all(frame, feeds, consent)
    assert {table: Counter(rows) for table, rows in made.items()} == {
        table: Counter(rows) for table, rows in expected.items()
    }


# The same through files ---------------------------------------------------------------------------------------


def assert_tables(stedi: Stedi, outcome: Outcome, feeds: Feeds, consent: str) -> None:
    """The run made the tables that the rules say."""
    assert outcome.success, outcome.failure
    expected = expected_tables(*(feeds[feed] for feed in FEED_NAMES), consent)
    assert all(expected.values())
    assert {table: stedi.rows(table) for table in expected} == {
        table: sorted(rows, key=repr) for table, rows in expected.items()
    }


@pytest.mark.parametrize("consent", list(Consent))
def test_a_file_that_is_delivered_twice_counts_once(stedi: Stedi, consent: Consent) -> None:
    stedi.environment["STEDI_CONSENT"] = consent.value
    feeds: Feeds = {"customer": CUSTOMERS, "accelerometer": READINGS, "step_trainer": DISTANCES}
    for feed, rows in feeds.items():
        half = len(rows) // 2
        first = stedi.deliver(feed, as_delivered(feed, rows[:half]), "1.json").read_bytes()
        stedi.deliver(feed, as_delivered(feed, rows[half:]), "later/2.json")
        stedi.deliver(feed, first, "later/1 again.json")
    outcome = stedi.materialize()
    assert_tables(stedi, outcome, feeds, consent.value)
    assert not outcome.checks["customer_landing", "files_as_expected"].passed
    assert outcome.metadata("customer_landing")["files delivered twice"] == 1


HOSTILE_NAMES = [
    "1'; DROP TABLE customer_trusted; --.json",
    '2" OR "1"="1.json',
    "$(touch out)`touch out`.json",
    "${location} %s {0} \\n.json",
    "*?[a-z]{1,2}.json",
    "line\nbreak\ttab.json",
    "…/‮evil.json",
]
HOSTILE_VALUES = [
    "x'; DROP TABLE customer_trusted; --",
    '" OR 1=1',
    "`email`",
    "${location}",
    "../../x",
    "%s%n{0}",
    "a\\u0000b",
]


def test_names_and_values_that_look_like_statements_paths_or_patterns_are_only_names_and_values(stedi: Stedi) -> None:
    customers = [
        customer(f"{number}{text}@x.org", text, updated=T, consent=T) for number, text in enumerate(HOSTILE_VALUES)
    ]
    feeds: Feeds = {
        "customer": customers,
        "accelerometer": [reading(str(one["email"]), T + 1, 0.5) for one in customers],
        "step_trainer": [distance(text, T + 1, 3) for text in HOSTILE_VALUES],
    }
    for feed, rows in feeds.items():
        for name, row in zip(HOSTILE_NAMES, as_delivered(feed, rows), strict=True):
            stedi.deliver(feed, [{**row, "a`b': STRING, c": 1, "');--": {"${x}": []}}], name)
    assert_tables(stedi, stedi.materialize(), feeds, "customer")
    assert len(stedi.rows("machine_learning_curated")) == len(HOSTILE_VALUES)
    assert not list(stedi.folder.rglob("out"))
