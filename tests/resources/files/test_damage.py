"""What breaks off, is damaged or cannot be read costs no file that landed, and the next sync mends it."""

from __future__ import annotations

import codecs
import errno
import gzip
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from resources.errors import LakehouseError
from resources.files.folder import LocalFolder
from resources.files.manifest import Manifest
from resources.files.ndjson import FileShape
from tests.resources.files.zones import ONE, PRETTY, THREE, TWO, Zone, full_disk, put


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


@pytest.mark.parametrize("left", [None, ONE], ids=["deleted", "truncated"])
def test_a_landed_file_that_was_damaged_is_synced_again(anywhere: Zone, left: bytes | None) -> None:
    anywhere.deliver("1.json", ONE * 2)
    result = anywhere.sync()
    anywhere.landed.remove(["1.json"])
    if left:
        put(anywhere.landed, "1.json", left)
    else:
        gone = r"1 files of the feed 'customer' are gone, \S+1\.json among them.*Materialize customer_landing"
        with pytest.raises(LakehouseError, match=gone), anywhere.zone.readable("customer", result.files):
            pass
        with pytest.raises(LakehouseError, match=gone):
            anywhere.zone.refuse_gone("customer", anywhere.zone.landed("customer"))
    anywhere.sync()
    assert anywhere.files == {"1.json": ONE * 2}


