"""A folder of files is the same to its user on this machine and in S3."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from resources.files.folder import Folder
from resources.files.landing_zone import folder_at
from tests.resources.files.zones import Zone, contents, put


@pytest.fixture
def folder(anywhere: Zone) -> Folder:
    return anywhere.folder.below("lake")


def test_what_is_written_is_there_by_its_name(folder: Folder) -> None:
    assert folder.files() == []
    put(folder, "a/b.json", b"1")
    put(folder, "a.json", b"22")
    assert contents(folder) == {"a.json": b"22", "a/b.json": b"1"}
    assert contents(folder.below("a")) == {"b.json": b"1"}
    assert [file.size for file in folder.files()] == [2, 1]
    assert folder.path("a/b.json") == folder.below("a").path("b.json")


def test_writing_that_breaks_off_leaves_what_was_there(folder: Folder) -> None:
    put(folder, "a.json", b"before")
    with suppress(RuntimeError), folder.create("a.json") as out:
        out.write(b"half")
        raise RuntimeError
    assert contents(folder) == {"a.json": b"before"}


def test_a_stamp_changes_with_the_content(folder: Folder) -> None:
    put(folder, "a.json", b"1")
    [before] = folder.files()
    assert folder.files() == [before]
    put(folder, "a.json", b"2")
    [after] = folder.files()
    assert (after.size, after.stamp != before.stamp) == (before.size, True)


def test_only_what_is_named_is_removed(folder: Folder) -> None:
    for name in ("a.json", "b.json", "c/d.json"):
        put(folder, name, b"1")
    folder.remove(["a.json", "c/d.json"])
    assert set(contents(folder)) == {"b.json"}
    folder.remove([])


def test_a_file_that_is_not_there_is_told_apart_from_one_that_cannot_be_read(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError):
        folder.open("a.json")


def test_a_file_is_taken_from_any_other_folder(folder: Folder, tmp_path: Path) -> None:
    elsewhere = folder_at(str(tmp_path / "elsewhere"))
    put(elsewhere, "a.json", b"1")
    folder.take(elsewhere.files()[0], "taken.json", "")
    elsewhere.take(folder.files()[0], "back.json", "")
    assert contents(folder) == {"taken.json": b"1"}
    assert contents(elsewhere) == {"a.json": b"1", "back.json": b"1"}


def test_a_folder_holds_itself_and_what_is_inside_of_it(folder: Folder) -> None:
    assert folder.holds(folder)
    assert folder.holds(folder.below("a"))
    assert not folder.below("a").holds(folder)
    assert not folder.below("a").holds(folder.below("ab"))
    for stranger in (folder_at("/"), folder_at("s3://bucket")):
        if type(stranger) is not type(folder):
            assert not stranger.holds(folder)
            assert not folder.holds(stranger)
