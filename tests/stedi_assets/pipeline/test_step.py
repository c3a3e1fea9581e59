"""From a delivery to what readers see: Dagster runs over a real catalog, of tables that keep their promises or not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from stedi_assets.checks import reconciliation as accounting
from stedi_assets.contracts import FEEDS, TABLES
from stedi_assets.definitions import build_definitions
from stedi_assets.rules import Consent
from tests.oracle import expected_tables
from tests.stedi_assets.examples import (
    CUSTOMERS,
    DISTANCES,
    READINGS,
    T,
    as_delivered,
    customer,
    deliver_all,
    distance,
)
from tests.stedi_assets.runs import ASSETS, changed, data_folders, failed, run
from tests.support import ENGINE, ROOT, Outcome, SharedSpark, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CONSENT_CHECKS = {
    "customer_trusted": "only_consenting_customers",
    "accelerometer_trusted": "only_readings_of_consenting_customers",
    "customers_curated": "only_consenting_customers",
    "step_trainer_trusted": "only_readings_of_consenting_holders",
    "machine_learning_curated": "only_readings_of_consenting_holders",
}
MADE = tuple(CONSENT_CHECKS)


class CountingSpark(SharedSpark):
    """Lends the test run's session, and notes how often it was asked to start one."""

    noted: str

    def start(self) -> SparkSession:
        with Path(self.noted).open("a") as notes:
            notes.write("started\n")
        return super().start()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Stedi, Outcome]:
    """A lakehouse that was made once, with its run. Tests only look at it, or try to publish in vain."""
    stedi = Stedi(tmp_path_factory.mktemp("published"))
    deliver_all(stedi)
    return stedi, stedi.materialize(resources={"spark": CountingSpark(noted=str(stedi.folder / "starts"))})


@pytest.fixture(scope="module")
def withdrawn(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Stedi, Outcome]:
    """A lakehouse after whose one full run Ann's withdrawal has landed. Tests only look, or try to publish in vain."""
    stedi = Stedi(tmp_path_factory.mktemp("withdrawn"))
    deliver_all(stedi)
    made = stedi.materialize()
    withdrawal = customer(" ANN@x.org", "ann", updated=T + 99, consent=None)
    stedi.deliver("customer", as_delivered("customer", [withdrawal]), "2.json")
    assert stedi.materialize("customer_landing").success
    return stedi, made


def everyone(customer_landing: DataFrame) -> DataFrame:
    return customer_landing


def without_phone(customer_landing: DataFrame) -> DataFrame:
    return customer_landing.drop("phone").where("sharewithresearchasofdate > 0")


