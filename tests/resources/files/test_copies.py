"""Engines open few files: many small ones are bundled, and a delivery touches only the bundles it adds to."""

from __future__ import annotations

import gzip
import json

import pytest

from resources.files import copies
from tests.resources.files.zones import PRETTY, Zone

MANY, VERY_MANY = 30, 300


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MANY", MANY - 1)
    monkeypatch.setattr(copies, "VERY_MANY", VERY_MANY - 1)
    monkeypatch.setattr(copies, "SMALL", 1000)


def record(number: int) -> bytes:
    return json.dumps({"email": f"{number}@x.se"}).encode()


def deliver_many(zone: Zone, first: int = 0, count: int = MANY) -> None:
    for number in range(first, first + count):
        zone.deliver(f"{number}.json", record(number))


def read(zone: Zone) -> list[tuple[str, str]]:
    """The landed file and the address of each record that an engine reads."""
    return sorted((file, json.loads(line)["email"]) for file, line in zone.lines)


def test_many_small_files_are_read_from_few_bundles_that_hold_each_record_once_with_its_file(zone: Zone) -> None:
    deliver_many(zone)
    zone.deliver("pretty.json", PRETTY)
    zone.deliver("packed.json.gz", gzip.compress(record(MANY) + b"\n\n" + record(MANY + 1)))
    zone.deliver("torn.json", b'{"email": "\xff"}')
    zone.deliver("empty.json", b"")
    zone.deliver("large.json", b"\r\n".join(map(record, range(MANY + 2, MANY + 100))))
    texts = zone.zone.readable("customer", zone.sync())
    assert len(texts) <= 17
    assert [text.path for text in texts if text.file == "large.json"] == [zone.landed.path("large.json")]
    assert read(zone) == sorted(
        [
            ("pretty.json", "ann@x.se"),
            ("torn.json", "\ufffd"),
            *((f"{number}.json", f"{number}@x.se") for number in range(MANY)),
            *(("packed.json.gz", f"{number}@x.se") for number in (MANY, MANY + 1)),
            *(("large.json", f"{number}@x.se") for number in range(MANY + 2, MANY + 100)),
        ]
    )
    bundles = [zone.copies[text.path.rpartition("/")[2]] for text in texts if text.file is None]
    assert bundles
    assert all(line.strip() for bundle in bundles for line in bundle.decode().split("\n")[:-1])


def test_few_small_files_are_read_as_they_are(zone: Zone) -> None:
    deliver_many(zone, count=MANY - 1)
    zone.sync()
    assert zone.copies == {}


def test_a_delivery_makes_anew_only_the_bundles_that_it_adds_to(zone: Zone) -> None:
    deliver_many(zone, count=VERY_MANY)
    zone.sync()
    before = set(zone.copies)
    deliver_many(zone, first=VERY_MANY, count=3)
    zone.sync()
    assert len(set(zone.copies) - before) <= 3
    assert len(before & set(zone.copies)) > 50
    assert len(read(zone)) == VERY_MANY + 3


def test_a_bundle_is_made_anew_where_a_file_of_it_has_another_name(zone: Zone) -> None:
    deliver_many(zone)
    zone.sync()
    before = zone.copies
    for name in ("0.json", "1.json"):
        zone.landed.remove([name])
    zone.withdraw("0.json", "1.json")
    for number in range(2):
        zone.deliver(f"renamed-{number}.json", record(number))
    zone.sync()
    assert [file for file, email in read(zone) if email in ("0@x.se", "1@x.se")] == ["renamed-0.json", "renamed-1.json"]
    assert set(zone.copies) - set(before)
