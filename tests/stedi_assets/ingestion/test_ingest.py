"""A feed's files become its records and its quarantine, as one Dagster run after another sees it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from logging import WARNING
from pathlib import Path
from typing import Any

import pytest

from resources.errors import LakehouseError
from resources.files import copies
from resources.files.landing_zone import LandingZone
from resources.files.locks import lock
from resources.iceberg.lakehouse import Lakehouse
from sample.feeds import write_feeds
from tests.resources.files.zones import LISTS
from tests.stedi_assets.examples import deliver_all
from tests.support import Outcome, Stedi

READING = {"user": "ada@example.com", "timestamp": 1655564376361, "x": 1.0, "y": -0.5, "z": 0.25}
TYPED = tuple(READING.values())
LANDING, RECORDS, QUARANTINE = "accelerometer_landing", "accelerometer_records", "accelerometer_quarantine"


def ingest(stedi: Stedi) -> Outcome:
    return stedi.materialize(LANDING, RECORDS, QUARANTINE)


# Files --------------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_an_error_and_does_not_stop_the_others(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.deliver("accelerometer", gzip.compress(json.dumps(READING).encode())[:-6], "2.json.gz")
    outcome = ingest(stedi)
    check = outcome.checks[LANDING, "files_as_expected"]
    assert outcome.materialized == {LANDING, RECORDS, QUARANTINE}
    assert (check.passed, check.severity.value) == (False, "ERROR")
    assert "2.json.gz cannot be read" in str(check.description)
    logged = stedi.instance.all_logs(outcome.result.run_id)
    warnings = [entry.user_message for entry in logged if entry.level == WARNING]
    assert any("not everything was synced: 2.json.gz" in warning for warning in warnings)


def test_the_same_delivery_compressed_counts_once(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.deliver("accelerometer", gzip.compress((json.dumps(READING) + "\n").encode()), "2.json.gz")
    outcome = ingest(stedi)
    assert stedi.rows(RECORDS) == [(*TYPED, "1.json")]
    assert "2.json.gz has the content of 1.json" in str(outcome.checks[LANDING, "files_as_expected"].description)


@pytest.fixture(params=["embedded", "local"])
def on_each_engine(request: pytest.FixtureRequest, stedi: Stedi) -> Stedi:
    """An empty lakehouse whose tables that engine makes."""
    if request.param == "local":
        request.getfixturevalue("apache_spark")
    stedi.engine = request.param
    return stedi


def text_of(name: str, numbers: Iterable[float]) -> str:
    rows = [{**READING, "x": number, "y": number / 7, "z": number / 11} for number in numbers]
    return json.dumps(rows, indent=2) if "pretty" in name else "\n".join(["rubbish", *map(json.dumps, rows)])


@pytest.mark.slow
def test_every_record_names_the_landed_file_that_it_came_from(
    on_each_engine: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    stedi, expected = on_each_engine, set()
    monkeypatch.setattr(copies, "MANY", 3)
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    for name in ("plain.json", "zipped.json.gz", "pretty.json", "pretty_zipped.json.gz"):
        numbers = [at / 13 for at in range(len(expected), len(expected) + 4_001)]
        for kind, some in {"small": numbers[:1], "large": numbers[1:]}.items():  # the latter too large for a bundle
            text = text_of(name, some)
            stedi.deliver(
                "accelerometer", gzip.compress(text.encode()) if name.endswith(".gz") else text, f"{kind}_{name}"
            )
            expected |= {(f"{kind}_{name}", x) for x in some}
    outcome = ingest(stedi)
    assert outcome.success, outcome.failure
    assert {(row[-1], row[2]) for row in stedi.rows(RECORDS)} == expected
    assert [row[0] for row in stedi.rows(QUARANTINE)] == sorted(
        f"{kind}_{name}" for kind in ("large", "small") for name in ("plain.json", "zipped.json.gz")
    )
    beside = Path(stedi.lakehouse.root, "landing", "accelerometer")
    assert [path.name for path in beside.iterdir() if not path.name.endswith(LISTS)] == []


# A feed that changes ------------------------------------------------------------------------------------------------


def test_a_feed_that_changed_its_shape_is_not_published_and_the_sentence_says_why_and_what_to_do(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 9)
    assert ingest(stedi).success
    renamed = {("moment" if name == "timestamp" else name): value for name, value in READING.items()}
    late = stedi.deliver("accelerometer", [renamed] * 9, "app 2.0.json")
    outcome = ingest(stedi)
    assert not outcome.success
    assert "the previous version is still served" in outcome.failure
    assert "50.0% of 18 records quarantined" in outcome.failure
    assert "timestamp is missing (9)" in outcome.failure
    assert re.search(r"In app_2\.0-\w+\.json, for example, timestamp is missing\.", outcome.failure)
    assert "Fields that the feed has not had so far: moment (files: 1)." in outcome.failure
    assert "run again, or allow more with STEDI_QUARANTINE_LIMIT" in outcome.failure
    assert str(READING["user"]) not in outcome.failure
    assert len(stedi.rows(RECORDS)) == 9
    # A bad file that the source has no more is still landed, and the sentence says how to take it back.
    late.unlink()
    assert f"remove it from file://{stedi.folder}/lakehouse/{LANDING}/ too" in ingest(stedi).failure
    next((stedi.folder / "lakehouse" / LANDING).glob("app*")).unlink()
    assert ingest(stedi).metadata(RECORDS)["dagster/row_count"] == 9


def test_a_new_field_is_ignored_and_reported_and_an_older_name_of_one_is_no_news(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", json.dumps(READING).replace("timestamp", "timeStamp"))
    stedi.deliver("accelerometer", [{**READING, "w": 0.5, "device": {"model": "a"}}], "2.json")
    outcome = ingest(stedi)
    check = outcome.checks[LANDING, "files_as_expected"]
    assert stedi.rows(RECORDS) == [(*TYPED, "1.json"), (*TYPED, "2.json")]
    assert (outcome.success, check.passed, check.severity.value) == (True, False, "WARN")
    assert "ignored: device (files: 1), w (files: 1)" in str(check.description)
    again = stedi.materialize(LANDING).checks[LANDING, "files_as_expected"]
    assert again.description == check.description


def test_the_name_of_a_field_tells_nobody_who_somebody_is(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [{**READING, "eve@example.com": 1, "+1 555 0100": 1, "plain": 1}])
    check = stedi.materialize(LANDING).checks[LANDING, "files_as_expected"]
    assert "ignored: plain (files: 1), and 2 more" in str(check.description)
    assert check.metadata["unknown fields"].value == 3


# What is made again -------------------------------------------------------------------------------------------------


def test_an_unchanged_delivery_is_held_to_a_limit_that_has_changed(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", "\n".join([json.dumps(READING)] * 99 + ["rubbish"]))
    assert ingest(stedi).success
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "0"
    outcome = ingest(stedi)
    assert not outcome.success
    assert "1.0% of 100 records quarantined" in outcome.failure


@pytest.mark.parametrize("table", [RECORDS, QUARANTINE])
def test_records_that_something_removed_are_read_again(stedi: Stedi, table: str) -> None:
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    stedi.deliver("accelerometer", "\n".join([json.dumps(READING)] * 3 + ["rubbish"]))
    ingest(stedi)
    for path in stedi.location(table).rglob("*.parquet"):
        path.unlink()
    assert ingest(stedi).success
    assert (len(stedi.rows(RECORDS)), len(stedi.rows(QUARANTINE))) == (3, 1)


def test_a_run_that_ends_between_the_commits_of_the_two_tables_costs_no_record(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    stedi.deliver("accelerometer", [READING])
    assert ingest(stedi).success
    stedi.deliver("accelerometer", [{**READING, "x": 2.0}], "2.json")
    publish = Lakehouse.publish

    def publish_and_end(*arguments: Any) -> None:
        publish(*arguments)
        raise LakehouseError("the end")

    with monkeypatch.context() as patch:
        patch.setattr(Lakehouse, "publish", publish_and_end)
        assert "the end" in ingest(stedi).failure
    assert ingest(stedi).success
    assert [row[2] for row in sorted(stedi.rows(RECORDS))] == [1.0, 2.0]


@pytest.mark.parametrize("assets", [[LANDING], [RECORDS]])
def test_a_run_waits_for_another_one_that_is_at_the_same_feed_and_says_so(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch, assets: list[str]
) -> None:
    stedi.deliver("accelerometer", [READING])
    stedi.materialize(LANDING)
    lock_feed = LandingZone.lock
    with ExitStack() as other:

        def lock_until_told(zone: LandingZone, feed: str, say: Callable[[str], None]) -> AbstractContextManager[None]:
            def tell(what: str) -> None:
                say(what)
                other.close()

            return lock_feed(zone, feed, tell)

        other.enter_context(lock(stedi.folder / "lakehouse" / "landing" / ".accelerometer.lock"))
        monkeypatch.setattr(LandingZone, "lock", lock_until_told)
        outcome = stedi.materialize(*assets)
    said = " ".join(record.user_message for record in stedi.instance.all_logs(outcome.result.run_id))
    assert outcome.success
    assert "accelerometer_landing: waiting for another run, which holds the lock" in said


# Sources and rules do not mix ---------------------------------------------------------------------------------------


def test_another_source_starts_the_landing_zone_anew_and_says_so(stedi: Stedi) -> None:
    write_feeds(stedi.folder / "sample", customers=3)
    sampled = Stedi(stedi.folder, {"STEDI_SOURCE": str(stedi.folder / "sample")}, stedi.instance)
    assert ingest(sampled).success
    stedi.deliver("accelerometer", [READING])
    outcome = ingest(stedi)
    assert stedi.rows(RECORDS) == [(*TYPED, "1.json")]
    assert "STEDI_SOURCE names another source now" in str(outcome.checks[LANDING, "files_as_expected"].description)


def test_a_table_is_not_made_from_tables_of_another_consent_rule(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    stedi.environment["STEDI_CONSENT"] = "as-of-date"
    outcome = stedi.materialize("customers_curated")
    assert not outcome.success
    assert "was made under STEDI_CONSENT=customer, and this run asks for as-of-date" in outcome.failure
    assert stedi.materialize().success


def test_tables_are_never_made_from_feeds_of_two_sources(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    shutil.copytree(stedi.source, stedi.folder / "elsewhere")
    stedi.environment["STEDI_SOURCE"] = str(stedi.folder / "elsewhere")
    moved = ["customer_landing", "customer_records", "customer_trusted"]
    outcome = stedi.materialize(*moved, "accelerometer_trusted")
    assert outcome.materialized == set(moved)
    assert "Feeds of two sources never mix: " in outcome.failure
    assert f"accelerometer_records of {stedi.folder}" in outcome.failure
    assert stedi.materialize().success
