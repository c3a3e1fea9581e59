"""A feed's two tables: made of one reading, again only where something is new, and after an earlier version."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone
from resources.iceberg.tables import spark_ddl
from resources.lazy import LazyModule
from stedi_assets.contracts import ASSETS, FEEDS, TABLES, Column, Feed, Table
from stedi_assets.definitions import build_definitions
from stedi_assets.ingestion import parse
from tests.oracle import expected_tables
from tests.stedi_assets.examples import CUSTOMERS, DISTANCES, READINGS, T, as_delivered, deliver_all, distance, reading
from tests.support import ENGINE, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

LANDING, RECORDS, QUARANTINE = "accelerometer_landing", "accelerometer_records", "accelerometer_quarantine"
type_records = parse.type_records


def snapshots(stedi: Stedi) -> dict[str, int | None]:
    versions = {name: stedi.lakehouse.version(name) for name in TABLES}
    return {name: version.snapshot_id if version else None for name, version in versions.items()}


# One reading --------------------------------------------------------------------------------------------------


def accept_by_chance(records: DataFrame, feed: Feed) -> DataFrame:
    chance = F.when(F.expr("uuid()") < "8", "bad luck")
    typed = type_records(records, feed).withColumn("reason", chance)
    return typed.withColumn("text", F.when(F.col("reason").isNotNull(), F.col("x").cast("string")))


def test_both_tables_are_made_from_one_reading_of_the_text(stedi: Stedi, monkeypatch: pytest.MonkeyPatch) -> None:
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    numbers = [float(number) for number in range(100)]
    stedi.deliver("accelerometer", [reading("ann@x.org", T, x) for x in numbers])
    monkeypatch.setattr(parse, "type_records", accept_by_chance)
    outcome = stedi.materialize(LANDING, RECORDS, QUARANTINE)
    assert outcome.success, outcome.failure
    accepted = {row[2] for row in stedi.rows(RECORDS)}
    refused = {float(row[2]) for row in stedi.rows(QUARANTINE)}
    assert accepted
    assert refused
    assert sorted([*accepted, *refused]) == numbers


@pytest.mark.parametrize("alone", [RECORDS, QUARANTINE])
def test_one_of_them_alone_is_reported_alone_and_the_other_is_published_with_it(stedi: Stedi, alone: str) -> None:
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    stedi.deliver("accelerometer", [reading("ann@x.org", T), {"user": "bob@x.org"}])
    assert stedi.materialize(LANDING).success
    outcome = stedi.materialize(alone)
    assert outcome.materialized == {alone}
    assert {table for table, _ in outcome.checks} == {alone}
    assert (len(stedi.rows(RECORDS)), len(stedi.rows(QUARANTINE))) == (1, 1)
    before = snapshots(stedi)
    assert stedi.materialize(RECORDS, QUARANTINE).materialized == {RECORDS, QUARANTINE}
    assert snapshots(stedi) == before


# What is new --------------------------------------------------------------------------------------------------


def test_what_a_killed_run_left_is_removed_although_nothing_is_new(stedi: Stedi) -> None:
    """Of a feed that went back to what it was, rows with names and addresses stayed for good."""
    stedi.deliver("accelerometer", [reading("ann@x.org", T)])
    assert stedi.materialize(LANDING, RECORDS).success
    before, data = snapshots(stedi), Path(stedi.lakehouse.root, "stedi", RECORDS, "data")
    left = data / f"killed00-{uuid.uuid4()}"
    left.mkdir()
    for path in (left / "part-0.parquet", data / f".{left.name}.staging"):
        path.touch()
    assert stedi.materialize(RECORDS).success
    assert snapshots(stedi) == before
    assert not [path for path in data.rglob("*") if left.name in str(path)]


def test_a_run_that_loses_the_feeds_lock_right_after_it_published_clears_nothing_away(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    stedi.deliver("accelerometer", [reading("ann@x.org", T)])
    assert stedi.materialize(LANDING, RECORDS).success
    stedi.deliver("accelerometer", [reading("ann@x.org", T + 1), {"user": "bob@x.org"}], "2.json")
    assert stedi.materialize(LANDING).success
    before, lists = snapshots(stedi), Path(stedi.lakehouse.root, "landing", "accelerometer")
    listings = set(lists.glob("*.files.json"))

    def lost(*_: object) -> None:
        now = snapshots(stedi)
        if now[RECORDS] != before[RECORDS] and now[QUARANTINE] != before[QUARANTINE]:
            raise LakehouseError("another one has taken over its lock")

    monkeypatch.setattr(LandingZone, "confirm_lock", lost)
    assert "taken over its lock" in str(stedi.materialize(RECORDS).failure)
    assert listings < set(lists.glob("*.files.json"))


def stale(stedi: Stedi) -> set[str]:
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(stedi.instance, graph, LoadingContextForTest(stedi.instance))
    return {name for name in ASSETS if resolver.get_status(dg.AssetKey(name)) is not StaleStatus.FRESH}


def test_the_same_files_give_the_same_tables_and_make_nothing_stale_and_news_do(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    before = snapshots(stedi)
    of_feeds = {table.name for feed in FEEDS for table in (feed.landing, feed.records, feed.quarantine)}
    again = stedi.materialize(*of_feeds)
    assert again.materialized == of_feeds
    assert snapshots(stedi) == before
    logged = " ".join(entry.user_message for entry in stedi.instance.all_logs(again.result.run_id))
    assert f"{RECORDS}: {len(READINGS)} rows, unchanged since snapshot {before[RECORDS]}" in logged
    assert "published" not in logged
    assert stale(stedi) == set()
    stedi.deliver("step_trainer", as_delivered("step_trainer", [distance("ann", T + 31)]), "2.json")
    assert stedi.materialize("step_trainer_landing").success
    assert stale(stedi) == {"step_trainer_records", "step_trainer_quarantine"}
    assert stedi.materialize("step_trainer_records", "step_trainer_quarantine").success
    assert "step_trainer_trusted" in stale(stedi)


# A lakehouse of the version before ----------------------------------------------------------------------------


def of_the_version_before(feed: Feed) -> tuple[Table, Table]:
    """A feed's tables had these columns when records and quarantined ones were rows of one table."""
    text = [Column(name, "string", "As it was") for name in ("quarantine_reason", "quarantine_text", "run", "feed")]
    records = replace(feed.records, columns=(*feed.landing.columns, *text[:3]))
    reason, said = (replace(feed.quarantine[name]) for name in ("reason", "text"))
    return records, replace(feed.quarantine, columns=(text[3], reason, said, text[2]))


