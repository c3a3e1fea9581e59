"""From upstream tables to what readers see: Dagster runs over a real catalog, that keep their promises or do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from resources.errors import LakehouseError
from stedi_assets.contracts import ASSETS as EVERY_ASSET
from stedi_assets.contracts import TABLES
from stedi_assets.definitions import build_definitions
from stedi_assets.pipeline import asset as pipeline_asset
from stedi_assets.pipeline.asset import RETRY
from stedi_assets.rules import Consent
from tests.oracle import expected_tables
from tests.stedi_assets.examples import CUSTOMERS, DISTANCES, READINGS, T, deliver_all
from tests.stedi_assets.runs import ASSETS, changed, checks_of, data_folders, run, snapshot, told
from tests.support import ENGINE, Outcome, SharedSpark, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MADE = tuple(ASSETS)


class CountingSpark(SharedSpark):
    """Lends the test run's session, and notes how often it was asked to start one."""

    noted: str

    def start(self) -> SparkSession:
        with Path(self.noted).open("a") as notes:
            notes.write("started\n")
        return super().start()


Published = tuple[Stedi, Outcome]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Published:
    """A lakehouse that was made once, with its run. Tests only look at it, or try to publish in vain."""
    stedi = Stedi(tmp_path_factory.mktemp("published"))
    deliver_all(stedi)
    return stedi, stedi.materialize(resources={"spark": CountingSpark(noted=str(stedi.folder / "starts"))})


# A run that goes well -----------------------------------------------------------------------------------------


def test_one_run_starts_one_session_and_publishes_what_the_rules_say(published: Published) -> None:
    stedi, outcome = published
    assert outcome.materialized == EVERY_ASSET.keys()
    assert (stedi.folder / "starts").read_text() == "started\n"
    expected = expected_tables(CUSTOMERS, READINGS, DISTANCES, "customer")
    assert {table: stedi.rows(table) for table in MADE} == {table: sorted(expected[table], key=repr) for table in MADE}


def test_every_check_is_recorded_and_a_warning_stops_nothing(published: Published) -> None:
    stedi, outcome = published
    assert outcome.checks.keys() == {
        (key.asset_key.to_user_string(), key.name) for key in checks_of(stedi, *EVERY_ASSET)
    }
    warned = {name: check.severity for (_, name), check in outcome.checks.items() if not check.passed}
    names = ("readings_before_consent", "equal_readings", "distances_before_consent", "shared_serial_numbers")
    assert warned == dict.fromkeys(names, dg.AssetCheckSeverity.WARN)


def test_each_table_says_what_it_holds_and_what_was_dropped(published: Published) -> None:
    stedi, outcome = published
    rows = stedi.counts()
    for name, contract in TABLES.items():
        metadata, version = outcome.metadata(name), stedi.lakehouse.version(name)
        assert version is not None
        assert metadata["dagster/row_count"] == rows[name] == version.rows
        assert metadata["snapshot id"] == str(version.snapshot_id)
        assert metadata["engine"] == ENGINE.engine
        assert all(metadata[f"seconds: {phase}"] >= 0 for phase in ("compute", "check", "publish", "report"))
        preview = metadata["preview"]
        assert {column.name for column in preview.schema.columns} == set(contract.column_names)
        assert len(preview.records) == min(rows[name], 5)
        files = stedi.location(name).rglob("*.parquet")
        assert metadata["size (bytes)"] == sum(path.stat().st_size for path in files)
    shown = outcome.metadata("customer_trusted")
    assert shown["consent rule"].startswith("customer: who agreed shares all their readings, also those from before")
    assert {name: value for name, value in shown.items() if name.startswith("dropped: ")} == {
        "dropped: not the customer's latest record": 3,
        "dropped: the customer has not consented": 2,
    }


def test_what_a_page_shows_is_kept_once(published: Published) -> None:
    events = published[1].result.filter_events(lambda event: event.event_type is dg.DagsterEventType.STEP_OUTPUT)
    outputs = {event.step_output_data.output_name: event.step_output_data for event in events}
    assert TABLES.keys() <= outputs.keys()
    assert [name for name, output in outputs.items() if "preview" in output.metadata] == []


