"""The memory of a run: bounded, however large the feeds are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.contestants import contestants
from bench.measure import measure
from sample.delivery import REFERENCE_CUSTOMERS
from sample.feeds import write_feeds

pytestmark = pytest.mark.slow

MOST_MB = 4_000
"""The benchmark's bound for feeds of a hundred times the reference data, 8 million readings."""


def test_a_run_on_a_hundred_times_the_reference_data_stays_within_its_memory(
    tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    scale = rounds(0, 100)
    if not scale:
        pytest.skip("it reads 1 GB of feeds: under --full")
    write_feeds(tmp_path / "feeds", REFERENCE_CUSTOMERS * scale, clean=True)
    embedded = next(one for one in contestants(tmp_path / "feeds", tmp_path) if one.name == "embedded")
    embedded.prepare(lambda: None)
    run = measure(embedded.command, tmp_path, embedded.environment)
    assert run.peak_mb is not None, "this system does not tell how much memory a process has"
    print(f"{run.peak_mb:,.0f} MB, {run.seconds:.0f} s")
    assert run.peak_mb < MOST_MB
