"""The programs that are timed make the same tables, and the benchmark as a whole tells their times."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from bench.contestants import ROOT, Contestant, contestants
from bench.machine import java_version
from bench.measure import Measurement
from bench.steps import PHASES, Imports, Steps, steps_of
from bench.tables import TABLES, Digests, differences, digest
from sample.feeds import write_feeds
from tests.support import Stedi, require

CUSTOMERS = 300


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    write_feeds(folder / "source", CUSTOMERS, clean=True)
    return folder


@pytest.fixture(scope="module")
def rows(scratch: Path) -> dict[str, Contestant]:
    return {row.name: row for row in contestants(scratch / "source", scratch)}


def digests(row: Contestant) -> Digests:
    return {table: digest(row.files(table)) for table in TABLES}


def by_command(row: Contestant) -> Digests:
    row.prepare(lambda: None)
    subprocess.run(row.command, cwd=ROOT, env=row.environment, check=True, capture_output=True)
    return digests(row)


@pytest.fixture(scope="module")
def lakehouse(rows: dict[str, Contestant], spark: object) -> tuple[Digests, Steps, float]:
    """The project's tables, where the time of making them went, and how long it took."""
    row, began = rows["embedded"], time.time()
    row.prepare(lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(row.home))
        instance = dg.DagsterInstance.get()
    with instance:
        settings = {name: value for name, value in row.environment.items() if name.startswith("STEDI_")}
        assert Stedi(row.folder, environment=settings, instance=instance).materialize().success
    run = Measurement(began, time.time() - began, None)
    return digests(row), steps_of(row.home, run), run.seconds


@pytest.fixture(scope="module")
def lower_bound(rows: dict[str, Contestant]) -> Digests:
    return by_command(rows["duckdb"])


def test_duckdb_makes_the_lakehouse_s_tables(lakehouse: tuple[Digests, Steps, float], lower_bound: Digests) -> None:
    assert differences({"lakehouse": lakehouse[0], "duckdb": lower_bound}) == []
    assert all(one.rows for one in lower_bound.values())


def test_the_plain_script_makes_the_lakehouse_s_tables(rows: dict[str, Contestant], lower_bound: Digests) -> None:
    require(java_version() is not None, "Apache Spark needs Java 17")
    assert differences({"plain": by_command(rows["plain"]), "duckdb": lower_bound}) == []


@pytest.mark.parametrize("name", ["embedded-day", "embedded-withdrawal"])
def test_what_comes_last_makes_the_same_tables_and_is_not_all_there_is(
    rows: dict[str, Contestant], lower_bound: Digests, name: str, rounds: Callable[[int, int], int]
) -> None:
    if name == "embedded-withdrawal" and not rounds(0, 1):
        pytest.skip("that a withdrawal makes what a rebuild would is in tests/stedi_assets/ as well: --full")
    row = rows[name]

    def run() -> Digests:
        subprocess.run(row.command, cwd=ROOT, env=row.environment, check=True, capture_output=True)
        return digests(row)

    before: list[Digests] = []
    row.prepare(lambda: before.append(run()))
    assert run() == lower_bound != before[0]
    row.prepare(lambda: before.append(run()))
    assert before[1] == before[0]


def test_each_rule_leaves_somebody_out(lower_bound: Digests) -> None:
    counts = {table: one.rows for table, one in lower_bound.items()}
    assert counts["customers_curated"] < counts["customer_trusted"] < CUSTOMERS // 2 + 50
    assert counts["machine_learning_curated"] < counts["accelerometer_trusted"]


def test_the_naive_assets_are_the_five_tables_with_a_process_each(
    rows: dict[str, Contestant], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rows["naive"].settings.items():
        monkeypatch.setenv(name, value)
    naive = importlib.import_module("bench.naive_dagster")
    assets = dg.load_assets_from_modules([naive])
    assert {key.to_user_string() for one in assets if isinstance(one, dg.AssetsDefinition) for key in one.keys} == set(
        TABLES
    )
    # The default executor of Dagster is the one that starts a process for each asset.
    assert not [value for value in vars(naive).values() if isinstance(value, dg.Definitions | dg.ExecutorDefinition)]


def test_where_the_time_goes_is_read_from_a_real_run(lakehouse: tuple[Digests, Steps, float]) -> None:
    _, steps, seconds = lakehouse
    assert sum(steps.totals(Imports(0.0, 0.0)).values()) == pytest.approx(seconds, abs=0.01)
    assert steps.assets["accelerometer_landing"]["sync"] > 0
    for step in ("accelerometer_ingest", "machine_learning_curated"):
        assert all(steps.assets[step][phase] > 0 for phase in ("compute", "check", "publish", "report", "Dagster"))
    assert all(set(parts) == set(PHASES) for parts in steps.assets.values())
    assert min(seconds for parts in steps.assets.values() for seconds in parts.values()) > -0.05


def test_the_benchmark_tells_its_times_and_writes_them_down(tmp_path: Path) -> None:
    command = [sys.executable, "bench/run", "--only", "duckdb", "--runs", "2", "--report", str(tmp_path / "report.md")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"^\| DuckDB script, the lower bound \| +2 \| +\d+\.\d\d \|", ran.stdout, re.M)
    assert (tmp_path / "report.md").read_text() == ran.stdout
