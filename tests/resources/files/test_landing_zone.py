"""The landing zone holds what the source delivered: every file, byte for byte, each content once."""

from __future__ import annotations

import gzip
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import LakehouseError
from resources.files import folder
from resources.files.folder import File
from resources.files.source import landing_name
from tests.resources.files.zones import ONE, PRETTY, THREE, TWO, Zone, full_disk, make_empty_folder, put, remove_folder


def test_files_land_byte_for_byte(anywhere: Zone) -> None:
    odd = b'\xef\xbb\xbf{"email": "\xff"}\r\n\r\n\x00{"half'
    packed = gzip.compress(ONE)
    for name, content in {"odd.json": odd, "2022/may/packed.json.gz": packed, "pretty.json": PRETTY}.items():
        anywhere.deliver(name, content)
    result = anywhere.sync()
    assert anywhere.files == {"odd.json": odd, "2022/may/packed.json.gz": packed, "pretty.json": PRETTY}
    assert result.new == ["2022/may/packed.json.gz", "odd.json", "pretty.json"]
    assert result.size == len(odd) + len(packed) + len(PRETTY)
    assert anywhere.zone.uri("customer") == anywhere.landed.uri


def test_what_was_never_synced_is_told_apart(anywhere: Zone) -> None:
    assert not anywhere.zone.landed("customer").synced
    anywhere.deliver("1.json", ONE)
    anywhere.sync()
    assert anywhere.zone.landed("customer").synced


# What a second run does