def stops_half_way(customer_landing: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    return customer_landing.withColumn("email", F.raise_error(F.lit("no space left")).cast("string"))


def snapshot(stedi: Stedi, table: str) -> int:
    version = stedi.lakehouse.version(table)
    assert version is not None
    return version.snapshot_id


def started(outcome: Outcome) -> set[str]:
    return {str(event.step_key) for event in outcome.result.all_events if event.is_step_start}


# A run that goes well -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", MADE)
def test_what_is_published_is_what_the_rules_say(published: tuple[Stedi, Outcome], table: str) -> None:
    stedi, outcome = published
    assert outcome.success
    expected = expected_tables(CUSTOMERS, READINGS, DISTANCES, "customer")
    assert stedi.rows(table) == sorted(expected[table], key=repr)


def test_one_run_starts_one_session(published: tuple[Stedi, Outcome]) -> None:
    stedi, _ = published
    assert (stedi.folder / "starts").read_text() == "started\n"


def test_a_warning_stops_nothing(published: tuple[Stedi, Outcome]) -> None:
    _, outcome = published
    warned = {name: check for (_, name), check in outcome.checks.items() if not check.passed}
    assert warned.keys() == {
        "readings_before_consent",
        "equal_readings",
        "distances_before_consent",
        "shared_serial_numbers",
    }
    assert {check.severity for check in warned.values()} == {dg.AssetCheckSeverity.WARN}
    assert outcome.materialized == set(TABLES)


def test_every_check_of_every_table_is_recorded(published: tuple[Stedi, Outcome]) -> None:
    _, outcome = published
    for table in ASSETS.values():
        recorded = {name for asset, name in outcome.checks if asset == table.name}
        assert recorded == {"matches_contract", *(one.name for one in table.audits)}


def test_each_table_says_what_it_holds_and_what_was_left_out(published: tuple[Stedi, Outcome]) -> None:
    stedi, outcome = published
    left_out = {
        "customer_quarantine": {accounting.ACCEPTED: len(CUSTOMERS)},
        "accelerometer_quarantine": {accounting.ACCEPTED: len(READINGS)},
        "step_trainer_quarantine": {accounting.ACCEPTED: len(DISTANCES)},
        "customer_trusted": {accounting.NOT_LATEST: 3, accounting.NO_CONSENT: 2},
        "accelerometer_trusted": {accounting.NO_CONSENT: 2, accounting.UNKNOWN_USER: 1},
        "customers_curated": {accounting.NO_READINGS: 1},
        "step_trainer_trusted": {
            accounting.UNKNOWN_SERIAL: 2,
            accounting.HOLDER_WITHOUT_CONSENT: 2,
            accounting.HOLDERS_WITHOUT_READINGS: 1,
        },
        "machine_learning_curated": {accounting.SEVERAL_HOLDERS: 1},
    }
    rows = stedi.counts()
    for name, table in ASSETS.items():
        metadata, version = outcome.metadata(name), stedi.lakehouse.version(name)
        assert version is not None
        assert metadata["dagster/row_count"] == rows[name] == version.rows
        assert metadata["snapshot id"] == str(version.snapshot_id)
        assert metadata["engine"] == ENGINE.engine
        assert metadata["consent rule"] == "customer"
        prefix = "left out: "
        shown = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
        assert shown == left_out.get(name, {})
        assert all(metadata[f"seconds: {phase}"] >= 0 for phase in ("compute", "audit", "publish", "report"))
        preview = metadata["preview"]
        assert [column.name for column in preview.schema.columns] == list(table.contract.column_names)
        assert len(preview.records) == min(rows[name], 5)
        files = stedi.location(name).rglob("*.parquet")
        assert metadata["size (bytes)"] == sum(path.stat().st_size for path in files)


def test_a_commit_names_its_run_code_rule_and_inputs(published: tuple[Stedi, Outcome]) -> None:
    stedi, outcome = published
    version = stedi.lakehouse.version("accelerometer_trusted")
    assert version is not None
    assert version.properties["stedi.run-id"] == outcome.result.run_id
    assert version.properties["stedi.code-version"] == ASSETS["accelerometer_trusted"].code_version(Consent.CUSTOMER)
    assert version.properties["stedi.consent"] == "customer"
    inputs = json.loads(version.properties["stedi.inputs"])
    # The customers' own records are among them: the table is audited against them.
    assert inputs == {
        "customer_trusted": snapshot(stedi, "customer_trusted"),
        "customer_landing": snapshot(stedi, "customer_records"),
        "accelerometer_landing": snapshot(stedi, "accelerometer_records"),
    }


# Empty results ------------------------------------------------------------------------------------------------


def test_where_nobody_consents_every_table_is_published_and_empty(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    nobody = [{**record, "sharewithresearchasofdate": None, "lastupdatedate": T + 99} for record in CUSTOMERS]
    stedi.deliver("customer", as_delivered("customer", nobody))
    assert stedi.materialize().success
    for table in MADE:
        assert stedi.rows(table) == []
        loaded = stedi.lakehouse.load(table)
        assert loaded is not None
        arrow = loaded.scan().to_arrow()  # as any other reader of Iceberg sees it
        assert (arrow.num_rows, tuple(arrow.column_names)) == (0, TABLES[table].column_names)


@pytest.mark.parametrize(("feed", "empty"), [("customer", ""), ("accelerometer", "\n"), ("step_trainer", "")])
def test_a_feed_that_has_not_begun_gives_empty_tables(stedi: Stedi, feed: str, empty: str) -> None:
    deliver_all(stedi)
    stedi.deliver(feed, empty)
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    left = {"customer": CUSTOMERS, "accelerometer": READINGS, "step_trainer": DISTANCES, feed: []}
    expected = expected_tables(left["customer"], left["accelerometer"], left["step_trainer"], "customer")
    assert {table: stedi.counts()[table] for table in MADE} == {table: len(expected[table]) for table in MADE}
    assert stedi.counts()[f"{feed}_landing"] == 0


def test_feeds_that_do_not_join_at_all_stop_the_table(stedi: Stedi) -> None:
    deliver_all(stedi, distances=[distance("unknown", T + 20)])
    outcome = stedi.materialize()
    assert failed(outcome) == {"curated_customers_with_distances"}
    assert outcome.materialized == set(TABLES) - {"step_trainer_trusted", "machine_learning_curated"}
    assert "step_trainer_trusted was not published, nothing is served yet" in outcome.failure


# A run that must not publish ----------------------------------------------------------------------------------


def test_a_table_that_breaks_a_promise_is_not_published_and_nothing_is_made_from_it(
    published: tuple[Stedi, Outcome],
) -> None:
    stedi, _ = published
    before = {table: (stedi.rows(table), snapshot(stedi, table), data_folders(stedi, table)) for table in MADE}
    downstream = ("accelerometer_trusted", "customers_curated", "step_trainer_trusted", "machine_learning_curated")
    broken = changed("customer_trusted", function=everyone)
    outcome = run(stedi, [broken, *(ASSETS[name] for name in downstream)])
    assert not outcome.success
    assert outcome.materialized == set()
    check = outcome.checks["customer_trusted", "only_consenting_customers"]
    assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert check.description == "3 rows break the promise."
    assert outcome.failure.startswith("customer_trusted was not published, the previous version is still served.")
    assert "only_consenting_customers: 3 rows break the promise." in outcome.failure
    assert started(outcome) == {"customer_trusted"}
    assert before == {table: (stedi.rows(table), snapshot(stedi, table), data_folders(stedi, table)) for table in MADE}


def test_a_table_that_was_never_published_stays_unknown_until_its_promises_hold(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize("customer_landing").success
    outcome = run(stedi, [changed("customer_trusted", function=everyone)])
    assert "customer_trusted was not published, nothing is served yet." in outcome.failure
    assert stedi.lakehouse.version("customer_trusted") is None
    assert data_folders(stedi, "customer_trusted") == []
    assert stedi.materialize("customer_trusted").success


def test_the_audits_stop_a_table_also_where_the_run_did_not_ask_for_its_checks(
    published: tuple[Stedi, Outcome],
) -> None:
    stedi, _ = published
    before = snapshot(stedi, "customer_trusted")
    outcome = run(stedi, [changed("customer_trusted", function=everyone)], checks=False)
    assert outcome.checks == {}
    assert "only_consenting_customers: 3 rows break the promise." in outcome.failure
    assert snapshot(stedi, "customer_trusted") == before


def test_a_table_of_the_wrong_shape_is_not_published(published: tuple[Stedi, Outcome]) -> None:
    stedi, _ = published
    before = snapshot(stedi, "customer_trusted"), data_folders(stedi, "customer_trusted")
    outcome = run(stedi, [changed("customer_trusted", function=without_phone)])
    assert "matches_contract: Missing: phone string. Not in the contract: none." in outcome.failure
    assert {name: check.passed for (_, name), check in outcome.checks.items()} == {"matches_contract": False}
    assert (snapshot(stedi, "customer_trusted"), data_folders(stedi, "customer_trusted")) == before


def test_an_engine_that_fails_while_it_writes_leaves_the_previous_version_and_no_files(
    published: tuple[Stedi, Outcome],
) -> None:
    stedi, _ = published
    before = stedi.rows("customer_trusted"), data_folders(stedi, "customer_trusted")
    outcome = run(stedi, [changed("customer_trusted", function=stops_half_way)])
    assert not outcome.success
    assert "no space left" in outcome.failure
    assert (stedi.rows("customer_trusted"), data_folders(stedi, "customer_trusted")) == before


def cannot_be_asked(rows: DataFrame) -> DataFrame:
    raise RuntimeError("the engine went away")


def test_an_audit_that_cannot_be_run_stops_the_table_and_leaves_no_files(published: tuple[Stedi, Outcome]) -> None:
    stedi, _ = published
    before = snapshot(stedi, "customer_trusted"), data_folders(stedi, "customer_trusted")
    broken = replace(ASSETS["customer_trusted"].audits[0], query=cannot_be_asked)
    outcome = run(stedi, [changed("customer_trusted", audits=(broken,))])
    assert not outcome.success
    assert "the engine went away" in outcome.failure
    assert (snapshot(stedi, "customer_trusted"), data_folders(stedi, "customer_trusted")) == before


@pytest.mark.parametrize("table", [*ASSETS])
def test_a_table_alone_says_what_is_missing_and_the_command_that_makes_it(stedi: Stedi, table: str) -> None:
    outcome = stedi.materialize(table)
    upstream = build_definitions(stedi.settings).resolve_asset_graph().get(dg.AssetKey(table)).parent_keys
    assert not outcome.success
    sentences = [
        f"{name} is needed, and was never materialized in {stedi.lakehouse.root}. Make it first: "
        f"dagster asset materialize -m stedi_assets --select '+{name}'"
        for name in (key.to_user_string() for key in upstream)
    ]
    assert outcome.failure in sentences
    assert stedi.lakehouse.version(table) is None


def test_checks_of_a_table_that_was_never_made_say_so(stedi: Stedi) -> None:
    outcome = stedi.materialize(checks=[dg.AssetCheckKey(dg.AssetKey("customer_trusted"), "one_row_per_customer")])
    assert outcome.failure.startswith("customer_trusted is needed, and was never materialized")


# Withdrawal ---------------------------------------------------------------------------------------------------


def checks_of(stedi: Stedi, table: str) -> list[dg.AssetCheckKey]:
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    return sorted(graph.get_check_keys_for_assets({dg.AssetKey(table)}))


def judged(outcome: Outcome) -> dict[tuple[str, str], tuple[bool, str]]:
    return {key: (check.passed, check.description) for key, check in outcome.checks.items()}


def test_a_withdrawal_fails_the_consent_checks_alone_until_the_tables_are_made_anew(
    withdrawn: tuple[Stedi, Outcome],
) -> None:
    stedi, made = withdrawn
    before = {table: snapshot(stedi, table) for table in MADE}
    audited = stedi.materialize(checks=[key for table in MADE for key in checks_of(stedi, table)])
    assert not audited.success
    assert audited.materialized == set()
    assert {table: snapshot(stedi, table) for table in MADE} == before
    for table, consent_check in CONSENT_CHECKS.items():
        was, now = ({key[1]: seen for key, seen in judged(run).items() if key[0] == table} for run in (made, audited))
        assert now.keys() == {"matches_contract", *(one.name for one in ASSETS[table].audits)}
        assert not now.pop(consent_check)[0]
        assert now == {name: was[name] for name in now}


@pytest.mark.parametrize("table", ["accelerometer_trusted", "customers_curated", "machine_learning_curated"])
def test_a_table_is_not_made_from_upstream_tables_that_do_not_know_of_a_withdrawal(
    withdrawn: tuple[Stedi, Outcome], table: str
) -> None:
    stedi, _ = withdrawn
    before = snapshot(stedi, table)
    outcome = stedi.materialize(table)
    assert CONSENT_CHECKS[table] in failed(outcome)
    assert outcome.failure.startswith(f"{table} was not published, the previous version is still served.")
    assert snapshot(stedi, table) == before


def test_the_account_of_a_table_holds_though_its_upstream_tables_were_made_anew(stedi: Stedi) -> None:
    deliver_all(stedi)
    upstream = ("customer_landing", "accelerometer_landing", "customer_trusted", "accelerometer_trusted")
    assert stedi.materialize(*upstream, "customers_curated").success
    withdrawal = customer("ann@x.org", "ann", updated=T + 99, consent=None)
    stedi.deliver("customer", as_delivered("customer", [withdrawal]), "2.json")
    assert stedi.materialize(*upstream).success
    audited = stedi.materialize(checks=checks_of(stedi, "customers_curated"))
    assert failed(audited) == {"only_consenting_customers"}
    assert audited.checks["customers_curated", "rows_accounted_for"].passed


@pytest.mark.parametrize("table", MADE)
def test_checks_alone_say_of_the_published_table_what_they_said_when_it_was_made(
    published: tuple[Stedi, Outcome], table: str
) -> None:
    stedi, made = published
    alone = stedi.materialize(checks=checks_of(stedi, table))
    assert alone.success
    assert alone.materialized == set()
    assert judged(alone) == {key: verdict for key, verdict in judged(made).items() if key[0] == table}


def test_one_check_alone_is_the_only_one_that_is_recorded(published: tuple[Stedi, Outcome]) -> None:
    stedi, _ = published
    key = dg.AssetCheckKey(dg.AssetKey("customer_trusted"), "rows_accounted_for")
    assert [*stedi.materialize(checks=[key]).checks] == [("customer_trusted", "rows_accounted_for")]


# Landing ------------------------------------------------------------------------------------------------------


LANDINGS = [feed.landing.name for feed in FEEDS]


def stale(stedi: Stedi) -> set[str]:
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(stedi.instance, graph, LoadingContextForTest(stedi.instance))
    return {table for table in TABLES if resolver.get_status(dg.AssetKey(table)) is not StaleStatus.FRESH}


def data_version(stedi: Stedi, asset: str) -> str:
    event = stedi.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return (event.asset_materialization.tags or {})["dagster/data_version"]


def test_the_same_files_give_the_same_rows_and_a_landing_zone_without_news_makes_nothing_stale(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    landed = [(snapshot(stedi, feed.records.name), data_version(stedi, feed.landing.name)) for feed in FEEDS]
    made = {table: (stedi.rows(table), snapshot(stedi, table)) for table in MADE}
    again = stedi.materialize(*LANDINGS)
    assert again.materialized == set(LANDINGS)
    assert all(again.checks[landing, "records_balance"].passed for landing in LANDINGS)
    assert stale(stedi) == set()
    assert stedi.materialize().success
    assert landed == [(snapshot(stedi, feed.records.name), data_version(stedi, feed.landing.name)) for feed in FEEDS]
    for table, (rows, first) in made.items():
        assert stedi.rows(table) == rows
        assert [version.snapshot_id for version in stedi.lakehouse.history(table)] == [first, snapshot(stedi, table)]


def test_news_makes_stale_what_is_made_from_them(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize("step_trainer_landing", "customer_landing").success
    made = stedi.materialize("step_trainer_quarantine", "customer_quarantine")
    assert made.success
    first = data_version(stedi, "step_trainer_landing")
    stedi.deliver("step_trainer", as_delivered("step_trainer", [distance("ann", T + 31)]), "2.json")
    assert stedi.materialize("step_trainer_landing", "customer_landing").success
    assert data_version(stedi, "step_trainer_landing") != first
    assert stale(stedi) & made.materialized == {"step_trainer_quarantine"}


# Code versions ------------------------------------------------------------------------------------------------

PRINT_VERSIONS = """
import json, sys
versions = []
for folder in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith(("stedi_assets", "resources"))]:
        del sys.modules[name]
    sys.path[0] = folder
    from stedi_assets.rules import Consent
    from stedi_assets.definitions import LAKEHOUSE_TABLES
    versions.append({table.name: table.code_version(Consent.CUSTOMER) for table in LAKEHOUSE_TABLES})
print(json.dumps(versions))
"""


def edited_project(folder: Path, module: str, old: str, new: str) -> Path:
    for package in ("stedi_assets", "resources"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "stedi_assets" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (folder / "sql").symlink_to(ROOT / "sql")
    return folder


def test_a_tables_code_version_changes_with_its_function_or_the_rules_and_with_no_comment(tmp_path: Path) -> None:
    edits = {
        "a comment in the rules": ("rules.py", "def consented()", "# Zero is none.\n\n\ndef consented()"),
        "a docstring": ("trusted.py", '"""Customers who agreed', '"""People who agreed'),
        "a rule": ("rules.py", "F.col(CONSENT) > 0", "F.col(CONSENT) >= 0"),
        "a function": ("trusted.py", ".where(consented())", ".where(~consented())"),
    }
    folders = [edited_project(tmp_path / str(number), *edit) for number, edit in enumerate(edits.values())]
    script = tmp_path / "print_versions.py"
    script.write_text(PRINT_VERSIONS)
    command = [sys.executable, str(script), *map(str, folders)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    now = {name: table.code_version(Consent.CUSTOMER) for name, table in ASSETS.items()}
    different = [{name for name, version in each.items() if version != now[name]} for each in json.loads(printed)]
    assert dict(zip(edits, different, strict=True)) == {
        "a comment in the rules": set(),
        "a docstring": set(),
        "a rule": set(ASSETS),
        "a function": {"customer_trusted"},
    }


def test_another_consent_rule_is_another_code_version() -> None:
    for table in ASSETS.values():
        assert table.code_version(Consent.CUSTOMER) != table.code_version(Consent.AS_OF_DATE)
