"""Every file of a feed is found in its source and lands under a good name; what is passed over is told."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone
from resources.files.source import landing_name
from tests.resources.files.zones import ONE, THREE, TWO, Zone, contents, growing, put, someone_else


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


NAMES_THAT_ARE_READ = [
    *(
        "1.json",
        "1.JSON",
        "1.jsonl",
        "1.ndjson",
        "1.NdJson.Gz",
        "1.jsonl.gz",
        "part-0",
        "PART-0.GZ",
        "2024/June/part-0",
    ),
    "stedi-1-2022-06-18-15-03-26-11111111-2222-4333-8444-555555555555",
]


def test_a_file_of_any_name_that_tools_give_json_is_read(anywhere: Zone) -> None:
    """customer-2.JSON held a withdrawal: the run was green, and the customer in the training table."""
    delivered = {name: ONE.replace(b"ann", name.encode()) for name in NAMES_THAT_ARE_READ}
    for name, content in delivered.items():
        anywhere.deliver(name, gzip.compress(content) if name.lower().endswith(".gz") else content)
    result = anywhere.sync()
    assert sorted(line for _, line in anywhere.lines) == sorted(one.decode().strip() for one in delivered.values())
    assert (len(result.new), result.rewritten, result.ignored) == (len(delivered), [], {})
    assert sorted(anywhere.sync().unchanged) == sorted(result.new)


HIDDEN = "its name or that of a folder begins with . or _"
OTHER = "read are .json, .jsonl and .ndjson, each also with .gz, and names without an extension"
NAMES_THAT_ARE_NOT = {
    **dict.fromkeys(["notes.txt", "1.csv", "1.json.bak", "a/1.json.zip", "b.json/1.parquet"], OTHER),
    **dict.fromkeys(["_SUCCESS", ".1.json", "_2.json.gz", ".ipynb_checkpoints/1-checkpoint.json"], HIDDEN),
    "_temporary/0/task_1/part-00000.json": HIDDEN,
}


def test_every_other_file_is_named_as_not_read_with_the_reason(anywhere: Zone) -> None:
    anywhere.deliver("1.json", ONE)
    for name in NAMES_THAT_ARE_NOT:
        anywhere.deliver(name, TWO)
    result = anywhere.sync()
    assert (list(anywhere.files), result.unreadable) == (["1.json"], {})
    assert result.ignored == {f"customers/{name}": reason for name, reason in NAMES_THAT_ARE_NOT.items()}


def test_a_feed_folder_without_any_name_that_is_read_is_told_what_is_there(anywhere: Zone) -> None:
    for number in range(12):
        anywhere.deliver(f"{number}.csv", ONE)
    with pytest.raises(LakehouseError) as stopped:
        anywhere.sync()
    sentence = str(stopped.value.description)
    assert f"can be read: customers/0.csv ({OTHER}), customers/1.csv" in sentence
    assert sentence.endswith("and 2 more.")


def test_what_is_no_file_is_not_waited_for_and_named(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    os.mkfifo(zone.delivered.path("pipe.json"))
    assert zone.sync().unreadable == {"customers/pipe.json": "neither a file nor a folder"}


def test_a_file_beside_the_folder_that_is_read_is_named(anywhere: Zone) -> None:
    landing = replace(anywhere, source="source/customer/landing")
    put(landing.folder.below(landing.source), "1.json", ONE)
    put(landing.folder.below("source/customer"), "2.json", TWO)
    put(landing.folder.below("source/customer/trusted"), "3.json", TWO)
    result = anywhere.sync()
    assert result.new == ["1.json"]
    assert list(result.unreadable) == ["customer/2.json"]


def test_hidden_files_that_an_older_version_landed_go(zone: Zone) -> None:
    zone.deliver("1.json", ONE)
    zone.deliver("tmp/0.json", TWO)
    zone.sync()
    zone.withdraw("tmp/0.json")
    old = landing_name("_temporary/0.json")
    zone.deliver("_temporary/0.json", TWO)
    manifest = json.loads(contents(zone.beside)["manifest.json"])
    manifest["files"][1]["name"] = old
    put(zone.beside, "manifest.json", json.dumps(manifest).encode())
    zone.landed.remove(["tmp/0.json"])
    put(zone.landed, old, TWO)
    assert [file.name for file in zone.sync().files] == ["1.json"] == list(zone.files)


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
        with zone.zone.lock("customer", print), someone_else(), pytest.raises(LakehouseError, match="closed"):
            zone.zone.sync("customer")
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
    assert sentence.startswith("Could not sync the feed 'customer': no file of it in ")
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
    "UPPER.JSON",
    "no extension",
    "no extension.GZ",
    "x.ndjson/2.jsonl",
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
        path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    zone.sync()
    assert {name.endswith(".gz") for name in zone.files} == {True, False}
    assert sorted(line for _, line in zone.lines) == sorted(one.decode().strip() for one in delivered.values())
    assert all(re.fullmatch(LITERAL, name) for name in zone.files)
    stamps = zone.stamps
    assert sorted(zone.sync().unchanged) == sorted(zone.files)
    assert zone.stamps == stamps


SUFFIXES = [".json", ".json.gz", ".jsonl", ".ndjson.gz", ".JSON"]
LANDED = tuple(suffix for suffix in SUFFIXES if suffix.islower())
parts = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]) | st.sampled_from(" ._=%*[]"),
    min_size=1,
    max_size=12,
).filter(lambda part: part.strip("."))
names = st.lists(parts, min_size=1, max_size=3).flatmap(
    lambda folders: st.sampled_from(SUFFIXES).map(lambda suffix: "/".join(folders) + suffix)
)


@given(names, names)
def test_landing_names_are_literal_keep_their_suffix_and_never_meet(one: str, other: str) -> None:
    landed = landing_name(one)
    assert re.fullmatch(LITERAL, landed)
    assert landed.endswith(".gz") == one.endswith(".gz")
    assert landed.endswith(LANDED)
    assert not any(folder.endswith(LANDED) for folder in landed.split("/")[:-1])
    assert (landed == landing_name(other)) == (one == other)


def test_names_that_would_become_the_same_name_stay_apart() -> None:
    assert len({*map(landing_name, ("a b.json", "a_b.json", "a=b.json", "_a/b.json", "a/b.json"))}) == 5
