"""The landing zone holds what the source delivered: every file, byte for byte, each content once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone
from resources.files.ndjson import FileShape
from resources.files.source import landing_name
from tests.resources.files.zones import ONE, PRETTY, THREE, TWO, Zone, contents, full_disk, growing, put, someone_else

# What is synced


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


@pytest.mark.parametrize(
    "layout", ["customer/landing", "customers", "customer_landing", "customer", "customer/landing/year=2024/05"]
)
def test_a_source_may_be_laid_out_in_any_of_the_known_ways_nested_or_not(zone: Zone, layout: str) -> None:
    for folder, content in ((layout, ONE), ("accelerometer/landing", TWO)):
        (path := Path(zone.zone.source) / folder).mkdir(parents=True)
        (path / "1.json").write_bytes(content)
    zone.sync()
    assert list(zone.files.values()) == [ONE]


def test_an_empty_folder_of_one_layout_does_not_hide_the_files_of_another(zone: Zone) -> None:
    (Path(zone.zone.source) / "customer" / "landing").mkdir(parents=True)
    zone.deliver("1.json", ONE)
    assert zone.sync().new == ["1.json"]


def test_other_files_are_ignored(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    for other in ("notes.txt", "1.csv", "1.json.bak", "1.jsonl", "_SUCCESS", ".1.json", "_2.json", "json", "1.gz"):
        zone.deliver(other, TWO)
    os.mkfifo(zone.delivered.path("pipe.json"))  # is not waited for
    assert zone.sync().new == ["1.json"]
    assert list(zone.files) == ["1.json"]


def test_a_file_may_become_a_folder_of_its_name(zone: Zone) -> None:
    """Spark writes a folder where another tool wrote a file."""
    zone.deliver("export.json", ONE).unlink()
    zone.deliver("export.json", ONE)
    zone.sync()
    zone.withdraw()
    for number, content in enumerate((TWO, THREE)):
        zone.deliver(f"export.json/part-{number}.json", content)
    zone.sync()
    assert sorted(zone.files.values()) == [ONE, TWO, THREE]


def test_linked_files_are_synced_and_linked_folders_are_not_followed_and_that_is_said(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    (elsewhere := Path(zone.base) / "archive.json").write_bytes(TWO)
    (path.parent / "2.json").symlink_to(elsewhere)
    (path.parent / "again").symlink_to(path.parent)
    result = zone.sync()
    assert zone.files == {"1.json": ONE, "2.json": TWO}
    assert not Path(zone.landed.path("2.json")).is_symlink()
    assert result.unreadable == {"customers/again": "a link to a folder, which is not followed"}


@pytest.mark.parametrize("folder", ["customers", "customer/landing"])
def test_a_source_that_has_but_a_link_to_a_folder_is_told_so(zone: Zone, folder: str) -> None:
    (there := Path(zone.zone.source) / folder).mkdir(parents=True)
    (there / "2024").symlink_to(zone.base)
    with pytest.raises(LakehouseError, match=f"{folder}/2024 .a link to a folder, which is not followed"):
        zone.sync()


@pytest.mark.parametrize("target", ["2.json", "moved/away.json"])
def test_a_link_that_leads_nowhere_is_reported(zone: Zone, target: str) -> None:
    path = zone.deliver("1.json", ONE)
    (path.parent / "2.json").symlink_to(path.parent / target)
    assert list(zone.sync().unreadable) == ["2.json"]
    assert zone.files == {"1.json": ONE}


def test_a_second_folder_of_the_feed_is_not_read_and_that_is_said(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    put(anywhere.delivered, "2.json", TWO)
    second = replace(anywhere, source=f"{anywhere.source}/customer_landing")
    second.deliver("3.json", THREE)
    result = anywhere.sync()
    assert result.new == ["1.json", "2.json"]
    assert result.unreadable == {
        "customer_landing/customers/3.json": f"the feed is read from {anywhere.delivered.uri} alone"
    }


def test_a_folder_that_cannot_be_read_is_no_empty_one() -> None:
    # Pytest's own folders are closed to anybody else.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        zone = Zone(folder)
        zone.deliver("1.json", ONE)
        closed = zone.deliver("closed/2.json", TWO).parent
        closed.chmod(0)
        with someone_else(), pytest.raises(LakehouseError, match="closed"):
            zone.sync()
        closed.chmod(0o700)


def test_a_file_that_grows_while_it_is_synced_is_what_it_was_at_first(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE * 50_000)
    with growing(path, TWO * 100):
        result = zone.sync()
    (file,) = result.files
    assert hashlib.sha256(zone.files["1.json"]).hexdigest() == file.sha256
    assert len(zone.files["1.json"]) == file.size
    assert zone.sync().replaced == ["1.json"]
    assert zone.files == {"1.json": path.read_bytes()}


@pytest.mark.parametrize("years", [-50, 50])
def test_what_the_clock_of_a_source_says_decides_nothing(zone: Zone, years: int) -> None:
    path = zone.deliver("1.json", ONE)
    at = (time.time_ns() // 10**9 + years * 31_557_600) * 10**9
    os.utime(path, ns=(at, at))
    assert zone.sync().new == ["1.json"]
    assert zone.sync().unchanged == ["1.json"]
    path.write_bytes(TWO)
    os.utime(path, ns=(at - 10**9, at - 10**9))
    assert zone.sync().replaced == ["1.json"]
    assert zone.files == {"1.json": TWO}


def test_a_missing_feed_gives_one_sentence_with_the_folders_that_were_looked_for(anywhere: Zone) -> None:
    with pytest.raises(LakehouseError) as stopped:
        anywhere.sync()
    sentence = str(stopped.value.description)
    assert sentence.startswith("Could not sync the feed 'customer': no .json or .json.gz file of it in ")
    for what in (anywhere.zone.source, "customer/landing or customers or customer_landing or customer", "STEDI_SOURCE"):
        assert what in sentence
    assert "\n" not in sentence
    assert not stopped.value.allow_retries


@pytest.mark.parametrize(("root", "feed"), [("/customers", "customers"), ("", "customer_landing")])
def test_a_lakehouse_inside_of_the_feed_is_refused_before_anything_is_touched(
    anywhere: Zone, root: str, feed: str
) -> None:
    """The feed's own files would be cleared away as strays, or landed ones be taken for new ones."""
    folder = anywhere.folder.below(feed)
    for name in ("my feed.json", "README.txt"):
        put(folder, name, ONE)
    with pytest.raises(LakehouseError, match=r"into a part of itself, .*STEDI_LAKEHOUSE"):
        LandingZone(root=anywhere.base + root, source=anywhere.base).sync("customer")
    assert sorted(contents(folder)) == ["README.txt", "my feed.json"]


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