def test_the_training_table_counts_its_rows_from_before_consent_and_explains_the_rule(published: Published) -> None:
    """Who met it: "nine green checks, and 22 % of the rows were taken before anybody agreed"."""
    stedi, outcome = published
    check = outcome.checks["machine_learning_curated", "distances_before_consent"]
    since = {row[4]: row[7] for row in stedi.rows("customer_trusted")}
    early = sum(row[0] < since[row[1]] for row in stedi.rows("machine_learning_curated"))
    assert early > 0
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == f"{early} rows were measured before all holders consented."
    assert outcome.metadata("machine_learning_curated")["consent rule"].startswith("customer: who agreed shares all")


def test_a_commit_names_its_run_code_rule_source_and_inputs(published: Published) -> None:
    stedi, outcome = published
    version = stedi.lakehouse.version("accelerometer_trusted")
    assert version is not None
    properties = version.properties
    assert properties["stedi.run-id"] == outcome.result.run_id
    assert properties["stedi.code-version"] == ASSETS["accelerometer_trusted"].code_version(
        {"consent": Consent.CUSTOMER}
    )
    assert properties["stedi.consent"] == "customer"
    assert properties["stedi.source"] == str(stedi.source)
    # The customers' own records are among them: the table is checked against them.
    read = ("accelerometer_records", "customer_quarantine", "customer_records", "customer_trusted")
    assert json.loads(properties["stedi.inputs"]) == {name: snapshot(stedi, name) for name in read}


@pytest.fixture(scope="module")
def made_twice(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Stedi, dict[str, int], Outcome]:
    """A lakehouse, its rows after a run in which one feed had not begun, and a second run: all customers refuse."""
    stedi = Stedi(tmp_path_factory.mktemp("made-twice"))
    deliver_all(stedi)
    stedi.deliver("accelerometer", "\n")
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    first = stedi.counts()
    deliver_all(stedi, [{**one, "sharewithresearchasofdate": None, "lastupdatedate": T + 99} for one in CUSTOMERS])
    return stedi, first, stedi.materialize()


def test_a_feed_that_has_not_begun_and_customers_who_all_refuse_give_empty_tables(
    made_twice: tuple[Stedi, dict[str, int], Outcome],
) -> None:
    stedi, first, second = made_twice
    expected = {table: len(rows) for table, rows in expected_tables(CUSTOMERS, [], DISTANCES, "customer").items()}
    assert first == {**first, **expected, "accelerometer_records": 0}
    assert second.success, second.failure
    for table in MADE:
        loaded = stedi.lakehouse.load(table)
        assert loaded is not None
        arrow = loaded.scan().to_arrow()  # as any other reader of Iceberg sees it
        assert (arrow.num_rows, tuple(arrow.column_names)) == (0, TABLES[table].column_names)


def test_a_check_result_belongs_to_the_version_that_it_is_about(
    made_twice: tuple[Stedi, dict[str, int], Outcome],
) -> None:
    stedi, _, second = made_twice
    assert {asset for asset, _ in second.checks} == EVERY_ASSET.keys()
    for (asset, _), check in second.checks.items():
        latest = stedi.instance.get_latest_materialization_event(dg.AssetKey(asset))
        target = check.target_materialization_data
        assert latest is not None
        assert target is not None
        assert (target.run_id, target.timestamp) == (second.result.run_id, latest.timestamp)


# A run that must not publish ----------------------------------------------------------------------------------


def everyone(customer_records: DataFrame) -> DataFrame:
    return customer_records.drop("file")


def test_a_table_that_breaks_a_promise_is_not_published_and_nothing_is_made_from_it(published: Published) -> None:
    stedi, _ = published
    before = {table: (stedi.rows(table), snapshot(stedi, table), data_folders(stedi, table)) for table in MADE}
    downstream = MADE[1:]
    outcome = run(stedi, [changed("customer_trusted", function=everyone), *map(ASSETS.__getitem__, downstream)])
    assert not outcome.success
    assert outcome.materialized == set()
    check = outcome.checks["customer_trusted", "only_consenting_customers"]
    assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert check.description == "3 rows break the promise."
    assert outcome.failure.startswith("customer_trusted was not published, the previous version is still served.")
    assert "only_consenting_customers: 3 rows break the promise." in outcome.failure
    assert {event.step_key for event in outcome.result.all_events if event.is_step_start} == {"customer_trusted"}
    assert before == {table: (stedi.rows(table), snapshot(stedi, table), data_folders(stedi, table)) for table in MADE}


