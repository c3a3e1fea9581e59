"""The pipeline with one rule broken: a check notices, and what came of it is not published."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING

import pytest

from stedi_assets.checks import reconciliation as by
from stedi_assets.contracts import CUSTOMER, FEEDS
from stedi_assets.deliveries import DELIVERY_ACCEPTED
from stedi_assets.ingestion import parse
from stedi_assets.pipeline.reconciliation import dropped
from stedi_assets.rules import Consent
from tests.stedi_assets.checks.accidents import ACCIDENTS, Accident
from tests.stedi_assets.checks.mutant_readers import MUTANT_READERS, MutantReader
from tests.stedi_assets.checks.mutants import (
    ADDRESS_KEPT,
    ANY_DATE,
    DOUBT,
    MUTANTS,
    NO_CONSENT_FILTER,
    ONCE,
    REVERSED,
    TIMESTAMP_ONLY,
    Mutant,
)
from tests.stedi_assets.checks.worlds import ERROR, EVERY_TABLE, GivenTables, Published, evaluated, in_memory
from tests.stedi_assets.examples import DISTANCES, READINGS, as_delivered, deliver_all
from tests.stedi_assets.runs import ASSETS, changed, data_folders, failed, run
from tests.support import MakeFrame, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CHECKS = re.compile(rf"\b({'|'.join(check.name for table in EVERY_TABLE.values() for check in table.all_checks)}): ")
LATE = {by.BEFORE_CONSENT: 1}
DROPPED: dict[str, dict[str, dict[str, int]]] = {
    Consent.CUSTOMER: {
        "customer_trusted": {by.NOT_LATEST: 3, by.NO_CONSENT: 2},
        "accelerometer_trusted": {by.NO_CONSENT: 2, by.UNKNOWN_USER: 1, by.DELIVERED_AGAIN: 1},
        "customers_curated": {by.NO_READINGS: 1},
        "step_trainer_trusted": {
            by.UNKNOWN_SERIAL: 2,
            by.HOLDER_WITHOUT_CONSENT: 2,
            by.HOLDERS_WITHOUT_READINGS: 1,
            by.DELIVERED_AGAIN: 1,
        },
        "machine_learning_curated": {by.SEVERAL_HOLDERS: 1},
    }
}
OF_DATED = {name: DROPPED[Consent.CUSTOMER][name] | LATE for name in ("accelerometer_trusted", "step_trainer_trusted")}
DROPPED[Consent.AS_OF_DATE] = DROPPED[Consent.CUSTOMER] | OF_DATED


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Stedi:
    """A lakehouse in which all is published as it should be, of quarantined records and repeated readings too."""
    stedi = Stedi(tmp_path_factory.mktemp("sound"), {"STEDI_QUARANTINE_LIMIT": "1"})
    deliver_all(stedi)
    again = {"accelerometer": READINGS[2:3], "step_trainer": DISTANCES[2:3]}
    for feed in FEEDS:
        repeated = map(json.dumps, as_delivered(feed.name, again.get(feed.name, ())))
        stedi.deliver(feed.name, "\n".join(["no JSON", "{}", *repeated]), name="2.json")
    assert stedi.materialize().success
    return stedi


@pytest.fixture(scope="module")
def made(sound: Stedi) -> dict[Consent, GivenTables]:
    """The tables as they should be, under each consent rule, from the records of the sound lakehouse."""
    inputs = sound.inputs
    tables = {consent: GivenTables(inputs.spark, inputs.lakehouse, {"consent": consent}) for consent in Consent}
    for consent, so_far in tables.items():
        for name, table in ASSETS.items():
            given = {**so_far.given, name: in_memory(so_far.bind(table.function))}
            so_far = tables[consent] = replace(so_far, given=given)
    return tables


@pytest.mark.parametrize("consent", list(Consent))
def test_the_tables_as_they_should_be_pass_and_every_row_that_is_dropped_is_counted_under_its_rule(
    made: dict[Consent, GivenTables], consent: Consent
) -> None:
    for name, table in ASSETS.items():
        evaluation = evaluated([table], made[consent])[name]
        assert evaluation.stops == []
        assert dropped(evaluation.numbers["rows_reconciled"]) == DROPPED[consent][name]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_table_whose_rule_is_broken_is_caught(
    frame: MakeFrame, made: dict[Consent, GivenTables], mutant: Mutant
) -> None:
    tables = made[mutant.consent]
    given = {**tables.given, mutant.table: in_memory(mutant.rows(Published(tables)))}
    if mutant.unreadable:
        given |= {CUSTOMER.quarantine.name: frame(CUSTOMER.quarantine, [{"text": mutant.unreadable}])}
    stops = evaluated([mutant.checked], replace(tables, given=given))[mutant.table].stops
    assert {sentence.partition(": ")[0] for sentence in stops} == mutant.caught_by


@pytest.mark.parametrize("accident", ACCIDENTS, ids=str)
def test_a_table_to_which_something_happens_is_caught_and_not_published(sound: Stedi, accident: Accident) -> None:
    before = sound.lakehouse.version(accident.table), data_folders(sound, accident.table)
    outcome = run(sound, [changed(accident.table, function=accident.function)])
    assert failed(outcome) == accident.caught_by
    assert outcome.failure.startswith(f"{accident.table} was not published, the previous version is still served.")
    assert all(f"{name}: " in outcome.failure for name in accident.caught_by)
    assert outcome.materialized == set()
    assert (sound.lakehouse.version(accident.table), data_folders(sound, accident.table)) == before


@pytest.mark.parametrize("mutant", MUTANT_READERS, ids=str)
def test_a_feed_whose_reader_is_broken_is_caught_and_neither_of_its_tables_is_published(
    sound: Stedi, mutant: MutantReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    stedi = replace(
        sound,
        environment={**sound.environment, "STEDI_QUARANTINE_LIMIT": mutant.quarantine_limit, "STEDI_REBUILD": "1"},
    )
    stedi.deliver(CUSTOMER.name, json.dumps({"news": mutant.rule}), name="3.json")  # what is refused is news
    tables = (CUSTOMER.records.name, CUSTOMER.quarantine.name)
    before = [(stedi.lakehouse.version(name), data_folders(stedi, name)) for name in tables]
    monkeypatch.setattr(parse, "type_records", mutant.function)
    outcome = stedi.materialize(CUSTOMER.landing.name, *tables)
    # What is served is not what failed: its checks are those of the version before.
    red = {key for key, check in outcome.checks.items() if not check.passed and check.severity is ERROR}
    assert red == {(CUSTOMER.records.name, DELIVERY_ACCEPTED.name)}
    parts = re.split(r"(\w+) was not published, the previous version is still served\. ", outcome.failure)
    caught = {
        (table, name) for table, said in zip(parts[1::2], parts[2::2], strict=True) for name in re.findall(CHECKS, said)
    }
    assert caught == mutant.caught_by
    assert [(stedi.lakehouse.version(name), data_folders(stedi, name)) for name in tables] == before


def test_every_rule_that_matters_is_broken_in_every_table_that_has_it() -> None:
    broken: dict[str, set[str]] = {}
    for one in MUTANTS:
        broken.setdefault(one.rule, set()).add(one.table)
    assert broken[NO_CONSENT_FILTER] == broken[REVERSED] == broken[DOUBT] == ASSETS.keys()
    assert broken[ONCE] == {name for name, rules in DROPPED[Consent.CUSTOMER].items() if by.DELIVERED_AGAIN in rules}
    assert broken[ANY_DATE] == {
        name for name, table in ASSETS.items() if "consent" in signature(table.function).parameters
    }
    assert broken[TIMESTAMP_ONLY] == broken[ADDRESS_KEPT] == {"machine_learning_curated"}
