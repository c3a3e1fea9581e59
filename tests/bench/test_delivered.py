"""The feeds that the programs under test are given: which files, how large, and spelled as the scripts expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.delivered import COLUMNS, Size, delivered_files, sizes
from sample.feeds import write_feeds
from stedi_assets.contracts import FEEDS


def test_the_scripts_read_each_feed_as_its_contract_types_it() -> None:
    assert {
        feed.name: {column.feed_names[0]: column.type.upper() for column in feed.landing.columns} for feed in FEEDS
    } == COLUMNS


def test_a_feed_is_as_large_as_its_files(tmp_path: Path) -> None:
    expected = write_feeds(tmp_path, customers=200, clean=True).customer
    for feed, size in sizes(tmp_path).items():
        files = [*(tmp_path / feed / "landing").iterdir()]
        assert size == Size(len(files), expected[f"{feed}_records"], sum(file.stat().st_size for file in files))


def test_a_file_delivered_twice_counts_once(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}\n")
    assert delivered_files(tmp_path) == [str(tmp_path / "a.json")]


def test_a_feed_that_is_not_there_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \.json file in .*customer/landing.*SOURCE/customer/landing/\*\.json"):
        sizes(tmp_path)