def test_a_landed_file_that_is_gone_and_in_the_source_no_more_is_taken_back(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("2.json", TWO)
    zone.sync()
    zone.withdraw("2.json")
    zone.landed.remove(["2.json"])
    result = zone.sync()
    assert (result.taken_back, result.unreadable) == (["2.json"], {})
    assert [file.name for file in result.files] == ["1.json"]
    assert zone.lines == [("1.json", ONE.decode().strip())]


def put_back(path: Path, content: bytes, found: os.stat_result) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def break_off(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("stops", [break_off, killed], ids=["full disk", "kill -9"])
@pytest.mark.parametrize("source", ["puts it back", "has it no more"])
def test_a_file_that_landed_before_a_run_broke_off_is_not_taken_for_what_the_manifest_says(
    zone: Zone, stops: Callable[..., None], source: str
) -> None:
    """The run broke off, the source took the file back: 74 rows of somebody who never agreed, in every run."""
    path = zone.deliver("1.json", ONE)
    stamp = path.stat()
    first = zone.sync()
    put_back(path, TWO, stamp)

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch, suppress(LakehouseError):
            patch.setattr(Manifest, "save", stops)
            zone.sync()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == (-9 if stops is killed else 0)
    assert zone.files == {"1.json": TWO}
    assert zone.zone.landed("customer").fingerprint != first.fingerprint
    if source == "puts it back":
        put_back(path, ONE, stamp)
        assert zone.sync().fingerprint == first.fingerprint
        assert zone.files == {"1.json": ONE}
    else:
        zone.withdraw()
        assert zone.sync().fingerprint == zone.zone.landed("customer").fingerprint != first.fingerprint
        assert zone.files == {"1.json": TWO}


def test_a_landed_file_that_something_replaced_at_its_size_is_synced_again(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    anywhere.sync()
    put(anywhere.landed, "1.json", TWO)
    assert anywhere.sync().replaced == ["1.json"]
    assert anywhere.files == {"1.json": ONE}


def test_a_landed_file_that_can_no_more_be_unpacked_is_synced_again_and_never_passes_for_what_it_was(
    zone: Zone,
) -> None:
    zone.deliver("1.json.gz", gzip.compress(ONE, mtime=0))
    first = zone.sync()
    put(zone.landed, "1.json.gz", BROKEN_GZIP["cut off"])
    assert zone.sync().fingerprint == first.fingerprint
    assert zone.files == {"1.json.gz": gzip.compress(ONE, mtime=0)}
    put(zone.landed, "1.json.gz", BROKEN_GZIP["cut off"])
    zone.withdraw()
    for _ in range(2):
        result = zone.sync()
        assert (result.taken_back, [file.name for file in result.files]) == ([], ["1.json.gz"])
        assert result.fingerprint != first.fingerprint


def test_a_file_that_is_replaced_between_looking_at_it_and_copying_it_is_not_taken_for_what_was_seen(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zone.deliver("1.json", ONE)
    take = LocalFolder.take

    def meanwhile(*arguments: Any) -> bool:
        path.write_bytes(TWO)
        return take(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "take", meanwhile)
        with pytest.raises(
            LakehouseError, match=r"1\.json of the feed 'customer': it was replaced meanwhile"
        ) as refused:
            zone.sync()
    assert refused.value.allow_retries
    put_back(path, ONE, path.stat())
    zone.sync()
    assert zone.files == {"1.json": ONE}


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


TEXT = '{"email": "Núñez 👟"}\n{"email": "bob@x.se"}\n'
OTHERWISE = {
    "UTF-16, little-endian": ("1.json", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")),
    "UTF-16, big-endian": ("1.json", codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")),
    "UTF-32": ("1.json", TEXT.encode("utf-32")),
    "UTF-16, compressed": ("1.json.gz", gzip.compress(TEXT.encode("utf-16"))),
    "compressed, and named as if it were not": ("1.json", gzip.compress(TEXT.encode())),
    "not compressed, and named as if it were": ("1.json.gz", TEXT.encode()),
}


@pytest.mark.parametrize(("name", "content"), OTHERWISE.values(), ids=OTHERWISE)
def test_the_content_tells_how_a_file_is_compressed_and_encoded(zone: Zone, name: str, content: bytes) -> None:
    zone.deliver(name, content)
    result = zone.sync()
    assert (result.rewritten, result.fields) == ([name], {"email": 1})
    assert [line for _, line in zone.lines] == TEXT.splitlines()
    assert zone.files == {name: content}
    zone.deliver("again.json", TEXT.encode())
    assert zone.sync().duplicates == {"again.json": name}


def test_a_pretty_file_in_utf16_is_read_and_half_a_character_is_not_lost(zone: Zone) -> None:
    zone.deliver("1.json", PRETTY.decode().encode("utf-16") + b"x")
    zone.sync()
    assert [line for _, line in zone.lines] == ['{     "email": "ann@x.se"   }', "\ufffd"]


OF_ANOTHER_KIND = {
    "Parquet": b"PAR1\x15\x04" + b'{"' * 9,
    "zip": b"PK\x03\x04\x14\0",
    "XML or HTML": b"\n<!DOCTYPE html><script>{}</script>",
    "CSV": b"user,timestamp,x\r\nann@x.se,1,2\r\n",
    "UTF-16 without its mark": TEXT.encode("utf-16-le"),
    "gzip inside of gzip": gzip.compress(gzip.compress(ONE)),
}


@pytest.mark.parametrize(("kind", "content"), OF_ANOTHER_KIND.items(), ids=OF_ANOTHER_KIND)
def test_a_whole_file_of_another_kind_is_named_by_its_kind_and_what_was_landed_stays(
    zone: Zone, kind: str, content: bytes
) -> None:
    zone.deliver("1.json", content)
    with pytest.raises(LakehouseError, match=f"1.json .it is no JSON, but .*{kind}"):
        zone.sync()
    for delivered in (ONE, content):
        zone.deliver("1.json", delivered)
        result = zone.sync()
    assert kind in result.unreadable["1.json"]
    assert zone.files == {"1.json": ONE}


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
    waiting: Callable[[str], None] = lambda _: pytest.fail("nobody is there")  # noqa: E731
    with pytest.raises(OSError, match="mine"), zone.zone.lock("customer", waiting):
        raise OSError("mine")
    Path(zone.zone.root, "landing", ".customer.lock").unlink()
    Path(zone.zone.root, "landing", ".customer.lock").mkdir()
    with (
        pytest.raises(LakehouseError, match="Could not lock the feed 'customer'"),
        zone.zone.lock("customer", waiting),
    ):
        pass
