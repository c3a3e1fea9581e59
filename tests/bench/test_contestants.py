"""The rows of the benchmark: what is run, and from which starting point."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.contestants import ROOT, Contestant, contestants


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, Contestant]:
    return {row.name: row for row in contestants(tmp_path / "source", tmp_path / "scratch")}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `bench/run` defines."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return runpy.run_path(str(ROOT / "bench" / "run"))


def not_run() -> None:
    raise AssertionError("the command was run where it must not be")


def test_a_lakehouse_starts_without_tables_landed_files_and_history(rows: dict[str, Contestant]) -> None:
    for name in ("embedded", "local"):
        for left in (rows[name].tables / "catalog.db", rows[name].home / "history" / "runs.db"):
            left.parent.mkdir(parents=True)
            left.touch()
        rows[name].prepare(not_run)
        files = [path.relative_to(rows[name].folder) for path in rows[name].folder.rglob("*") if path.is_file()]
        assert files == [Path("dagster_home/dagster.yaml")]


def test_the_daily_row_starts_from_what_one_run_before_left(rows: dict[str, Contestant]) -> None:
    daily, ran = rows["embedded-again"], list[int]()
    for _ in range(3):
        daily.prepare(lambda: ran.append((daily.folder / "tables").mkdir() or 1))
        daily.clear()
    assert ran == [1]
    assert daily.tables.is_dir()


def test_settings_of_the_caller_s_shell_change_nothing(
    rows: dict[str, Contestant], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STEDI_CONSENT", "DAGSTER_HOME", "SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS"):
        monkeypatch.setenv(name, "foreign")
    for row in rows.values():
        assert "foreign" not in row.environment.values()
        assert row.environment["DAGSTER_HOME"] == str(row.home)
        assert "PATH" in row.environment


def test_rows_are_chosen_by_name_and_one_that_is_not_there_is_refused(
    rows: dict[str, Contestant], bench: dict[str, Any]
) -> None:
    assert [*rows] == [
        "embedded",
        "embedded-again",
        "embedded-day",
        "embedded-withdrawal",
        "local",
        "plain",
        "naive",
        "duckdb",
    ]
    runnable, skipped = bench["chosen"]([*rows.values()], "duckdb,embedded")
    assert ([row.name for row in runnable], skipped) == (["embedded", "duckdb"], [])
    with pytest.raises(SystemExit, match=r"^There is no row sparkle: see --list\.$"):
        bench["chosen"]([*rows.values()], "duckdb,sparkle")


def test_without_java_the_rows_that_need_it_are_skipped_and_said_to_be(
    rows: dict[str, Contestant], bench: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    runnable, skipped = bench["chosen"]([*rows.values()], "duckdb,plain")
    assert [row.name for row in runnable] == ["duckdb"]
    no_java = "Apache Spark has no Java to run on. Install Java 17"
    assert skipped[0].startswith(f"plain PySpark script, Apache Spark: left out, since {no_java}")
    with pytest.raises(SystemExit, match=f"^{no_java}"):
        bench["chosen"]([*rows.values()], "plain")
