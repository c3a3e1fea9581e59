"""The pipeline with one rule broken: an audit notices, and what came of it is not published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stedi_assets.contracts import FEEDS
from stedi_assets.ingestion import parse as reader
from stedi_assets.rules import Consent
from tests.stedi_assets.accidents import accident
from tests.stedi_assets.examples import deliver_all
from tests.stedi_assets.mutations import (
    ADDRESS_KEPT,
    BROKEN,
    BROKEN_READERS,
    DROPPED,
    LOST_ONE,
    NO_CONSENT_FILTER,
    REVERSED,
    SKIPPED,
    TIMESTAMP_ONLY,
    Broken,
)
from tests.stedi_assets.runs import ASSETS, changed, data_folders, failed, run
from tests.support import Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def sound(folder: Path, consent: Consent) -> Stedi:
    """A lakehouse in which everything is published as it should be, quarantined records among it."""
    made = Stedi(folder, {"STEDI_CONSENT": consent.value, "STEDI_QUARANTINE_LIMIT": "1"})
    deliver_all(made)
    for feed in FEEDS:
        made.deliver(feed.name, "no JSON\n{}\n", name="2.json")
    assert made.materialize().success
    return made


@pytest.fixture(scope="module")
def lakehouses(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> dict[Consent, Stedi]:
    """One for each consent rule: a table is never made from tables of another rule."""
    return {consent: sound(tmp_path_factory.mktemp(f"sound-{consent}"), consent) for consent in Consent}


@pytest.mark.parametrize("rule", BROKEN, ids=str)
def test_a_table_whose_rule_is_broken_is_caught_and_not_published(
    lakehouses: dict[Consent, Stedi], rule: Broken
) -> None:
    stedi = lakehouses[rule.consent]
    before = stedi.lakehouse.version(rule.table), data_folders(stedi, rule.table)
    outcome = run(stedi, [rule.mutant], rule.consent)
    assert not outcome.success
    assert failed(outcome) == rule.caught_by
    assert outcome.failure.startswith(f"{rule.table} was not published, the previous version is still served.")
    assert all(f"{name}: " in outcome.failure for name in rule.caught_by)
    assert outcome.materialized == set()
    assert (stedi.lakehouse.version(rule.table), data_folders(stedi, rule.table)) == before


@pytest.mark.parametrize("rule", BROKEN_READERS, ids=str)
def test_a_landing_table_whose_reader_is_broken_is_caught_and_not_published(
    lakehouses: dict[Consent, Stedi], rule: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = lakehouses[Consent.CUSTOMER]
    stedi = replace(sound, environment={**sound.environment, "STEDI_QUARANTINE_LIMIT": rule.quarantine_limit})
    feed = next(one for one in FEEDS if one.landing.name == rule.table)
    stedi.deliver(feed.name, json.dumps({"news": rule.rule}), name="3.json")  # what was read before is not read again
    before = stedi.lakehouse.version(feed.records.name), data_folders(stedi, feed.records.name)
    monkeypatch.setattr(reader, "type_records", rule.function)
    outcome = stedi.materialize(rule.table)
    assert not outcome.success
    assert failed(outcome) == rule.caught_by
    assert outcome.failure.startswith(f"{rule.table} was not published, the previous version is still served.")
    assert outcome.materialized == set()
    assert (stedi.lakehouse.version(feed.records.name), data_folders(stedi, feed.records.name)) == before


@pytest.mark.parametrize("table", ASSETS)
def test_the_table_as_it_should_be_is_published(lakehouses: dict[Consent, Stedi], table: str) -> None:
    stedi = lakehouses[Consent.CUSTOMER]
    untouched = changed(table, function=accident(table, lambda rows, chosen: rows))
    before = stedi.rows(table)
    assert run(stedi, [untouched]).materialized == {table}
    assert stedi.rows(table) == before


def test_every_rule_that_matters_is_broken_in_every_table_that_has_it() -> None:
    broken: dict[str, set[str]] = {}
    for one in (*BROKEN, *BROKEN_READERS):
        broken.setdefault(one.rule, set()).add(one.table)
    landing = {feed.landing.name for feed in FEEDS}
    consented = {name for name in ASSETS if not name.endswith("_quarantine")}
    assert broken[NO_CONSENT_FILTER] == broken[REVERSED] == consented
    assert broken[TIMESTAMP_ONLY] == broken[ADDRESS_KEPT] == {"machine_learning_curated"}
    assert broken[SKIPPED] == broken[DROPPED] == landing
    assert broken[LOST_ONE] == {*ASSETS, *landing}
