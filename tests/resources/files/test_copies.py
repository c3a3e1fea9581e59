"""What engines read is complete, in few files, and the copies that this takes are gone afterwards."""

from __future__ import annotations

import gzip
import json

import pytest

from resources.errors import LakehouseError
from resources.files import copies
from resources.files.folder import LocalFolder
from tests.resources.files.zones import PRETTY, Zone, full_disk, put

MANY = 30


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MANY", MANY - 1)
    monkeypatch.setattr(LocalFolder, "few", MANY - 1)
    monkeypatch.setattr(copies, "SMALL", 1000)


def record(number: int) -> bytes:
    return json.dumps({"email": f"{number}@x.se"}).encode()


def deliver_many(zone: Zone, count: int = MANY) -> None:
    for number in range(count):
        zone.deliver(f"{number}.json", record(number))


def read(zone: Zone) -> list[tuple[str, str]]:
    """The landed file and the address of each record that an engine reads."""
    return sorted((file, json.loads(line)["email"]) for file, line in zone.lines)


def test_many_small_files_are_read_from_few_bundles_that_hold_each_record_once_with_its_file(zone: Zone) -> None:
    deliver_many(zone, 2 * MANY)
    zone.deliver("pretty.json", PRETTY)
    zone.deliver("packed.json.gz", gzip.compress(record(2 * MANY) + b"\n\n" + record(2 * MANY + 1)))
    zone.deliver("torn.json", b'{"email": "\xff"}')
    zone.deliver("empty.json", b"")
    zone.deliver("large.json", b"\r\n".join(map(record, range(100, 200))))
    with zone.zone.readable("customer", zone.sync().files) as texts:
        assert [text.path for text in texts if text.file] == [zone.landed.path("large.json")]
        assert {text.path for text in texts if not text.file} == {*map(zone.beside.path, zone.copies)}
        assert len(zone.copies) == 3
        assert all(line.strip() for bundle in zone.copies.values() for line in bundle.decode().split("\n")[:-1])
    assert read(zone) == sorted(
        [
            ("pretty.json", "ann@x.se"),
            ("torn.json", "\ufffd"),
            *((f"{number}.json", f"{number}@x.se") for number in range(2 * MANY)),
            *(("packed.json.gz", f"{number}@x.se") for number in (2 * MANY, 2 * MANY + 1)),
            *(("large.json", f"{number}@x.se") for number in range(100, 200)),
        ]
    )


def test_few_small_files_are_read_as_they_are(zone: Zone) -> None:
    deliver_many(zone, MANY - 1)
    with zone.zone.readable("customer", zone.sync().files) as texts:
        assert all(text.file for text in texts)
        assert zone.copies == {}


def test_what_no_engine_reads_line_by_line_is_read_from_a_rewritten_copy(anywhere: Zone) -> None:
    anywhere.deliver("1.json", record(1))
    anywhere.deliver("pretty.json.gz", gzip.compress(PRETTY.replace(b"ann", b"eve")))
    anywhere.deliver("torn.json", b'{"email": "\xff"}\n')
    assert anywhere.sync().rewritten == ["pretty.json.gz", "torn.json"]
    assert read(anywhere) == [("1.json", "1@x.se"), ("pretty.json.gz", "eve@x.se"), ("torn.json", "\ufffd")]


def test_only_what_is_to_be_read_is_copied(zone: Zone) -> None:
    deliver_many(zone)
    zone.deliver("pretty.json", PRETTY)
    fresh = [file for file in zone.sync().files if file.name == "pretty.json"]
    assert zone.copies == {}
    with zone.zone.readable("customer", fresh) as texts:
        assert [content.count(b"\n") for content in zone.copies.values()] == [1]
        assert len(texts) == 1


def test_copies_are_gone_when_they_have_been_read_also_where_reading_them_failed(anywhere: Zone) -> None:
    """They hold names and addresses, and nobody would think of looking for them there."""
    deliver_many(anywhere)
    anywhere.deliver("pretty.json", PRETTY.replace(b"ann@x.se", b"eve" * 400))
    files = anywhere.sync().files
    with anywhere.zone.readable("customer", files):
        assert len(anywhere.copies) == 3
    assert anywhere.copies == {}
    with pytest.raises(OSError, match="mine"), anywhere.zone.readable("customer", files):
        raise OSError("mine")
    assert anywhere.copies == {}


def test_a_copy_that_breaks_off_is_told_and_leaves_nothing(zone: Zone) -> None:
    for number in range(3):
        zone.deliver(f"{number}.json", PRETTY * 10 ** (number + 1))
    files = zone.sync().files
    with (
        full_disk(after=5_000),
        pytest.raises(LakehouseError, match=r"Could not read what is landed of the feed 'customer'.*File too large"),
        zone.zone.readable("customer", files),
    ):
        pass
    assert zone.copies == {}


def test_what_a_run_that_was_killed_left_goes_with_the_next_sync(anywhere: Zone) -> None:
    anywhere.deliver("1.json", record(1))
    anywhere.sync()
    for folder, name in ((anywhere.landed, ".2.json.part"), (anywhere.beside, "0123.json")):
        put(folder, name, record(2))
    anywhere.sync()
    assert (anywhere.files, anywhere.copies) == ({"1.json": record(1)}, {})