def test_a_lakehouse_of_the_version_before_is_read_on_by_making_everything_and_a_part_of_it_is_refused(
    stedi: Stedi,
) -> None:
    deliver_all(stedi)
    values = {"string": "old", "bigint": T, "double": 1.0}
    for table in (table for feed in FEEDS for table in of_the_version_before(feed)):
        row = tuple(values[column.type] for column in table.columns)
        rows = ENGINE.spark_session.createDataFrame([row], spark_ddl(table))
        with stedi.lakehouse.stage([rows], table, "a run") as staged:
            stedi.lakehouse.publish(staged, {"stedi.run-id": "a run"})
    refused = stedi.materialize("customer_trusted")
    assert refused.failure == (
        f"customer_records in {stedi.lakehouse.root} has other columns than this version of the project makes, it is "
        "from an earlier one. Materialize everything once."
    )
    assert refused.materialized == set()
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    expected = expected_tables(CUSTOMERS, READINGS, DISTANCES, "customer")
    assert {table: stedi.rows(table) for table in expected} == {
        table: sorted(rows, key=repr) for table, rows in expected.items()
    }
    assert [len(stedi.rows(feed.records.name)) for feed in FEEDS] == [len(CUSTOMERS), len(READINGS), len(DISTANCES)]
    assert [stedi.rows(feed.quarantine.name) for feed in FEEDS] == [[], [], []]