def test_a_second_run_writes_nothing(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.deliver("two words/2.json.gz", gzip.compress(TWO))
    anywhere.deliver("pretty.json", PRETTY)
    first, stamps = anywhere.sync(), anywhere.stamps
    second = anywhere.sync()
    assert anywhere.stamps == stamps
    assert sorted(second.unchanged) == sorted(first.new)
    assert (second.new, second.replaced, second.fingerprint) == ([], [], first.fingerprint)


def test_a_file_whose_date_alone_changed_is_not_written_again(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    zone.sync()
    stamps = zone.stamps
    os.utime(path, ns=(0, 0))
    assert zone.sync().unchanged == ["1.json"]
    assert zone.stamps == stamps


def test_a_file_that_did_not_change_is_not_even_read_again(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.deliver("1.json", ONE)
    zone.sync()
    # Shortly after its last change a file may change again within one tick of the file system's clock.
    opened: list[str] = []
    read = File.open
    monkeypatch.setattr(File, "open", lambda file: (opened.append(file.name), read(file))[1])
    assert (zone.sync().unchanged, opened) == (["1.json"], ["1.json"])
    monkeypatch.setattr(folder, "TICK", 0)
    opened.clear()
    zone.sync()
    opened.clear()
    assert (zone.sync().unchanged, opened) == (["1.json"], [])


def test_other_content_of_the_same_size_and_date_is_noticed(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zone.deliver("1.json", ONE)
    before = path.stat()
    for tick in (folder.TICK, 0):
        monkeypatch.setattr(folder, "TICK", tick)
        for content in (ONE, TWO, THREE):
            path.write_bytes(content)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            zone.sync()
            assert zone.files == {"1.json": content}
            time.sleep(0 if tick else 0.02)


def test_without_its_manifest_every_file_is_compared_by_content(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.sync()
    put(anywhere.landed, "1.json", TWO)
    anywhere.beside.remove(["manifest.json"])
    assert anywhere.sync().replaced == ["1.json"]
    assert anywhere.files == {"1.json": ONE}


def test_new_files_are_added_and_changed_ones_of_the_same_size_replaced(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.deliver("2.json", TWO)
    before = anywhere.sync()
    anywhere.deliver("2.json", THREE)
    anywhere.deliver("3.json", TWO + THREE)
    result = anywhere.sync()
    assert (result.new, result.replaced, result.unchanged) == (["3.json"], ["2.json"], ["1.json"])
    assert anywhere.files == {"1.json": ONE, "2.json": THREE, "3.json": TWO + THREE}
    assert result.fingerprint != before.fingerprint


def test_what_the_source_removed_stays(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.deliver("2.json", PRETTY)
    before = anywhere.sync()
    anywhere.withdraw("2.json")
    after = anywhere.sync()
    assert (after.unchanged, after.unreadable) == (["1.json"], {})
    assert anywhere.files == {"1.json": ONE, "2.json": PRETTY}
    assert after.fingerprint == before.fingerprint


def test_a_feed_of_which_the_source_has_no_file_any_more_stays_and_that_is_said(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    put(anywhere.delivered, "a/2.json", TWO)
    anywhere.sync()
    anywhere.withdraw()
    make_empty_folder(anywhere.delivered)
    result = anywhere.sync()
    assert [file.name for file in result.files] == ["1.json", "a/2.json"]
    assert result.ignored == {"customers": "it has no file any more; what was landed before stays"}
    assert len(anywhere.lines) == 2


def test_a_feed_whose_folder_vanished_is_neither_kept_in_silence_nor_emptied(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.sync()
    remove_folder(anywhere.delivered)
    with pytest.raises(LakehouseError, match=r"no folder of it is in .* any more.*[Pp]ut it back.*empty folder"):
        anywhere.sync()
    assert anywhere.files == {"1.json": ONE}


@pytest.mark.parametrize("content", [b"", ONE], ids=["empty", "cut short"])
def test_a_file_that_lost_most_of_its_bytes_is_named_until_it_has_them_again(anywhere: Zone, content: bytes) -> None:
    for delivered in (ONE + TWO + THREE, content):
        anywhere.deliver("1.json", delivered)
        anywhere.sync()
    for seen in (anywhere.sync(), anywhere.zone.landed("customer")):
        assert [(file.size, file.most) for file in seen.shrunk] == [(len(content), len(ONE + TWO + THREE))]
    anywhere.deliver("1.json", ONE + TWO)
    assert anywhere.sync().shrunk == []


# What was read


def test_which_contents_were_read_is_remembered_until_it_is_forgotten(anywhere: Zone) -> None:
    zone, listings = anywhere.zone, []
    for name, content in {"1.json": ONE, "2.json": TWO}.items():
        anywhere.deliver(name, content)
        zone.remember("customer", landed := anywhere.sync())
        listings.append((landed.fingerprint, {file.name: file.sha256 for file in landed.files}))
    (first, _), (second, _) = listings
    assert [(one, zone.remembered("customer", one)) for one in (first, second)] == listings
    anywhere.sync()
    zone.forget("customer", but=second)
    assert (zone.remembered("customer", first), zone.remembered("customer", second)) == (None, listings[1][1])
    assert zone.remembered("accelerometer", second) is None


@pytest.mark.parametrize("content", [b"", b'{"1.json": "0', b"\xff", b"[]", b"null"])
def test_a_listing_that_is_broken_is_none(zone: Zone, content: bytes) -> None:
    zone.deliver("1.json", ONE)
    zone.zone.remember("customer", landed := zone.sync())
    put(zone.beside, f"{landed.fingerprint}.files.json", content)
    assert zone.zone.remembered("customer", landed.fingerprint) is None


def test_a_listing_that_cannot_be_read_is_an_error_and_no_reason_to_read_everything_again(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    fingerprint = zone.sync().fingerprint
    Path(zone.beside.path(f"{fingerprint}.files.json")).mkdir()
    with pytest.raises(LakehouseError, match="Could not look up what was read of the feed 'customer'"):
        zone.zone.remembered("customer", fingerprint)


# Another source


def test_pointing_at_another_source_starts_the_landing_zone_anew(anywhere: Zone) -> None:
    anywhere.deliver("sample.json", ONE)
    anywhere.deliver("both.json", THREE)
    anywhere.sync()
    other = replace(anywhere, source="other")
    with pytest.raises(LakehouseError):  # nothing is there: what the first one brought stays
        other.sync()
    assert anywhere.sync().unchanged == ["both.json", "sample.json"]
    other.deliver("real.json", TWO)
    other.deliver("both.json", THREE)
    result = other.sync()
    assert (result.dropped, result.new) == (["both.json", "sample.json"], ["both.json", "real.json"])
    assert other.files == {"both.json": THREE, "real.json": TWO}


def test_a_first_run_that_broke_off_leaves_nothing_to_mix_with_another_source(zone: Zone) -> None:
    zone.deliver("sample 1.json", ONE)
    zone.deliver("sample 2.json", THREE * 5000)
    with full_disk(after=50_000), pytest.raises(LakehouseError):
        zone.sync()
    other = replace(zone, source="other")
    other.deliver("real.json", TWO)
    other.sync()
    assert zone.files == {"real.json": TWO}


# A file delivered twice


@pytest.mark.parametrize("name", ["0.json", "copy of 1.json.gz"])
def test_a_file_delivered_under_two_names_is_reported_and_the_landed_one_keeps_its_place(
    anywhere: Zone, name: str
) -> None:
    anywhere.deliver("1.json", ONE)
    before, stamps = anywhere.sync(), anywhere.stamps
    anywhere.deliver(name, gzip.compress(ONE) if name.endswith(".gz") else ONE)
    result = anywhere.sync()
    assert (result.duplicates, result.new, result.unchanged) == ({landing_name(name): "1.json"}, [], ["1.json"])
    assert result.fingerprint == before.fingerprint
    assert anywhere.stamps == stamps
    assert anywhere.lines == [("1.json", ONE.decode().strip())]


@pytest.mark.parametrize(
    ("before", "after", "landed", "duplicates", "new"),
    [
        ([ONE, TWO], [TWO, TWO], [None, TWO], {"0.json": "1.json"}, []),
        ([ONE, ONE], [TWO, ONE], [TWO, ONE], {}, ["1.json"]),
        ([ONE, None], [None, ONE], [ONE, None], {"1.json": "0.json"}, []),
        ([ONE, TWO], [TWO, ONE], [TWO, ONE], {}, []),
    ],
    ids=["gets a landed one's content", "gets other content than its twin", "is renamed", "exchanges its content"],
)
def test_a_content_counts_once_where_a_file(
    zone: Zone,
    before: list[bytes | None],
    after: list[bytes | None],
    landed: list[bytes | None],
    duplicates: dict[str, str],
    new: list[str],
) -> None:
    for delivery in (before, after):
        zone.withdraw()
        for number, content in enumerate(delivery):
            if content:
                zone.deliver(f"{number}.json", content)
        result = zone.sync()
    assert zone.files == {f"{number}.json": content for number, content in enumerate(landed) if content}
    assert (result.duplicates, result.new) == (duplicates, new)


def test_empty_files_are_no_second_deliveries_of_each_other(zone: Zone) -> None:
    for name in ("1.json", "2.json"):
        zone.deliver(name, b"")
    result = zone.sync()
    assert (result.empty, result.duplicates) == (["1.json", "2.json"], {})
    with zone.zone.readable("customer", result.files) as texts:
        assert texts == []


some_contents = st.sampled_from([ONE, TWO, THREE, PRETTY])
deliveries = st.dictionaries(st.sampled_from(["a.json", "b.json", "c d.json", "n/e.json"]), some_contents, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(deliveries, min_size=1, max_size=4))
def test_after_any_history_of_deliveries_each_content_of_the_source_is_landed_once(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, bytes]]
) -> None:
    zone = Zone(str(tmp_path_factory.mktemp("history")))
    zone.deliver("first.json", b'{"email": "first@x.se"}\n')
    zone.sync()
    for delivery in history:
        zone.withdraw()
        for name, content in delivery.items():
            zone.deliver(name, content)
        result = zone.sync()
        landed = list(zone.files.values())
        assert set(landed) >= set(delivery.values())
        assert len(landed) == len(set(landed)) == len(result.files)
        assert {file.name for file in result.files} == set(zone.files)
        assert result.files == zone.zone.landed("customer").files


def test_the_fingerprint_depends_on_contents_and_names_alone(tmp_path: Path) -> None:
    def fingerprint(**files: bytes) -> str:
        zone = Zone(tempfile.mkdtemp(dir=tmp_path))
        for number, (name, content) in enumerate(files.items()):
            os.utime(zone.deliver(f"{name}.json", content), ns=(number, number))
        return zone.sync().fingerprint

    assert fingerprint(a=ONE, b=TWO) == fingerprint(b=TWO, a=ONE)
    others = [{"a": ONE}, {"a": TWO}, {"a": ONE + TWO}, {"a": ONE, "b": TWO}, {"a": TWO, "b": ONE}, {"b": ONE}]
    assert len({fingerprint(**files) for files in others}) == len(others)