def test_a_table_that_was_never_published_stays_unknown_until_its_promises_hold(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize("customer_landing", "customer_records").success
    outcome = run(stedi, [changed("customer_trusted", function=everyone)])
    assert "customer_trusted was not published, nothing is served yet." in outcome.failure
    assert stedi.lakehouse.version("customer_trusted") is None
    assert data_folders(stedi, "customer_trusted") == []
    assert stedi.materialize("customer_trusted").success


def stops_half_way(customer_records: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    return customer_records.withColumn("email", F.raise_error(F.lit("no space left")).cast("string")).drop("file")


def cannot_be_asked(rows: DataFrame) -> DataFrame:
    raise RuntimeError("the engine went away")


FIRST = ASSETS["customer_trusted"].checks[0]


@pytest.mark.parametrize(
    ("differences", "selected", "says"),
    [
        ({"function": everyone}, False, "only_consenting_customers: 3 rows break the promise."),
        ({"function": stops_half_way}, True, "no space left"),
        ({"checks": (replace(FIRST, query=cannot_be_asked),)}, True, "RuntimeError was raised in tests."),
    ],
    ids=["the run did not ask for its checks", "the engine fails while it writes", "a check cannot be run"],
)
def test_a_table_is_stopped_and_no_file_is_left_also_where(
    published: Published, differences: dict[str, object], selected: bool, says: str
) -> None:
    stedi, _ = published
    before = snapshot(stedi, "customer_trusted"), data_folders(stedi, "customer_trusted")
    outcome = run(stedi, [changed("customer_trusted", **differences)], checks=selected)
    assert not outcome.success
    assert all("not run" in check.metadata for check in outcome.checks.values())
    assert says in outcome.failure
    assert (snapshot(stedi, "customer_trusted"), data_folders(stedi, "customer_trusted")) == before


@pytest.mark.parametrize(
    ("asset", "checks", "needed", "make"),
    [
        ("customer_trusted", (), "customer_records", "+key:customer_records"),
        ("customer_records", (), "customer_landing", "customer_landing"),
        ("customer_trusted", ("one_row_per_customer",), "customer_trusted", "+key:customer_trusted"),
    ],
)
def test_what_is_missing_is_said_with_the_command_that_makes_it(
    stedi: Stedi, asset: str, checks: tuple[str, ...], needed: str, make: str
) -> None:
    outcome = stedi.materialize(asset, checks=[dg.AssetCheckKey(dg.AssetKey(asset), name) for name in checks])
    assert outcome.failure == (
        f"{needed} is needed, and was never materialized in {stedi.lakehouse.root}. Make it first: "
        f"dagster asset materialize -m stedi_assets --select '{make}'"
    )
    assert stedi.lakehouse.version(asset) is None


@pytest.mark.parametrize(("passing", "attempts"), [(True, 2), (False, 1)])
def test_a_step_is_tried_again_for_what_passes_by_itself_and_for_nothing_else(
    published: Published, monkeypatch: pytest.MonkeyPatch, passing: bool, attempts: int
) -> None:
    stedi, _ = published
    tried: list[int] = []

    def fails_once(customer_records: DataFrame) -> DataFrame:
        tried.append(1)
        if len(tried) == 1:
            raise LakehouseError("S3 asks for patience.", retry=passing)
        raise LakehouseError("Nothing is to be published here.")

    monkeypatch.setattr(pipeline_asset, "RETRY", dg.RetryPolicy(RETRY.max_retries))  # without its seconds between
    outcome = run(stedi, [changed("customer_trusted", function=fails_once)])
    assert len(tried) == attempts
    assert outcome.failure == ("Nothing is to be published here." if passing else "S3 asks for patience.")


def test_every_step_that_makes_a_table_is_tried_again(published: Published) -> None:
    assets = build_definitions(published[0].settings).assets or ()
    policies = {one.op.retry_policy for one in assets if isinstance(one, dg.AssetsDefinition) and one.check_specs}
    assert policies == {RETRY}


# Checks alone -------------------------------------------------------------------------------------------------


def test_checks_alone_say_of_what_is_published_what_they_said_when_it_was_made(published: Published) -> None:
    stedi, made = published
    alone = stedi.materialize(checks=checks_of(stedi, *EVERY_ASSET))
    assert alone.success
    assert alone.materialized == set()
    assert told(alone) == told(made)


def test_one_check_alone_is_the_only_one_that_is_recorded(published: Published) -> None:
    stedi, _ = published
    key = dg.AssetCheckKey(dg.AssetKey("customer_trusted"), "rows_reconciled")
    assert [*stedi.materialize(checks=[key]).checks] == [("customer_trusted", "rows_reconciled")]