def test_a_file_that_did_not_change_is_not_even_read_again(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    before = path.stat()
    zone.sync()
    path.write_bytes(TWO)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert zone.sync().unchanged == ["1.json"]


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
    anywhere.withdraw("1.json")
    assert [file.name for file in anywhere.sync().files] == ["1.json", "2.json"]
    assert len(anywhere.lines) == 2


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
    assert zone.zone.readable("customer", result) == []


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


# What goes wrong


@pytest.mark.parametrize("before", [ONE, None], ids=["a replacement", "a new file"])
def test_a_copy_that_breaks_off_leaves_what_was_there_and_the_next_run_completes(
    zone: Zone, before: bytes | None
) -> None:
    zone.deliver("1.json", THREE)
    if before:
        zone.deliver("2.json", before)
        zone.sync()
    zone.deliver("2.json", TWO * 5000)
    with full_disk(after=50_000), pytest.raises(LakehouseError, match=r"Could not sync 2\.json of the feed 'customer'"):
        zone.sync()
    assert zone.files == {"1.json": THREE, **({"2.json": before} if before else {})}
    zone.sync()
    assert zone.files == {"1.json": THREE, "2.json": TWO * 5000}


def test_a_reader_who_has_a_file_open_reads_it_to_its_end(zone: Zone) -> None:
    zone.deliver("1.json", ONE * 3)
    zone.sync()
    with Path(zone.landed.path("1.json")).open("rb", buffering=0) as reader:
        first = reader.readline()
        zone.deliver("1.json", TWO * 3)
        zone.sync()
        assert first + reader.read() == ONE * 3
    assert zone.files == {"1.json": TWO * 3}


def test_what_a_crashed_run_left_in_the_landing_zone_is_removed(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.sync()
    for folder, name in ((anywhere.landed, ".2.json.part"), (anywhere.beside, "0123.json")):
        put(folder, name, TWO)
    anywhere.sync()
    assert (anywhere.files, anywhere.copies) == ({"1.json": ONE}, {})


@pytest.mark.parametrize("left", [None, ONE], ids=["deleted", "truncated"])
def test_a_landed_file_that_was_damaged_is_synced_again(anywhere: Zone, left: bytes | None) -> None:
    anywhere.deliver("1.json", ONE * 2)
    result = anywhere.sync()
    anywhere.landed.remove(["1.json"])
    if left:
        put(anywhere.landed, "1.json", left)
    else:
        with pytest.raises(LakehouseError, match=r"1 files of the feed 'customer' are gone, \S+1\.json among them"):
            anywhere.zone.readable("customer", result)
    anywhere.sync()
    assert anywhere.files == {"1.json": ONE * 2}


def test_a_landed_file_that_is_gone_and_cannot_be_synced_again_is_reported(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", TWO)
    zone.sync()
    zone.withdraw("2.json")
    zone.landed.remove(["2.json"])
    result = zone.sync()
    assert list(result.unreadable) == ["2.json"]
    assert [file.name for file in result.files] == ["1.json"]
    assert zone.lines == [("1.json", ONE.decode().strip())]


def test_a_rewritten_copy_that_was_deleted_is_made_again(zone: Zone) -> None:
    zone.deliver("pretty.json", PRETTY)
    zone.sync()
    for happens in (lambda: None, zone.withdraw):
        happens()
        copies = zone.copies
        zone.beside.remove(copies)
        zone.sync()
        assert zone.copies == copies != {}


BROKEN_MANIFESTS = {
    "empty": b"",
    "cut off": b'{"files": [{"name": "1.js',
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "null": b'{"files": null}',
    "a number": b'{"files": [1]}',
    "an older form": b'{"files": [{"name": "1.json"}]}',
    "an unknown shape": b'{"files": [{"name": "1.json", "shape": "round"}]}',
    "deleted": None,
}


@pytest.mark.parametrize("manifest", BROKEN_MANIFESTS.values(), ids=BROKEN_MANIFESTS)
def test_a_broken_manifest_loses_no_file_and_costs_no_copy(zone: Zone, manifest: bytes | None) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", TWO)
    zone.deliver("pretty.json", PRETTY)
    before, stamps = zone.sync(), zone.stamps
    zone.withdraw("2.json", "pretty.json")
    zone.beside.remove(["manifest.json"])
    if manifest is not None:
        put(zone.beside, "manifest.json", manifest)
    result = zone.sync()
    assert zone.stamps == stamps
    assert (result.unchanged, result.fingerprint) == (["1.json"], before.fingerprint)
    assert len(zone.lines) == 3


BROKEN_GZIP = {
    "cut off": gzip.compress(ONE * 100)[:-12],
    "no gzip": b"this is no gzip",
    "wrong inside": gzip.compress(os.urandom(2000), compresslevel=0)[:10] + b"\xff" * 50,
    "wrong checksum": gzip.compress(ONE)[:-8] + b"\0" * 8,
    "nothing": gzip.compress(ONE)[:4],
}


@pytest.mark.parametrize("broken", BROKEN_GZIP.values(), ids=BROKEN_GZIP)
def test_an_unreadable_file_is_reported_and_does_not_stop_the_others(zone: Zone, broken: bytes) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json.gz", broken)
    zone.deliver_what_cannot_be_read("3.json")
    zone.deliver("4.json", THREE)
    result = zone.sync()
    assert list(result.unreadable) == ["2.json.gz", "3.json"]
    assert result.unreadable["2.json.gz"]
    assert result.unreadable["3.json"] == "OSError: Input/output error"
    assert zone.files == {"1.json": ONE, "4.json": THREE}


def test_an_unreadable_file_that_was_landed_before_keeps_its_landed_version(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json.gz", gzip.compress(TWO))
    before, stamps = zone.sync(), zone.stamps
    zone.deliver_what_cannot_be_read("1.json")
    zone.deliver("2.json.gz", BROKEN_GZIP["wrong inside"])
    result = zone.sync()
    assert sorted(result.unreadable) == ["1.json", "2.json.gz"]
    assert (zone.stamps, result.fingerprint) == (stamps, before.fingerprint)
    assert len(zone.lines) == 2


def test_a_feed_of_which_no_file_can_be_read_gives_one_sentence_with_the_reason(zone: Zone) -> None:
    zone.deliver("1.json.gz", BROKEN_GZIP["no gzip"])
    with pytest.raises(LakehouseError, match=r"\A[^\n]*1\.json\.gz[^\n]*Not a gzipped file[^\n]*\Z"):
        zone.sync()


def test_what_no_engine_reads_line_by_line_is_read_from_a_rewritten_copy(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.deliver("pretty.json.gz", gzip.compress(PRETTY.replace(b"ann", b"eve")))
    anywhere.deliver("torn.json", b'{"email": "\xff"}\n')
    result = anywhere.sync()
    assert result.rewritten == ["pretty.json.gz", "torn.json"]
    assert set(anywhere.copies) == {f"{file.sha256[:32]}.json" for file in result.files[1:]}
    read = [(file, json.loads(line)["email"]) for file, line in anywhere.lines]
    assert read == [("1.json", "ann@x.se"), ("pretty.json.gz", "eve@x.se"), ("torn.json", "\ufffd")]


def test_the_landing_zone_alone_says_what_is_landed(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", b'{"email": "bob@x.se", "shoeSize": 44}')
    zone.deliver("pretty.json", PRETTY)
    result = zone.sync()
    zone.withdraw()
    assert zone.zone.landed("customer").files == result.files
    assert [file.shape for file in result.files] == [FileShape.LINES, FileShape.LINES, FileShape.SPANNING]
    assert zone.zone.landed("customer").fields == {"email": 3, "shoeSize": 1}


def test_a_lock_that_cannot_be_had_is_told_and_what_happens_behind_it_is_not(zone: Zone) -> None:
    waiting: Callable[[], None] = lambda: pytest.fail("nobody is there")  # noqa: E731
    with pytest.raises(OSError, match="mine"), zone.zone.lock("customer", waiting):
        raise OSError("mine")
    Path(zone.zone.root, "landing", ".customer.lock").unlink()
    Path(zone.zone.root, "landing", ".customer.lock").mkdir()
    with (
        pytest.raises(LakehouseError, match="Could not lock the feed 'customer'"),
        zone.zone.lock("customer", waiting),
    ):
        pass


# Names

ODD_NAMES = [
    "two words.json",
    "näme ☃.json",
    "day=1.json",
    "100%25.json",
    "[ab]*?.json",
    "{a,b}.json",
    "a+b&c;d#e.json",
    "'quoted\" \\ back.json",
    ".hidden folder/1.json",
    "_temporary/1.json",
    "__/1.json",
    "year=2024/month=5/1.json.gz",
    "x.json/2.json",
    "a" * 250 + ".json",
    "two words " * 24 + ".json.gz",
    os.fsdecode(b"caf\xe9.json"),  # no text
]
LITERAL = r"([A-Za-z0-9-][A-Za-z0-9._-]*/)*[A-Za-z0-9-][A-Za-z0-9._-]*"


def test_files_of_any_names_land_under_some_that_engines_take_literally(zone: Zone) -> None:
    delivered = {name: ONE.replace(b"ann", str(number).encode()) for number, name in enumerate(ODD_NAMES)}
    for name, content in delivered.items():
        path = Path(zone.zone.source, "customers", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    zone.sync()
    assert {name.endswith(".gz") for name in zone.files} == {True, False}
    assert sorted(line for _, line in zone.lines) == sorted(one.decode().strip() for one in delivered.values())
    assert all(re.fullmatch(LITERAL, name) for name in zone.files)
    stamps = zone.stamps
    assert sorted(zone.sync().unchanged) == sorted(zone.files)
    assert zone.stamps == stamps


parts = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]) | st.sampled_from(" ._=%*[]"),
    min_size=1,
    max_size=12,
).filter(lambda part: part.strip("."))
names = st.lists(parts, min_size=1, max_size=3).flatmap(
    lambda folders: st.sampled_from([".json", ".json.gz"]).map(lambda suffix: "/".join(folders) + suffix)
)


@given(names, names)
def test_landing_names_are_literal_keep_their_suffix_and_never_meet(one: str, other: str) -> None:
    landed = landing_name(one)
    assert re.fullmatch(LITERAL, landed)
    assert landed.endswith(".json.gz") == one.endswith(".json.gz")
    assert landed.endswith((".json", ".json.gz"))
    assert not any(folder.endswith((".json", ".json.gz")) for folder in landed.split("/")[:-1])
    assert (landed == landing_name(other)) == (one == other)


def test_names_that_would_become_the_same_name_stay_apart() -> None:
    assert len({*map(landing_name, ("a b.json", "a_b.json", "a=b.json", "_a/b.json", "a/b.json"))}) == 5
