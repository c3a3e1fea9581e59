"""The landing zone holds what the source delivered: every file, byte for byte, each content once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone
from resources.files.manifest import SyncResult
from resources.files.ndjson import FileShape
from resources.files.source import landing_name
from tests.support import require

ONE = b'{"email": "ann@x.se"}\n'
TWO = b'{"email": "bob@x.se"}\n'
THREE = b'{"email": "eve@x.se"}\n'
PRETTY = b'[\n  {\n    "email": "ann@x.se"\n  }\n]\n'
UNREADABLE = Path("/proc/self/mem")  # a file that the operating system refuses to read, to root too


@dataclass(frozen=True)
class Zone:
    """A source that tests deliver into, and the landing zone of the feed `customer`."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def zone(self) -> LandingZone:
        return LandingZone(root=str(self.folder / "lakehouse"), source=str(self.source))

    def deliver(self, name: str, content: bytes) -> Path:
        path = self.source / "customers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def deliver_what_cannot_be_read(self, name: str) -> None:
        require(UNREADABLE.exists(), f"this machine has no {UNREADABLE}")
        path = self.deliver(name, b"")
        path.unlink()
        path.symlink_to(UNREADABLE)

    def sync(self) -> SyncResult:
        return self.zone.sync("customer")

    @property
    def landed(self) -> Path:
        return self.folder / "lakehouse" / "customer_landing"

    @property
    def beside(self) -> Path:
        return self.folder / "lakehouse" / "landing" / "customer"

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the landing zone, hidden ones too."""
        found = (path for path in self.landed.rglob("*") if path.is_file())
        return {path.relative_to(self.landed).as_posix(): path.read_bytes() for path in found}

    @property
    def marks(self) -> dict[str, tuple[int, int]]:
        """What changes whenever a landed file is written again."""
        return {name: _mark(self.landed / name) for name in self.files}

    @property
    def lines(self) -> list[str]:
        """What an engine reads from the readable files, in no order."""
        texts = []
        for text in self.zone.readable("customer", self.zone.landed("customer")):
            content = Path(text.path).read_bytes()
            lines = (gzip.decompress(content) if text.path.endswith(".gz") else content).decode().splitlines()
            texts += [line if text.file else line.partition("\t")[2] for line in lines]
        return sorted(line for line in texts if line.strip())


def _mark(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def keep_date(path: Path, content: bytes) -> None:
    """Change a file's content and nothing else that a look from outside can see."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def someone_else() -> Iterator[None]:
    """Root may read everything: while the block runs, this process is nobody."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(was)


@contextmanager
def growing(path: Path, more: bytes) -> Iterator[None]:
    """Another process appends to the file all the while."""
    script = f"import sys\nwhile True:\n  with open(sys.argv[1], 'ab') as out: out.write({more!r})"
    size = path.stat().st_size
    writer = subprocess.Popen([sys.executable, "-S", "-c", script, path])
    try:
        while path.stat().st_size == size:
            time.sleep(0.001)
        yield
    finally:
        writer.kill()
        writer.wait()


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path)


# What is brought


def test_files_land_byte_for_byte(zone: Zone) -> None:
    odd = b'\xef\xbb\xbf{"email": "\xff"}\r\n\r\n\x00{"half'
    packed = gzip.compress(ONE)
    zone.deliver("odd.json", odd)
    zone.deliver("packed.json.gz", packed)
    zone.deliver("pretty.json", PRETTY)
    landing = zone.sync()
    assert zone.files == {"odd.json": odd, "packed.json.gz": packed, "pretty.json": PRETTY}
    assert landing.new == ["odd.json", "packed.json.gz", "pretty.json"]
    assert landing.size == len(odd) + len(packed) + len(PRETTY)


@pytest.mark.parametrize(
    "layout", ["customer/landing", "customers", "customer_landing", "customer", "customer/landing/year=2024/05"]
)
@pytest.mark.parametrize(("name", "content"), [("1.json", ONE), ("1.json.gz", gzip.compress(ONE, mtime=0))])
def test_a_source_may_be_laid_out_in_any_of_the_known_ways_nested_or_not(
    zone: Zone, layout: str, name: str, content: bytes
) -> None:
    folder = zone.source / layout
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (zone.source / "accelerometer" / "landing").mkdir(parents=True)
    (zone.source / "accelerometer" / "landing" / "1.json").write_bytes(TWO)
    zone.sync()
    assert list(zone.files.values()) == [content]
    assert zone.lines == [ONE.decode().strip()]


def test_an_empty_folder_of_one_layout_does_not_hide_the_files_of_another(zone: Zone) -> None:
    (zone.source / "customer" / "landing").mkdir(parents=True)
    zone.deliver("1.json", ONE)
    assert zone.sync().new == ["1.json"]


def test_other_files_are_ignored(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    for other in ("notes.txt", "1.csv", "1.json.bak", "1.jsonl", "_SUCCESS", ".1.json", "_2.json", "json", "1.gz"):
        zone.deliver(other, TWO)
    assert zone.sync().new == ["1.json"]
    assert list(zone.files) == ["1.json"]


def test_a_folder_may_be_named_like_a_file(zone: Zone) -> None:
    zone.deliver("export.json/part-0.json", ONE)
    zone.deliver("export.json/part-1.json", TWO)
    zone.sync()
    assert sorted(zone.files.values()) == [ONE, TWO]


def test_a_file_may_become_a_folder_of_its_name(zone: Zone) -> None:
    """Spark writes a folder where another tool wrote a file."""
    path = zone.deliver("export.json", ONE)
    zone.sync()
    path.unlink()
    zone.deliver("export.json/part-0.json", TWO)
    zone.sync()
    assert sorted(zone.files.values()) == [ONE, TWO]


def test_a_loop_of_links_in_the_source_is_not_followed_forever(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    (zone.source / "customers" / "again").symlink_to(zone.source / "customers")
    landing = zone.sync()
    assert landing.new == ["1.json"]
    assert landing.unreadable == {"customers/again": "a link to a folder, which is not followed"}


@pytest.mark.parametrize("folder", ["customers", "customer/landing"])
def test_a_source_that_has_but_a_link_to_a_folder_is_told_so(zone: Zone, tmp_path: Path, folder: str) -> None:
    (zone.source / folder).mkdir(parents=True)
    (zone.source / folder / "2024").symlink_to(tmp_path)
    with pytest.raises(LakehouseError, match=f"{folder}/2024 .a link to a folder, which is not followed"):
        zone.sync()


@pytest.mark.parametrize("target", ["2.json", "moved/away.json"])
def test_a_link_that_leads_nowhere_is_reported(zone: Zone, target: str) -> None:
    zone.deliver("1.json", ONE)
    (zone.source / "customers" / "2.json").symlink_to(zone.source / "customers" / target)
    assert list(zone.sync().unreadable) == ["2.json"]
    assert zone.files == {"1.json": ONE}


def test_what_is_no_file_is_not_waited_for(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    os.mkfifo(zone.source / "customers" / "2.json")
    assert zone.sync().new == ["1.json"]


def test_a_folder_that_cannot_be_read_is_no_empty_one() -> None:
    # Pytest's own folders are closed to anybody else.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        zone = Zone(Path(folder))
        zone.deliver("1.json", ONE)
        closed = zone.deliver("closed/2.json", TWO).parent
        closed.chmod(0)
        with someone_else(), pytest.raises(LakehouseError, match="closed"):
            zone.sync()
        closed.chmod(0o700)


def test_a_file_that_grows_while_it_is_brought_is_what_it_was_at_first(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE * 50_000)
    with growing(path, TWO * 100):
        landing = zone.sync()
    (file,) = landing.files
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


def test_the_fields_that_a_sample_of_the_records_has_are_known_without_the_source(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", b'{"email": "bob@x.se", "shoeSize": 44}')
    assert zone.sync().fields == zone.zone.landed("customer").fields == {"email": 2, "shoeSize": 1}


def test_a_linked_file_is_brought(zone: Zone) -> None:
    elsewhere = zone.folder / "archive.json"
    elsewhere.write_bytes(ONE)
    (zone.source / "customers").mkdir(parents=True)
    (zone.source / "customers" / "1.json").symlink_to(elsewhere)
    zone.sync()
    assert zone.files == {"1.json": ONE}
    assert not (zone.landed / "1.json").is_symlink()


def test_a_missing_feed_gives_one_sentence_with_the_folders_that_were_looked_for(zone: Zone) -> None:
    zone.source.mkdir()
    with pytest.raises(LakehouseError) as stopped:
        zone.sync()
    sentence = str(stopped.value.description)
    assert all(
        what in sentence
        for what in (
            "'customer'",
            str(zone.source),
            "customer/landing",
            "customers",
            "customer_landing",
            "STEDI_SOURCE",
        )
    )
    assert "\n" not in sentence
    assert not stopped.value.allow_retries


@pytest.mark.parametrize("inside", ["customers", "."])
def test_a_lakehouse_inside_of_the_feed_is_refused_before_anything_is_touched(tmp_path: Path, inside: str) -> None:
    """The feed's own files would be cleared away as strays, or landed ones be taken for new ones."""
    source = tmp_path / "customer_landing" if inside == "." else tmp_path / "customers"
    source.mkdir()
    for name in ("my feed.json", "README.txt"):
        (source / name).write_bytes(ONE)
    with pytest.raises(LakehouseError, match="STEDI_LAKEHOUSE"):
        LandingZone(root=str(tmp_path / inside), source=str(tmp_path)).sync("customer")
    assert sorted(path.name for path in source.iterdir()) == ["README.txt", "my feed.json"]


