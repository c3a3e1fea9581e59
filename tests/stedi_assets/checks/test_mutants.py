"""The pipeline with one rule broken: a check notices, and what came of it is not published."""

from __future__ import annotations

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stedi_assets.checks import reconciliation as by
from stedi_assets.contracts import CUSTOMER, FEEDS
from stedi_assets.ingestion import parse
from stedi_assets.pipeline.reconciliation import dropped
from stedi_assets.rules import Consent
from tests.stedi_assets.checks.accidents import ACCIDENTS, Accident
from tests.stedi_assets.checks.mutant_readers import MUTANT_READERS, MutantReader
from tests.stedi_assets.checks.mutants import (
    ADDRESS_KEPT,
    ANY_DATE,
    MUTANTS,
    NO_CONSENT_FILTER,
    REVERSED,
    TIMESTAMP_ONLY,
    Mutant,
)
from tests.stedi_assets.checks.worlds import ERROR, GivenTables, Published, evaluated, in_memory
from tests.stedi_assets.examples import deliver_all
from tests.stedi_assets.runs import ASSETS, changed, data_folders, failed, run
from tests.support import Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Sound = tuple[Stedi, GivenTables]

LATE = {by.BEFORE_CONSENT: 1}
DROPPED: dict[str, dict[str, dict[str, int]]] = {
    Consent.CUSTOMER: {
        "customer_trusted": {by.NOT_LATEST: 3, by.NO_CONSENT: 2},
        "accelerometer_trusted": {by.NO_CONSENT: 2, by.UNKNOWN_USER: 1},
        "customers_curated": {by.NO_READINGS: 1},
        "step_trainer_trusted": {
            by.UNKNOWN_SERIAL: 2,
            by.HOLDER_WITHOUT_CONSENT: 2,
            by.HOLDERS_WITHOUT_READINGS: 1,
        },
        "machine_learning_curated": {by.SEVERAL_HOLDERS: 1},
    }
}
OF_DATED = {name: DROPPED[Consent.CUSTOMER][name] | LATE for name in ("accelerometer_trusted", "step_trainer_trusted")}
DROPPED[Consent.AS_OF_DATE] = DROPPED[Consent.CUSTOMER] | OF_DATED


def sound(folder: Path, consent: Consent) -> Sound:
    """A lakehouse in which everything is published as it should be, quarantined records among it."""
    stedi = Stedi(folder, {"STEDI_CONSENT": consent.value, "STEDI_QUARANTINE_LIMIT": "1"})
    deliver_all(stedi)
    for feed in FEEDS:
        stedi.deliver(feed.name, "no JSON\n{}\n", name="2.json")
    assert stedi.materialize().success
    inputs = stedi.inputs
    return stedi, GivenTables(inputs.spark, inputs.lakehouse, inputs.options)


@pytest.fixture(scope="module")
def lakehouses(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> dict[Consent, Sound]:
    """One for each consent rule: a table is never made from tables of another rule."""
    return {consent: sound(tmp_path_factory.mktemp(f"sound-{consent}"), consent) for consent in Consent}


def test_the_tables_as_they_should_be_pass_and_every_row_that_is_dropped_is_counted_under_its_rule(
    lakehouses: dict[Consent, Sound],
) -> None:
    for consent, (_, tables) in lakehouses.items():
        for name, table in ASSETS.items():
            same = replace(tables, given={name: in_memory(tables.bind(table.function))})
            evaluation = evaluated([table], same)[name]
            assert evaluation.stops == []
            assert dropped(evaluation.numbers["rows_reconciled"]) == DROPPED[consent][name]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_table_whose_rule_is_broken_is_caught(lakehouses: dict[Consent, Sound], mutant: Mutant) -> None:
    _, tables = lakehouses[mutant.consent]
    given = replace(tables, given={mutant.table: in_memory(mutant.rows(Published(tables)))})
    stops = evaluated([mutant.checked], given)[mutant.table].stops
    assert {sentence.partition(": ")[0] for sentence in stops} == mutant.caught_by


@pytest.mark.parametrize("accident", ACCIDENTS, ids=str)
def test_a_table_to_which_something_happens_is_caught_and_not_published(
    lakehouses: dict[Consent, Sound], accident: Accident
) -> None:
    stedi, _ = lakehouses[Consent.CUSTOMER]
    before = stedi.lakehouse.version(accident.table), data_folders(stedi, accident.table)
    outcome = run(stedi, [changed(accident.table, function=accident.function)])
    assert failed(outcome) == accident.caught_by
    assert outcome.failure.startswith(f"{accident.table} was not published, the previous version is still served.")
    assert all(f"{name}: " in outcome.failure for name in accident.caught_by)
    assert outcome.materialized == set()
    assert (stedi.lakehouse.version(accident.table), data_folders(stedi, accident.table)) == before


@pytest.mark.parametrize("mutant", MUTANT_READERS, ids=str)
def test_a_feed_whose_reader_is_broken_is_caught_and_neither_of_its_tables_is_published(
    lakehouses: dict[Consent, Sound], mutant: MutantReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, _ = lakehouses[Consent.CUSTOMER]
    stedi = replace(sound, environment={**sound.environment, "STEDI_QUARANTINE_LIMIT": mutant.quarantine_limit})
    stedi.deliver(CUSTOMER.name, json.dumps({"news": mutant.rule}), name="3.json")  # or nothing is read again
    tables = (CUSTOMER.records.name, CUSTOMER.quarantine.name)
    before = [(stedi.lakehouse.version(name), data_folders(stedi, name)) for name in tables]
    monkeypatch.setattr(parse, "type_records", mutant.function)
    outcome = stedi.materialize(CUSTOMER.landing.name, *tables)
    assert {key for key, one in outcome.checks.items() if not one.passed and one.severity is ERROR} == mutant.caught_by
    for table in {table for table, _ in mutant.caught_by}:
        assert f"{table} was not published, the previous version is still served." in outcome.failure
    assert outcome.materialized == {CUSTOMER.landing.name}
    assert [(stedi.lakehouse.version(name), data_folders(stedi, name)) for name in tables] == before


def test_every_rule_that_matters_is_broken_in_every_table_that_has_it() -> None:
    broken: dict[str, set[str]] = {}
    for one in MUTANTS:
        broken.setdefault(one.rule, set()).add(one.table)
    assert broken[NO_CONSENT_FILTER] == broken[REVERSED] == ASSETS.keys()
    assert broken[ANY_DATE] == {
        name for name, table in ASSETS.items() if "consent" in signature(table.function).parameters
    }
    assert broken[TIMESTAMP_ONLY] == broken[ADDRESS_KEPT] == {"machine_learning_curated"}
