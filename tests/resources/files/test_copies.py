"""Engines open few files: many small ones are bundled, and a delivery touches only the bundles it adds to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from resources.files import copies
from resources.files.manifest import SyncResult
from tests.resources.files.test_landing_zone import PRETTY, Zone, zone

__all__ = ["zone"]
MANY = 600


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MANY", MANY - 1)
    monkeypatch.setattr(copies, "SMALL", 1000)


def record(number: int) -> bytes:
    return json.dumps({"email": f"{number}@x.se"}).encode()


def deliver_many(zone: Zone, first: int = 0, count: int = MANY) -> None:
    for number in range(first, first + count):
        zone.deliver(f"{number}.json", record(number))


def read(zone: Zone, landing: SyncResult) -> list[str]:
    return [text.path for text in zone.zone.readable("customer", landing) if Path(text.path).parent == zone.beside]


def emails(zone: Zone) -> list[str]:
    return sorted(json.loads(line)["email"] for line in zone.lines)


def test_many_small_files_are_read_from_few_bundles_that_hold_each_record_once(zone: Zone) -> None:
    deliver_many(zone)
    zone.deliver("pretty.json", PRETTY)
    zone.deliver("packed.json.gz", gzip.compress(record(MANY)))
    zone.deliver("torn.json", b'{"email": "\xff"}')
    zone.deliver("empty.json", b"")
    landing = zone.sync()
    paths = [text.path for text in zone.zone.readable("customer", landing)]
    assert len(paths) <= 256
    assert emails(zone) == sorted(["ann@x.se", "\ufffd", *(f"{number}@x.se" for number in range(MANY + 1))])
    assert len(zone.files) == MANY + 4


def test_a_large_file_is_read_as_it_is_beside_the_bundles(zone: Zone) -> None:
    deliver_many(zone)
    zone.deliver("large.json", b"\n".join(map(record, range(MANY, MANY + 100))))
    landing = zone.sync()
    assert str(zone.landed / "large.json") in [text.path for text in zone.zone.readable("customer", landing)]
    assert len(emails(zone)) == MANY + 100


def test_few_small_files_are_read_as_they_are(zone: Zone) -> None:
    deliver_many(zone, count=MANY - 1)
    assert read(zone, zone.sync()) == []


def test_a_delivery_makes_anew_only_the_bundles_that_it_adds_to(zone: Zone) -> None:
    deliver_many(zone)
    before = set(read(zone, zone.sync()))
    deliver_many(zone, first=MANY, count=3)
    after = set(read(zone, zone.sync()))
    assert 1 <= len(after - before) <= 3
    assert len(before & after) > 100
    assert {str(path) for path in zone.beside.glob("*.json") if path.name != "manifest.json"} == after
    assert len(emails(zone)) == MANY + 3
