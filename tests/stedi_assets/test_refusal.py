"""What is seen after a refusal: the records that were refused, and that what is served is served as before."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from stedi_assets.contracts import TABLES
from tests.stedi_assets.examples import READINGS, Row, as_delivered, deliver_all
from tests.support import Outcome, Stedi

TRAINING = "machine_learning_curated"


@pytest.fixture
def served(stedi: Stedi) -> Stedi:
    deliver_all(stedi)
    assert stedi.materialize().success
    return stedi


def renamed(rows: list[Row]) -> list[Row]:
    return [{**row, "who": row["user"]} | {"user": None} for row in as_delivered("accelerometer", rows)]


def test_refused_records_can_be_looked_at_until_the_feed_is_mended(served: Stedi) -> None:
    """Who met it: "all of them were refused, and they are nowhere to be seen"."""
    served.deliver("accelerometer", renamed(READINGS))
    outcome = served.materialize()
    path = Path(outcome.metadata("accelerometer_records")["refused records"])
    assert f"Those records: {path}." in outcome.failure
    refused = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(refused) == len(READINGS)
    assert {(one["file"], one["reason"]) for one in refused} == {("1.json", "user is missing")}
    assert {json.loads(one["text"])["who"] for one in refused} == {row["user"] for row in READINGS}
    deliver_all(served)
    assert served.materialize().success
    assert not path.exists()


@pytest.fixture
def stopped(served: Stedi) -> tuple[Stedi, Outcome]:
    """A lakehouse where a run stopped at accelerometer_trusted, and made nothing of what depends on it."""
    strangers = [{**row, "user": f"nobody.{row['user']}"} for row in READINGS]
    served.deliver("accelerometer", as_delivered("accelerometer", strangers))
    outcome = served.materialize()
    assert "accelerometer_trusted was not published" in outcome.failure
    assert TRAINING not in outcome.materialized
    return served, outcome


def test_checks_that_never_ran_keep_what_they_found_of_the_version_that_is_served(
    stopped: tuple[Stedi, Outcome],
) -> None:
    """Who met it: "the training table is served as before, and has nine red checks, none of which has run"."""
    stedi, outcome = stopped
    before = {}
    newest = {}
    for name in {name for asset, name in outcome.checks if asset == TRAINING}:
        key = dg.AssetCheckKey(dg.AssetKey(TRAINING), name)
        history = stedi.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
        newest[name], before[name] = (one.evaluation for one in history)
    assert len(newest) > 8
    assert newest["no_direct_identifiers"].passed
    for name, found in newest.items():
        earlier = before[name]
        assert (found.passed, found.severity) == (earlier.passed, earlier.severity)
        assert found.target_materialization_data == earlier.target_materialization_data is not None
        assert found.description == earlier.description
        assert found.metadata["not run"].value == "accelerometer_trusted was not made"
        assert str(stedi.lakehouse.version(TRAINING).snapshot_id) in found.metadata["served"].value


def test_the_page_says_which_version_is_served_and_since_when(stopped: tuple[Stedi, Outcome]) -> None:
    stedi, _ = stopped
    for name in ("accelerometer_trusted", "customers_curated", "step_trainer_trusted", TRAINING):
        (record,) = stedi.instance.fetch_observations(dg.AssetKey(name), limit=9).records
        assert record.asset_observation is not None
        shown = {key: value.value for key, value in record.asset_observation.metadata.items()}
        version = stedi.lakehouse.version(name)
        assert version is not None
        assert shown["served"] == f"{version.rows:,} rows, snapshot {version.snapshot_id}"
        assert shown["served since"] == version.committed_ms / 1000
        assert shown["not made"]
    made = set(TABLES) - {"accelerometer_trusted", "customers_curated", "step_trainer_trusted", TRAINING}
    assert not any(stedi.instance.fetch_observations(dg.AssetKey(name), limit=1).records for name in made)