# What a second run does


def test_a_second_run_copies_nothing(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("two words/2.json.gz", gzip.compress(TWO))
    zone.deliver("pretty.json", PRETTY)
    first, marks = zone.sync(), zone.marks
    rewritten = [_mark(path) for path in zone.beside.glob("*.json") if path.name != "manifest.json"]
    second = zone.sync()
    assert zone.marks == marks
    assert [_mark(path) for path in zone.beside.glob("*.json") if path.name != "manifest.json"] == rewritten
    assert sorted(second.unchanged) == sorted(first.new)
    assert (second.new, second.replaced, second.fingerprint) == ([], [], first.fingerprint)


def test_a_file_whose_date_alone_changed_is_not_copied_again(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    zone.sync()
    marks = zone.marks
    os.utime(path, ns=(0, 0))
    assert zone.sync().unchanged == ["1.json"]
    assert zone.marks == marks


def test_a_file_that_did_not_change_is_not_even_read_again(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    zone.sync()
    keep_date(path, TWO)
    assert zone.sync().unchanged == ["1.json"]


def test_a_new_file_is_brought_and_the_others_are_left_alone(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    before, marks = zone.sync(), zone.marks
    zone.deliver("2.json", TWO)
    landing = zone.sync()
    assert (landing.new, landing.unchanged) == (["2.json"], ["1.json"])
    assert zone.marks["1.json"] == marks["1.json"]
    assert landing.fingerprint != before.fingerprint


def test_a_changed_file_of_the_same_size_replaces_the_landed_one(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    before = zone.sync()
    zone.deliver("1.json", TWO)
    landing = zone.sync()
    assert (landing.replaced, landing.new, landing.unchanged) == (["1.json"], [], [])
    assert zone.files == {"1.json": TWO}
    assert landing.fingerprint != before.fingerprint


def test_a_file_that_the_source_removed_stays(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    gone = zone.deliver("2.json", PRETTY)
    before = zone.sync()
    gone.unlink()
    after = zone.sync()
    assert zone.files == {"1.json": ONE, "2.json": PRETTY}
    assert after.fingerprint == before.fingerprint
    assert len(zone.lines) == 2


def test_a_feed_that_the_source_removed_altogether_stays(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    zone.sync()
    path.unlink()
    path.parent.rmdir()
    assert [file.name for file in zone.sync().files] == ["1.json"]
    assert zone.files == {"1.json": ONE}


# Another source


def test_pointing_at_another_source_starts_the_landing_zone_anew(zone: Zone, tmp_path: Path) -> None:
    zone.deliver("sample.json", ONE)
    zone.deliver("both.json", THREE)
    zone.sync()
    other = Zone(tmp_path / "other")
    other.deliver("real.json", TWO)
    other.deliver("both.json", THREE)
    landing = LandingZone(root=zone.zone.root, source=other.zone.source).sync("customer")
    assert landing.dropped == ["both.json", "sample.json"]
    assert landing.new == ["both.json", "real.json"]
    assert zone.files == {"both.json": THREE, "real.json": TWO}


def test_a_first_run_that_broke_off_leaves_nothing_to_mix_with_another_source(zone: Zone, tmp_path: Path) -> None:
    zone.deliver("sample 1.json", ONE)
    zone.deliver("sample 2.json", THREE * 5000)
    with full_disk(after=50_000), pytest.raises(LakehouseError):
        zone.sync()
    other = Zone(tmp_path / "other")
    other.deliver("real.json", TWO)
    LandingZone(root=zone.zone.root, source=other.zone.source).sync("customer")
    assert zone.files == {"real.json": TWO}


def test_a_source_without_the_feed_leaves_what_another_source_brought(zone: Zone, tmp_path: Path) -> None:
    zone.deliver("1.json", ONE)
    zone.sync()
    with pytest.raises(LakehouseError):
        LandingZone(root=zone.zone.root, source=str(tmp_path / "empty")).sync("customer")
    assert zone.files == {"1.json": ONE}
    assert zone.sync().unchanged == ["1.json"]


# A file delivered twice


def test_a_file_delivered_under_two_names_is_reported_and_counts_once(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    before = zone.sync()
    zone.deliver("copy of 1.json", ONE)
    landing = zone.sync()
    assert list(landing.duplicates.values()) == ["1.json"]
    assert zone.files == {"1.json": ONE}
    assert landing.fingerprint == before.fingerprint
    assert zone.lines == [ONE.decode().strip()]


@pytest.mark.parametrize("name", ["0.json", "2.json"])
def test_what_is_landed_keeps_its_place_whatever_its_twin_is_called(zone: Zone, name: str) -> None:
    zone.deliver("1.json", ONE)
    zone.sync()
    marks = zone.marks
    zone.deliver(name, ONE)
    landing = zone.sync()
    assert (landing.duplicates, landing.new, landing.unchanged) == ({name: "1.json"}, [], ["1.json"])
    assert zone.marks == marks


def test_what_is_landed_keeps_its_place_when_another_file_gets_its_content(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", TWO)
    zone.sync()
    marks = zone.marks
    zone.deliver("1.json", TWO)
    landing = zone.sync()
    assert (landing.duplicates, landing.replaced, landing.unchanged) == ({"1.json": "2.json"}, [], ["2.json"])
    assert zone.marks == {"2.json": marks["2.json"]}


def test_a_twin_lands_once_the_original_has_other_content(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", ONE)
    zone.sync()
    zone.deliver("1.json", TWO)
    landing = zone.sync()
    assert (landing.replaced, landing.new, landing.duplicates) == (["1.json"], ["2.json"], {})
    assert zone.files == {"1.json": TWO, "2.json": ONE}


def test_a_twin_of_a_file_that_the_source_removed_counts_once(zone: Zone) -> None:
    path = zone.deliver("1.json", ONE)
    zone.sync()
    path.rename(path.with_name("renamed.json"))
    assert zone.sync().duplicates == {"renamed.json": "1.json"}
    assert zone.files == {"1.json": ONE}


def test_two_files_that_exchange_their_contents_both_stay(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", TWO)
    before = zone.sync()
    zone.deliver("1.json", TWO)
    zone.deliver("2.json", ONE)
    assert zone.sync().fingerprint == before.fingerprint
    assert sorted(zone.files.values()) == [ONE, TWO]


def test_empty_files_are_no_second_deliveries_of_each_other(zone: Zone) -> None:
    for name in ("1.json", "2.json"):
        zone.deliver(name, b"")
    landing = zone.sync()
    assert (landing.empty, landing.duplicates) == (["1.json", "2.json"], {})
    assert zone.zone.readable("customer", landing) == []


contents = st.sampled_from([ONE, TWO, THREE, PRETTY])
deliveries = st.dictionaries(st.sampled_from(["a.json", "b.json", "c d.json", "n/e.json"]), contents, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(deliveries, min_size=1, max_size=4))
def test_after_any_history_of_deliveries_each_content_of_the_source_is_landed_once(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, bytes]]
) -> None:
    zone = Zone(tmp_path_factory.mktemp("history"))
    zone.deliver("first.json", b'{"email": "first@x.se"}\n')
    zone.sync()
    for delivery in history:
        for path in zone.source.rglob("*.json"):
            path.unlink()
        for name, content in delivery.items():
            zone.deliver(name, content)
        landing = zone.sync()
        landed = list(zone.files.values())
        assert set(landed) >= set(delivery.values())
        assert len(landed) == len(set(landed)) == len(landing.files)
        assert {file.name for file in landing.files} == set(zone.files)
        assert landing.files == zone.zone.landed("customer").files


# The fingerprint


@settings(max_examples=25, deadline=None)
@given(st.sets(contents, min_size=1), st.randoms())
def test_the_fingerprint_depends_on_the_contents_alone(
    tmp_path_factory: pytest.TempPathFactory, contents: set[bytes], random: object
) -> None:
    fingerprints: set[str] = set()
    for order in (sorted(contents), sorted(contents, reverse=True)):
        zone = Zone(tmp_path_factory.mktemp("fingerprint"))
        for number, content in enumerate(order):
            path = zone.deliver(f"{len(fingerprints)}/file {number}.json", content)
            os.utime(path, ns=(number, number))
        fingerprints.add(zone.sync().fingerprint)
    assert len(fingerprints) == 1


def test_another_content_is_another_fingerprint(zone: Zone) -> None:
    seen = set()
    for content in (ONE, TWO, ONE + TWO):
        zone.deliver("1.json", content)
        seen.add(zone.sync().fingerprint)
    zone.deliver("2.json", THREE)
    seen.add(zone.sync().fingerprint)
    assert len(seen) == 4


# What goes wrong


def test_a_copy_that_breaks_off_leaves_no_half_file_and_the_next_run_completes(zone: Zone) -> None:
    big = ONE * 5000
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", big)
    with full_disk(after=50_000), pytest.raises(LakehouseError, match=r"2\.json"):
        zone.sync()
    assert zone.files == {"1.json": ONE}
    zone.sync()
    assert zone.files == {"1.json": ONE, "2.json": big}


def test_a_replacement_that_breaks_off_leaves_the_landed_version(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.sync()
    zone.deliver("1.json", TWO * 5000)
    with full_disk(after=50_000), pytest.raises(LakehouseError, match=r"1\.json"):
        zone.sync()
    assert zone.files == {"1.json": ONE}
    assert zone.sync().replaced == ["1.json"]
    assert zone.files == {"1.json": TWO * 5000}


def test_a_reader_who_has_a_file_open_reads_it_to_its_end(zone: Zone) -> None:
    zone.deliver("1.json", ONE * 3)
    zone.sync()
    with (zone.landed / "1.json").open("rb", buffering=0) as reader:
        first = reader.readline()
        zone.deliver("1.json", TWO * 3)
        zone.sync()
        assert first + reader.read() == ONE * 3
    assert zone.files == {"1.json": TWO * 3}


def test_what_a_crashed_run_left_in_the_landing_zone_is_removed(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.sync()
    (zone.landed / ".2.json.part").write_bytes(TWO[:5])
    (zone.beside / "0123.json").write_bytes(TWO)
    zone.sync()
    assert zone.files == {"1.json": ONE}
    assert [path.name for path in zone.beside.iterdir()] == ["manifest.json"]


def test_a_landed_file_that_was_deleted_is_brought_again(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.sync()
    (zone.landed / "1.json").unlink()
    zone.sync()
    assert zone.files == {"1.json": ONE}


def test_a_landed_file_that_was_truncated_is_brought_again(zone: Zone) -> None:
    zone.deliver("1.json", ONE * 2)
    zone.sync()
    (zone.landed / "1.json").write_bytes(ONE)
    zone.sync()
    assert zone.files == {"1.json": ONE * 2}


def test_a_landed_file_that_is_gone_and_cannot_be_brought_again_is_reported(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    path = zone.deliver("2.json", TWO)
    zone.sync()
    path.unlink()
    (zone.landed / "2.json").unlink()
    landing = zone.sync()
    assert list(landing.unreadable) == ["2.json"]
    assert [file.name for file in landing.files] == ["1.json"]
    assert zone.lines == [ONE.decode().strip()]


def test_a_rewritten_copy_that_was_deleted_is_made_again(zone: Zone) -> None:
    path = zone.deliver("pretty.json", PRETTY)
    zone.sync()
    for source_has_it in (True, False):
        if not source_has_it:
            path.unlink()
        for copy in zone.beside.glob("[0-9a-f]*.json"):
            copy.unlink()
        zone.sync()
        assert [json.loads(line) for line in zone.lines] == [{"email": "ann@x.se"}]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b'{"files": [{"name": "1.js',
        b"\xff\xfe",
        b"[]",
        b'{"files": null}',
        b'{"files": [1]}',
        b'{"files": [{"name": "1.json"}]}',
        b'{"files": [{"name": "1.json", "shape": "round"}]}',
        None,
    ],
    ids=["empty", "cut off", "no text", "a list", "null", "a number", "an older form", "an unknown shape", "deleted"],
)
def test_a_broken_manifest_loses_no_file_and_costs_no_copy(zone: Zone, manifest: bytes | None) -> None:
    zone.deliver("1.json", ONE)
    gone = [zone.deliver("2.json", TWO), zone.deliver("pretty.json", PRETTY)]
    before, marks = zone.sync(), zone.marks
    for path in gone:
        path.unlink()
    if manifest is None:
        (zone.beside / "manifest.json").unlink()
    else:
        (zone.beside / "manifest.json").write_bytes(manifest)
    landing = zone.sync()
    assert zone.marks == marks
    assert zone.files == {"1.json": ONE, "2.json": TWO, "pretty.json": PRETTY}
    assert (landing.unchanged, landing.fingerprint) == (["1.json"], before.fingerprint)
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
    zone.deliver("3.json", THREE)
    landing = zone.sync()
    assert list(landing.unreadable) == ["2.json.gz"]
    assert landing.unreadable["2.json.gz"]
    assert zone.files == {"1.json": ONE, "3.json": THREE}


def test_a_file_that_the_operating_system_refuses_to_read_is_reported_with_its_reason(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver_what_cannot_be_read("2.json")
    landing = zone.sync()
    assert landing.unreadable == {"2.json": "OSError: Input/output error"}
    assert zone.files == {"1.json": ONE}


def test_an_unreadable_file_that_was_landed_before_keeps_its_landed_version(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json.gz", gzip.compress(TWO))
    before, marks = zone.sync(), zone.marks
    zone.deliver_what_cannot_be_read("1.json")
    zone.deliver("2.json.gz", BROKEN_GZIP["wrong inside"])
    landing = zone.sync()
    assert sorted(landing.unreadable) == ["1.json", "2.json.gz"]
    assert zone.marks == marks
    assert landing.fingerprint == before.fingerprint
    assert len(zone.lines) == 2


def test_a_feed_of_which_no_file_can_be_read_gives_one_sentence_with_the_reason(zone: Zone) -> None:
    zone.deliver("1.json.gz", BROKEN_GZIP["no gzip"])
    with pytest.raises(LakehouseError) as stopped:
        zone.sync()
    assert "1.json.gz" in str(stopped.value.description)
    assert "Not a gzipped file" in str(stopped.value.description)
    assert "\n" not in str(stopped.value.description)


def test_what_no_engine_reads_line_by_line_is_read_from_a_rewritten_copy(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("pretty.json.gz", gzip.compress(PRETTY.replace(b"ann", b"eve")))
    zone.deliver("torn.json", b'{"email": "\xff"}\n')
    landing = zone.sync()
    assert landing.rewritten == ["pretty.json.gz", "torn.json"]
    assert {json.loads(line)["email"] for line in zone.lines} == {"ann@x.se", "eve@x.se", "\ufffd"}


def test_the_landing_zone_alone_says_what_is_landed(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("pretty.json", PRETTY)
    landing = zone.sync()
    for path in zone.source.rglob("*.json"):
        path.unlink()
    assert zone.zone.landed("customer").files == landing.files
    assert [file.shape for file in landing.files] == [FileShape.LINES, FileShape.SPANNING]


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
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_of_any_name_lands_under_one_that_engines_take_literally(zone: Zone, name: str) -> None:
    content = gzip.compress(ONE) if name.endswith(".gz") else ONE
    zone.deliver(name, content)
    zone.sync()
    (landed,) = zone.files
    assert zone.files[landed] == content
    assert re.fullmatch(r"([A-Za-z0-9-][A-Za-z0-9._-]*/)*[A-Za-z0-9-][A-Za-z0-9._-]*", landed)
    marks = zone.marks
    assert zone.sync().unchanged == [landed]
    assert zone.marks == marks


def test_a_name_that_is_no_text_lands(zone: Zone) -> None:
    (zone.source / "customers").mkdir(parents=True)
    (zone.source / "customers" / os.fsdecode(b"caf\xe9.json")).write_bytes(ONE)
    zone.sync()
    assert list(zone.files.values()) == [ONE]
    json.loads((zone.beside / "manifest.json").read_text())


def test_names_that_would_become_the_same_name_both_land(zone: Zone) -> None:
    for number, name in enumerate(["a b.json", "a_b.json", "a=b.json", "_a/b.json", "a/b.json"]):
        zone.deliver(name, ONE.replace(b"ann", str(number).encode()))
    zone.sync()
    assert len(zone.files) == 5


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
    assert re.fullmatch(r"([A-Za-z0-9-][A-Za-z0-9._-]*/)*[A-Za-z0-9-][A-Za-z0-9._-]*", landed)
    assert landed.endswith(".json.gz") == one.endswith(".json.gz")
    assert landed.endswith((".json", ".json.gz"))
    assert not any(folder.endswith((".json", ".json.gz")) for folder in landed.split("/")[:-1])
    assert (landed == landing_name(other)) == (one == other)


def test_a_second_folder_of_the_feed_is_not_read_and_that_is_said(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    second = zone.source / "customer_landing"
    second.mkdir()
    (second / "2.json").write_bytes(TWO)
    landing = zone.sync()
    assert landing.new == ["1.json"]
    assert landing.unreadable == {
        "customer_landing/2.json": f"the feed is read from {(zone.source / 'customers').as_uri()}/ alone"
    }
