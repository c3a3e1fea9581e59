"""Taking a delivery, as one Dagster run after another sees it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import threading
from logging import WARNING
from pathlib import Path

import pytest

from resources.files.landing_zone import LandingZone
from resources.files.manifest import SyncResult
from sample.feeds import write_feeds
from stedi_assets.contracts import TABLES
from tests.resources.files.zones import another_holds
from tests.stedi_assets.examples import deliver_all
from tests.support import Stedi

READING = {"user": "ada@example.com", "timestamp": 1655564376361, "x": 1.0, "y": -0.5, "z": 0.25}
LANDING = "accelerometer_landing"


def test_a_file_that_cannot_be_read_is_an_error_and_does_not_stop_the_others(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.deliver("accelerometer", gzip.compress(json.dumps(READING).encode())[:-6], "2.json.gz")
    outcome = stedi.materialize(LANDING)
    check = outcome.checks[LANDING, "files_as_expected"]
    assert outcome.materialized == {LANDING}
    assert not check.passed
    assert check.severity.value == "ERROR"
    assert "2.json.gz cannot be read" in str(check.description)
    warnings = [
        entry.user_message for entry in stedi.instance.all_logs(outcome.result.run_id) if entry.level == WARNING
    ]
    assert any("not everything was brought: 2.json.gz" in warning for warning in warnings)


def test_the_same_delivery_compressed_counts_once(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.deliver("accelerometer", gzip.compress((json.dumps(READING) + "\n").encode()), "2.json.gz")
    outcome = stedi.materialize(LANDING)
    assert outcome.metadata(LANDING)["dagster/row_count"] == 1
    assert "2.json.gz has the content of 1.json" in str(outcome.checks[LANDING, "files_as_expected"].description)


def test_one_long_line_of_many_objects_is_read_completely(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", "[" + ", ".join([json.dumps(READING)] * 500) + "]")
    assert stedi.materialize(LANDING).metadata(LANDING)["dagster/row_count"] == 500


def test_a_feed_that_changed_its_shape_is_not_published_and_the_sentence_says_why(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 9)
    assert stedi.materialize(LANDING).success
    stedi.deliver("accelerometer", [{**READING, "moment": READING["timestamp"], "timestamp": None}] * 9, "2.json")
    outcome = stedi.materialize(LANDING)
    assert not outcome.success
    assert outcome.materialized == set()
    assert "the previous version is still served" in outcome.failure
    assert "50.0% of 18 records quarantined" in outcome.failure
    assert "timestamp is missing (9)" in outcome.failure
    assert len(stedi.rows(LANDING)) == 9


def test_a_field_that_was_renamed_is_named_with_its_new_name_and_a_file_that_has_it(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 9)
    renamed = {("moment" if name == "timestamp" else name): value for name, value in READING.items()}
    stedi.deliver("accelerometer", [renamed] * 9, "app 2.0.json")
    failure = stedi.materialize(LANDING).failure
    assert re.search(r"In app_2\.0-\w+\.json, for example, timestamp is missing\.", failure)
    assert "Fields that the feed has not had so far: moment (files: 1)." in failure
    assert "run again, or allow more with STEDI_QUARANTINE_LIMIT" in failure
    assert str(READING["user"]) not in failure


def test_a_new_field_is_ignored_and_reported(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.deliver("accelerometer", [{**READING, "w": 0.5, "device": {"model": "a"}}], "2.json")
    outcome = stedi.materialize(LANDING)
    check = outcome.checks[LANDING, "files_as_expected"]
    assert stedi.rows(LANDING) == [tuple(READING.values())] * 2
    assert (outcome.success, check.passed, check.severity.value) == (True, False, "WARN")
    assert "ignored: device (files: 1), w (files: 1)" in str(check.description)
    again = stedi.materialize(LANDING).checks[LANDING, "files_as_expected"]
    assert again.description == check.description


def test_the_name_of_a_field_tells_nobody_who_somebody_is(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [{**READING, "eve@example.com": 1, "+1 555 0100": 1, "plain": 1}])
    check = stedi.materialize(LANDING).checks[LANDING, "files_as_expected"]
    assert "ignored: plain (files: 1), and 2 more" in str(check.description)
    assert check.metadata["unknown fields"].value == 3


def test_an_older_name_of_a_field_is_no_news(stedi: Stedi) -> None:
    older = {("timeStamp" if name == "timestamp" else name): value for name, value in READING.items()}
    stedi.deliver("accelerometer", [READING, older])
    assert stedi.materialize(LANDING).checks[LANDING, "files_as_expected"].passed


def test_an_unchanged_delivery_is_held_to_a_limit_that_has_changed(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", "\n".join([json.dumps(READING)] * 99 + ["rubbish"]))
    assert stedi.materialize(LANDING).success
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "0"
    outcome = stedi.materialize(LANDING)
    assert outcome.materialized == set()
    assert "1.0% of 100 records quarantined" in outcome.failure


def test_records_that_something_removed_are_read_again(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 3)
    stedi.materialize(LANDING)
    for path in stedi.location("accelerometer_records").rglob("*.parquet"):
        path.unlink()
    assert stedi.materialize(LANDING).success
    assert len(stedi.rows(LANDING)) == 3


def test_a_run_waits_for_another_one_that_is_at_the_same_feed_and_says_so(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 3)
    with another_holds(stedi.folder / "lakehouse" / "landing" / ".accelerometer.lock") as other:
        killing = threading.Timer(1, other.kill)  # it would wait for the other one's end, whatever that is
        killing.start()
        outcome = stedi.materialize(LANDING)
        assert other.poll() is not None
    said = " ".join(record.user_message for record in stedi.instance.all_logs(outcome.result.run_id))
    assert outcome.success
    assert "accelerometer_landing: waiting for another run that is at the same feed" in said
    assert len(stedi.rows(LANDING)) == 3


@pytest.fixture
def sampled(stedi: Stedi) -> Stedi:
    write_feeds(stedi.folder / "sample", customers=30)
    stedi.environment["STEDI_SOURCE"] = str(stedi.folder / "sample")
    return stedi


def test_another_source_starts_the_landing_zone_anew_and_says_so(sampled: Stedi) -> None:
    assert sampled.materialize().success
    other = Stedi(sampled.folder, {}, sampled.instance)
    other.deliver("accelerometer", [READING])
    outcome = other.materialize(LANDING)
    assert other.rows(LANDING) == [tuple(READING.values())]
    assert "STEDI_SOURCE names another source now" in str(outcome.checks[LANDING, "files_as_expected"].description)


def test_a_table_is_not_made_from_tables_of_another_consent_rule(sampled: Stedi) -> None:
    assert sampled.materialize().success
    sampled.environment["STEDI_CONSENT"] = "as-of-date"
    outcome = sampled.materialize("customers_curated")
    assert not outcome.success
    assert "was made under STEDI_CONSENT=customer, and this run asks for as-of-date" in outcome.failure
    assert sampled.materialize(*TABLES).success


def test_the_second_delivery_is_what_the_page_of_the_asset_shows(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.materialize(LANDING)
    stedi.deliver("accelerometer", [{**READING, "x": number} for number in (7.0, 8.0, 9.0)], "2.json")
    shown = stedi.materialize(LANDING).metadata(LANDING)["preview"]
    assert sorted(record.data["x"] for record in shown.records) == [1.0, 7.0, 8.0, 9.0]


def test_a_file_that_another_run_takes_away_meanwhile_is_missed_and_nothing_is_published(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines may bring one feed to one bucket; engines take a missing file for an empty one."""
    stedi.deliver("accelerometer", [READING])
    stedi.deliver("accelerometer", [{**READING, "x": 7.0}], "2.json")
    sync = LandingZone.sync

    def disturbed(zone: LandingZone, feed: str) -> SyncResult:
        landing = sync(zone, feed)
        (Path(zone.root) / LANDING / "2.json").unlink()
        return landing

    with monkeypatch.context() as during:
        during.setattr(LandingZone, "sync", disturbed)
        outcome = stedi.materialize(LANDING)
    assert "2.json among them: another run is syncing the same feed" in outcome.failure
    assert outcome.materialized == set()
    assert stedi.materialize(LANDING).metadata(LANDING)["dagster/row_count"] == 2


def test_a_bad_file_that_the_source_has_no_more_is_told_with_how_to_take_it_back(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 9)
    bad = stedi.deliver("accelerometer", [{**READING, "timestamp": None}] * 9, "2.json")
    assert "take it back" not in stedi.materialize(LANDING).failure
    bad.unlink()
    failure = stedi.materialize(LANDING).failure
    assert "The source has it no more: to take it back, remove it from file:///" in failure
    (Path(stedi.lakehouse.root) / LANDING / "2.json").unlink()
    assert stedi.materialize(LANDING).metadata(LANDING)["dagster/row_count"] == 9


def test_tables_are_never_made_from_feeds_of_two_sources(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    shutil.copytree(stedi.source, stedi.folder / "elsewhere")
    stedi.environment["STEDI_SOURCE"] = str(stedi.folder / "elsewhere")
    outcome = stedi.materialize("customer_landing", "customer_trusted", "accelerometer_trusted")
    assert outcome.materialized == {"customer_landing", "customer_trusted"}
    assert "Feeds of two sources never mix: " in outcome.failure
    assert f"accelerometer_landing of {stedi.folder}" in outcome.failure
    assert stedi.materialize().success
