"""What each day after the sample brings, and that it is the same day whoever asks for it, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from sample import feeds as sample
from sample.days import FIRST_DAY, WALKERS
from sample.feeds import deliver_next_day, ensure_feeds
from sample.people import DAY
from tests.oracle import consented
from tests.sample.reader import Feeds, content

CUSTOMERS, DAYS = 60, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample, and some days after it."""
    folder = tmp_path_factory.mktemp("days") / "feeds"
    for _ in range(DAYS):
        deliver_next_day(folder, CUSTOMERS)
    return folder


def test_the_same_day_brings_the_same_bytes_and_each_day_others(folder: Path, tmp_path: Path) -> None:
    for _ in range(DAYS):
        deliver_next_day(tmp_path / "feeds", CUSTOMERS)
    assert content(tmp_path / "feeds") == content(folder)
    assert len(set(content(folder).values())) == len(content(folder)) - DAYS  # each one delivers a file again


def test_the_days_stay_where_the_sample_is_made_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_feeds(tmp_path / "feeds", CUSTOMERS)
    for _ in range(DAYS):
        deliver_next_day(tmp_path / "feeds", CUSTOMERS)
    monkeypatch.setattr(sample, "GENERATION", sample.GENERATION + 1)
    ensure_feeds(tmp_path / "feeds", CUSTOMERS)
    made, before = (content(one) for one in (tmp_path / "feeds", folder))
    assert made.pop(sample.MARKER) != before.pop(sample.MARKER)
    assert made == before


def test_on_each_day_somebody_is_new_and_somebody_who_had_agreed_withdraws(folder: Path, tmp_path: Path) -> None:
    ensure_feeds(tmp_path / "feeds", CUSTOMERS)
    before, after = Feeds(tmp_path / "feeds").customers, Feeds(folder).customers
    assert len(after) == len(before) + DAYS
    withdrew = [who for who, customer in before.items() if customer.consents and not after[who].consents]
    assert len(withdrew) == DAYS
    assert all(consented(after[who].record) for who in after.keys() - before.keys())


def test_the_readings_of_a_day_are_all_taken_on_it_by_customers_who_agree(folder: Path) -> None:
    days = Feeds(folder)
    for number in range(1, DAYS + 1):
        day = range(FIRST_DAY + (number - 1) * DAY, FIRST_DAY + number * DAY)
        stepped = [customer for customer in days.customers.values() if any(at in day for at in customer.motion)]
        assert len(stepped) == WALKERS
        assert all(any(at in day for at in customer.distance) for customer in stepped)


def test_where_few_agree_the_days_go_on(tmp_path: Path) -> None:
    """Who came on an earlier day withdraws, when nobody else is left."""
    for _ in range(4):
        day = deliver_next_day(tmp_path / "feeds", customers=1)
        assert len(day.walks) == 1
    assert sum(customer.consents for customer in Feeds(tmp_path / "feeds").customers.values()) == 1
