"""A run costs what has changed: what is left alone, what is made again, and why, as somebody sees who runs it.

That the result is that of a rebuild, whatever happened, is in `tests/histories/`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from resources.iceberg import days, lakehouse
from stedi_assets.contracts import TABLES
from stedi_assets.definitions import build_definitions
from stedi_assets.pipeline import changes, inputs
from stedi_assets.pipeline.inputs import measured
from stedi_assets.pipeline.step import REBUILD, Step
from tests.stedi_assets.examples import T, as_delivered, customer, distance, reading
from tests.support import Outcome, SharedSpark, Stedi

DAY = 86_400_000
FIRST = T // DAY * DAY
READINGS_TABLES = [name for name, table in TABLES.items() if table.taken]


class NoEngine(SharedSpark):
    """One that nobody may start."""

    def start(self) -> SparkSession:
        raise AssertionError("an engine was started")


def session(stedi: Stedi, name: str, who: str, *days: int) -> None:
    """Both sensors measured at the beginning of these days."""
    taken = [FIRST + day * DAY for day in days]
    stedi.deliver("accelerometer", as_delivered("accelerometer", [reading(f"{who}@x.org", at) for at in taken]), name)
    stedi.deliver("step_trainer", as_delivered("step_trainer", [distance(who, at) for at in taken]), name)


ON_BOTH_ENGINES = pytest.mark.parametrize("stedi", ["embedded", "local"], indirect=True)


@pytest.fixture
def stedi(request: pytest.FixtureRequest, tmp_path: Path, rounds: Callable[[int, int], int]) -> Stedi:
    """Ann has stepped on the first five days, Bob on the sixth to the ninth; both have consented."""
    engine = getattr(request, "param", "embedded")
    if engine == "local" and not rounds(0, 1):
        pytest.skip("what each engine makes of feeds is compared in tests/conformance/ as well: --full")
    request.getfixturevalue({"embedded": "spark", "local": "apache_spark"}[engine])
    stedi = Stedi(tmp_path, engine=engine)
    people = [customer(f"{who}@x.org", who, updated=T, consent=T) for who in ("ann", "bob")]
    stedi.deliver("customer", as_delivered("customer", people))
    session(stedi, "1.json", "ann", 0, 1, 2, 3, 4)
    session(stedi, "2.json", "bob", 5, 6, 7, 8)
    assert stedi.materialize().success
    return stedi


def files(stedi: Stedi) -> dict[str, int]:
    """Every file of the lakehouse, and when it was written."""
    lakehouse = stedi.folder / "lakehouse"
    return {str(path): path.stat().st_mtime_ns for path in lakehouse.rglob("*") if path.is_file()}


def data_files(stedi: Stedi, table: str) -> set[str]:
    loaded = stedi.lakehouse.load(table)
    return {task.file.file_path for task in loaded.scan().plan_files()} if loaded else set()


def data_versions(outcome: Outcome) -> dict[str, str]:
    events = [
        event.step_materialization_data.materialization for event in outcome.result.get_asset_materialization_events()
    ]
    return {str(one.asset_key.to_user_string()): (one.tags or {})["dagster/data_version"] for one in events}


def test_where_nothing_is_new_no_engine_starts_and_nothing_is_written_and_every_check_keeps_its_result(
    stedi: Stedi,
) -> None:
    second = stedi.materialize(resources={"spark": NoEngine()})  # the manifests settle
    before = files(stedi)
    third = stedi.materialize(resources={"spark": NoEngine()})
    assert second.success
    assert third.success
    assert files(stedi) == before
    assert data_versions(third) == data_versions(second)
    assert all("unchanged since" in third.metadata(name) for name in TABLES)
    assert third.checks.keys() == second.checks.keys()
    for key, check in third.checks.items():
        assert (check.passed, check.description) == (second.checks[key].passed, second.checks[key].description)


def test_news_of_a_day_is_written_beside_the_files_of_all_other_days(stedi: Stedi) -> None:
    before = {name: data_files(stedi, name) for name in READINGS_TABLES}
    session(stedi, "3.json", "ann", 9)
    outcome = stedi.materialize()
    assert outcome.success
    for name in READINGS_TABLES:
        assert before[name] < data_files(stedi, name)
        shown = outcome.metadata(name)
        assert (shown["days written"], shown["days retained"]) == (1, 9)
        assert (shown["rows written"], shown["rows retained"]) == (1, 9)
    assert outcome.metadata("machine_learning_curated")["made"].startswith("1 of 10 days: ")
    assert "unchanged since" in outcome.metadata("customer_trusted")
    assert outcome.checks["accelerometer_trusted", "rows_reconciled"].description.startswith(
        "10 rows in = 10 retained."
    )


@ON_BOTH_ENGINES
def test_a_withdrawal_makes_the_days_of_that_person_again_and_no_other(stedi: Stedi) -> None:
    session(stedi, "3.json", "zed", *range(9, 20))
    zed = as_delivered("customer", [customer("zed@x.org", "zed", updated=T, consent=T)])
    stedi.deliver("customer", zed, "2.json")
    assert stedi.materialize().success
    gone = as_delivered("customer", [customer("BOB@x.org", "bob", updated=T + 9, consent=None)])
    stedi.deliver("customer", gone, "3.json")
    outcome = stedi.materialize()
    assert outcome.success
    for name in ("accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"):
        assert len(stedi.rows(name)) == 16
        made = outcome.metadata(name)["made"]
        assert made.startswith("4 of 20 days: ") or made.startswith("4 of 16 days: ")
    assert outcome.metadata("accelerometer_trusted")["made"].endswith("consents of customers changed: 1")
    assert "unchanged since" in outcome.metadata("accelerometer_records")


def test_words_of_a_record_that_could_not_be_read_concern_nobody_who_has_no_readings(stedi: Stedi) -> None:
    stedi.deliver("customer", '{"email": "zed@x.org", "serialNumber": "of nobody", "lastUp', "2.json")
    stedi.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    outcome = stedi.materialize()
    assert outcome.success
    nothing = "0 of 9 days: nothing of what it shows has changed"
    assert outcome.metadata("step_trainer_trusted")["made"] == nothing
    assert outcome.metadata("machine_learning_curated")["made"] == nothing


def test_a_consent_that_moves_to_another_column_of_the_same_record_is_a_change(stedi: Stedi) -> None:
    to_friends = customer("ann@x.org", "ann", updated=T, consent=None, sharewithfriendsasofdate=T)
    people = [to_friends, customer("bob@x.org", "bob", updated=T, consent=T)]
    stedi.deliver("customer", as_delivered("customer", people))
    assert stedi.materialize().success
    assert [row[1] for row in stedi.rows("customer_trusted")] == ["bob@x.org"]
    assert {row[1] for row in stedi.rows("machine_learning_curated")} == {"bob"}


def test_a_run_never_publishes_older_customers_over_those_of_a_run_that_was_faster(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = ("customer_landing", "customer_records", "customer_quarantine")
    stedi.deliver("customer", as_delivered("customer", [customer("cleo@x.org", updated=T, consent=T)]), "2.json")
    assert stedi.materialize(*customers).success
    frames = Step.frames

    def slowly(step: Step, block: ExitStack) -> Any:
        monkeypatch.setattr(Step, "frames", frames)
        gone = as_delivered("customer", [customer("ann@x.org", "ann", updated=T + 9, consent=None)])
        stedi.deliver("customer", gone, "3.json")
        assert stedi.materialize().success
        return frames(step, block)

    monkeypatch.setattr(Step, "frames", slowly)
    assert stedi.materialize("customer_trusted").success
    assert {row[1] for row in stedi.rows("customer_trusted")} == {"bob@x.org", "cleo@x.org"}


def test_an_upstream_version_with_the_same_rows_changes_nothing_downstream(stedi: Stedi) -> None:
    before = stedi.lakehouse.version("customers_curated")
    session(stedi, "3.json", "ann", 9)
    outcome = stedi.materialize()
    after = stedi.lakehouse.version("customers_curated")
    assert before is not None
    assert after is not None
    assert after.content == before.content != after.snapshot_id
    assert outcome.metadata("step_trainer_trusted")["made"] == "1 of 10 days: step_trainer_records changed"


@pytest.mark.parametrize("how", ["setting", "tag", "most days", "gone", "other rule"])
def test_everything_is_made_anew_where_somebody_asks_or_it_would_be_dearer_or_wrong_to_build_on(
    stedi: Stedi, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "rebuilt: that was asked for"
    if how == "setting":
        stedi.environment["STEDI_REBUILD"] = "1"
    elif how == "most days":
        session(stedi, "3.json", "ann", 5, 6, 7, 8)
        why = "rebuilt: most of it would be made again (4 of 9 days: accelerometer_records changed)"
    elif how == "gone":
        session(stedi, "3.json", "ann", 9)
        assert stedi.materialize("accelerometer_landing", "accelerometer_records", "accelerometer_quarantine").success
        table = stedi.lakehouse.load("accelerometer_records")
        assert table is not None
        table.maintenance.expire_snapshots().by_ids([table.metadata.snapshots[0].snapshot_id]).commit()
        why = "rebuilt: accelerometer_records in "
    elif how == "other rule":
        stedi.environment["STEDI_CONSENT"] = "as-of-date"
        why = "rebuilt: the option consent has changed"
    outcome = stedi.materialize(tags={REBUILD: "1"} if how == "tag" else {})
    assert outcome.success
    assert outcome.metadata("accelerometer_trusted")["made"].startswith(why)


def test_more_readings_than_an_engine_is_to_hold_are_computed_and_checked_a_span_of_days_after_the_other(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 million at once took 6.9 GB, so 81 million would not have fitted this machine."""
    session(stedi, "again.json", "ann", 3, 4, 9, 10)  # the first two are delivered again

    def made() -> dict[str, tuple[list[Any], Any]]:
        assert stedi.materialize(tags={REBUILD: "1"}).success
        versions = {name: stedi.lakehouse.version(name) for name in TABLES if not TABLES[name].of_rejects}
        return {name: (sorted(stedi.rows(name)), version and measured(version)) for name, version in versions.items()}

    at_once, spans = made(), list[str]()
    assert at_once["accelerometer_trusted"][1]["rows_reconciled"]["delivered again"] == 2
    for module in (inputs, changes):
        monkeypatch.setattr(module, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(lakehouse, "write", lambda *told: (spans.append(str(told[2])), days.write(*told)))
    assert made() == at_once
    assert all(spans.count(str(TABLES[name].taken)) > 3 for name in READINGS_TABLES)
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    assert stedi.materialize(checks=sorted(graph.get_check_keys_for_assets({*map(dg.AssetKey, TABLES)}))).success


def test_the_full_audit_finds_what_somebody_did_to_a_day_that_no_run_makes_again(stedi: Stedi) -> None:
    table = stedi.lakehouse.load("accelerometer_trusted")
    assert table is not None
    row = {"user": ["ann@x.org"], "timestamp": [FIRST + DAY], "x": [None], "y": [0.0], "z": [0.0]}
    schema = pa.schema([(name, {"user": pa.string(), "timestamp": pa.int64()}.get(name, pa.float64())) for name in row])
    path = stedi.location("accelerometer_trusted") / "data" / "theirs.parquet"
    pq.write_table(pa.table(row, schema=schema), path)
    table.add_files([f"file://{path}"])
    job = build_definitions(stedi.settings, {"spark": SharedSpark(lender=stedi.engine)}).resolve_job_def("full_audit")
    result = job.execute_in_process(instance=stedi.instance, raise_on_error=False)
    found = {one.check_name for one in result.get_asset_check_evaluations() if not one.passed}
    assert {"required_columns_filled", "rows_reconciled"} <= found
    assert {one.asset_key.to_user_string() for one in result.get_asset_check_evaluations()} >= TABLES.keys()
    assert result.get_asset_materialization_events() == []
