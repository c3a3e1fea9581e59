"""The benchmark's own feeds: the reference data's shape at any size, and the same bytes each time."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from bench.feeds import (
    BYTES_PER_SCALE,
    COLUMNS,
    CUSTOMERS_PER_SCALE,
    FEEDS,
    delivered_files,
    feed_folder,
    sizes,
    write_feeds,
)

Records = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feeds")
    write_feeds(folder, CUSTOMERS_PER_SCALE)
    return folder


@pytest.fixture(scope="module")
def records(source: Path) -> Records:
    """Every line of every file, which must be one object."""
    return {
        feed: [json.loads(line) for path in sorted(feed_folder(source, feed).iterdir()) for line in path.open()]
        for feed in FEEDS
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_the_same_number_of_customers_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "other"):
        write_feeds(folder, 150)
    assert contents(tmp_path / "one") == contents(tmp_path / "other") != {}


def test_scale_1_is_as_large_as_the_reference_data(source: Path) -> None:
    made = sizes(source)
    assert (made["customer"].lines, made["step_trainer"].lines) == (956, 28_680)
    assert made["accelerometer"].lines == pytest.approx(81_273, rel=0.001)
    assert sum(size.bytes for size in made.values()) == pytest.approx(BYTES_PER_SCALE, rel=0.05)


def test_twice_the_customers_are_twice_the_records(tmp_path: Path) -> None:
    write_feeds(tmp_path, 2 * CUSTOMERS_PER_SCALE)
    made = sizes(tmp_path)
    assert (made["customer"].lines, made["step_trainer"].lines) == (2 * 956, 2 * 28_680)
    assert made["accelerometer"].lines == pytest.approx(2 * 81_273, rel=0.001)


def test_records_are_spelled_as_the_feeds_spell_them(records: Records) -> None:
    consents = {"shareWithResearchAsOfDate", "shareWithPublicAsOfDate", "shareWithFriendsAsOfDate"}
    for feed, columns in COLUMNS.items():
        for record in records[feed]:
            assert list(record) == [name for name in columns if name not in consents or name in record]


def test_about_half_of_the_customers_share_for_research(records: Records) -> None:
    shared = sum("shareWithResearchAsOfDate" in record for record in records["customer"])
    assert 0.45 < shared / len(records["customer"]) < 0.57


def test_the_cases_that_the_rules_decide_are_there(records: Records) -> None:
    of_email, latest, holders, at = Counter[str](), Counter[tuple[str, int]](), defaultdict(set), defaultdict(set)
    for record in records["customer"]:
        of_email[record["email"].lower()] += 1
        latest[record["email"].lower(), record["lastUpdateDate"]] += 1
        holders[record["serialNumber"]].add(record["email"].lower())
    for record in records["accelerometer"]:
        at[record["timestamp"]].add(record["user"].lower())
    moving = {record["user"].lower() for record in records["accelerometer"]}
    spellings = {record["email"] for record in records["customer"]}
    assert set(of_email.values()) == {1, 2}, "some customers have two records"
    assert set(latest.values()) == {1, 2}, "of which some tie"
    assert len(spellings) > len(of_email), "and spell their address in two ways"
    assert {len(emails) for emails in holders.values()} == {1, 2}, "some serial numbers are shared"
    assert moving - of_email.keys(), "some readings are of nobody who is a customer"
    assert of_email.keys() - moving, "some customers have no reading"
    shared = sum(len(people) > 1 for people in at.values()) / len(at)
    assert 0.03 < shared < 0.1, "some people move at the very milliseconds of another"


def test_a_feed_comes_in_several_files_of_a_moderate_size_none_twice(source: Path) -> None:
    for feed, files in (("accelerometer", 9), ("step_trainer", 3)):
        folder = feed_folder(source, feed)
        assert len(list(folder.iterdir())) == len(delivered_files(folder)) == files
        assert all(len(path.read_bytes().splitlines()) <= 10_000 for path in folder.iterdir())


def test_feeds_are_written_in_constant_memory(tmp_path: Path) -> None:
    peaks = []
    for customers in (200, 1000):
        tracemalloc.start()
        write_feeds(tmp_path / str(customers), customers)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_file_delivered_twice_counts_once(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}\n")
    assert delivered_files(tmp_path) == [str(tmp_path / "a.json")]


def test_a_feed_that_is_not_there_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \.json file in .*customer/landing.*SOURCE/customer/landing/\*\.json"):
        sizes(tmp_path)
