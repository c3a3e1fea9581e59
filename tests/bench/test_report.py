"""The report: ratios, and tables that a person and a Markdown viewer can read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.contestants import Contestant
from bench.delivered import Size
from bench.measure import Measurement
from bench.race import Race
from bench.report import Setting, ratio, render, table
from bench.steps import PHASES, Imports, Steps

SETTING = Setting(
    datetime(2024, 2, 3, 4, 5, tzinfo=UTC),
    "scale 1",
    {"customer": Size(2, 956, 3_000_000)},
    "a machine",
    "Python 1",
    [],
)


def runs(*seconds: float, peak: float | None = 100.0) -> dict[int, Measurement]:
    return {number: Measurement(0.0, took, peak) for number, took in enumerate(seconds, start=1)}


def row(name: str) -> Contestant:
    return Contestant(name, f"the {name} one", (), Path())


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    # Not 2 / 10, the ratio of the medians: the round in which the machine was busy hit both.
    assert ratio(runs(1, 2, 90), runs(10, 4, 100)) == pytest.approx(0.5)


def test_a_round_in_which_the_yardstick_did_not_run_has_no_part_in_the_ratio() -> None:
    assert ratio(runs(1, 1000), runs(2)) == pytest.approx(0.5)
    assert ratio(runs(1), {}) is None


def test_a_row_has_median_min_max_peak_rows_and_ratio() -> None:
    race = Race({"plain": runs(8, 2, 4), "duckdb": runs(1, 1, 1, peak=1234.5)}, counts={"one": 1000, "other": 234})
    report = render(SETTING, [row("plain"), row("duckdb")], race, None)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if "the " in line[:6]]
    assert cells == [
        ["the plain one", "3", "4.00", "2.00", "8.00", "100 MB", "1,234", "1.00"],
        ["the duckdb one", "3", "1.00", "1.00", "1.00", "1,234 MB", "1,234", "0.25"],
    ]
    for told in ("2024-02-03 04:05", "scale 1", "956 customer", "3 MB in 2 files", "a machine", "Python 1"):
        assert told in report


def test_where_no_memory_was_measured_the_report_says_so() -> None:
    report = render(SETTING, [row("plain")], Race({"plain": runs(1, peak=None)}), None)
    assert "not measured" in report


def test_where_the_time_goes_is_shown_of_the_run_in_the_middle() -> None:
    asset = dict.fromkeys(PHASES, 0.0) | {"check": 1.5, "compute": 0.5}
    divided = Steps(loading=2.0, planning=0.5, assets={"the_table": asset}, between=0.25, ending=0.25)
    other = Steps(loading=9.0, planning=9.0, assets={"another": asset}, between=0.0, ending=0.0)
    race = Race({"embedded": runs(1, 9, 5)}, {"embedded": {1: other, 2: other, 3: divided}})
    report = render(SETTING, [row("embedded")], race, Imports(1.0, 0.5))
    assert "The run of 5.00 s" in report
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("|")]
    assert ["check", "1.50", "30%", "█" * 9] in lines
    assert ["Python starts and imports Dagster", "1.00", "20%", "█" * 6] in lines
    assert lines[-3][1:] == ["compute", "check", "all"], "phases that took no time have no column"
    assert lines[-1] == ["the_table", "0.50", "1.50", "2.00"]


def test_a_table_is_aligned_markdown() -> None:
    assert table(("name", "n"), [["a", "1,000"], ["long name", "2"]]).splitlines() == [
        "| name      |     n |",
        "|-----------|------:|",
        "| a         | 1,000 |",
        "| long name |     2 |",
    ]
