"""A lakehouse that was moved, renamed or copied: it is read and written where it now is, and nowhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.errors import LakehouseError
from resources.iceberg.catalogs import GlueLakehouse
from tests.resources.iceberg.house import ANN, BOB, EVE, WIDE, GlueHouse, LocalHouse

Move = Callable[[Path, Path], object]
MOVES: dict[str, Move] = {
    "moved": os.rename,
    "copied": shutil.copytree,
    "copied by links": lambda old, new: shutil.copytree(old, new, copy_function=os.link),
}


def files(root: Path) -> dict[Path, bytes]:
    """Every file below the folder, with what is in it."""
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_lakehouse_that_was_moved_or_copied_works_where_it_now_is(local_house: LocalHouse, move: Move) -> None:
    """«Could not look up … Look at …», for good; and a run on a copy wrote 26 files into the original's folder."""
    first = local_house.publish(ANN)
    local_house.publish(BOB)
    was = local_house.root
    house = replace(local_house, root=was.with_name("it's 100% new"))
    move(was, house.root)
    original = files(was)
    assert house.everybody_reads([BOB])
    assert house.rows(snapshot_id=first.snapshot_id) == [ANN]
    house.publish(EVE)
    house.clear_up()
    assert house.everybody_reads([EVE])
    assert house.strays == set()
    assert house.rows(snapshot_id=first.snapshot_id) == [ANN]
    assert files(was) == original
    assert str(was).encode() not in b"".join(files(house.root / "stedi").values())


def test_it_may_be_moved_again_and_a_copy_may_lie_in_the_original(local_house: LocalHouse) -> None:
    house = local_house
    house.publish(*((*row, 0.5) for row in (ANN, BOB)), table=WIDE)
    for name in ("b", "c/d", "b"):
        (house.root.parent / name).parent.mkdir(exist_ok=True)
        os.rename(house.root, house.root.parent / name)
        house = replace(house, root=house.root.parent / name)
        house.publish(ANN)
        assert house.everybody_reads([ANN])
    copy = replace(house, root=house.root / "copy")
    shutil.copytree(house.root, copy.root)
    copy.publish(BOB)
    assert copy.everybody_reads([BOB])
    assert house.everybody_reads([ANN])
    assert len(copy.iceberg.metadata.snapshots) == 5


def test_what_was_broken_off_is_done_by_the_next_one(local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    local_house.publish(ANN)
    local_house.publish(BOB)
    house = replace(local_house, root=local_house.root.with_name("copy"))
    shutil.copytree(local_house.root, house.root)
    put = os.replace
    for after in range(6):
        left = [None] * after

        def break_off(*paths: Any, left: list[None] = left) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop()
            put(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", break_off)
            with pytest.raises(KeyboardInterrupt):
                house.lakehouse.version("walks")
    assert house.everybody_reads([BOB])
    assert local_house.everybody_reads([BOB])


def test_a_way_by_a_link_leads_to_the_same_lakehouse(local_house: LocalHouse) -> None:
    local_house.publish(ANN)
    before = files(local_house.root)
    link = local_house.root.with_name("link")
    link.symlink_to(local_house.root)
    house = replace(local_house, root=link)
    assert house.everybody_reads([ANN])
    assert files(local_house.root) == before
    house.publish(BOB)
    assert local_house.everybody_reads([BOB])


def test_a_catalog_without_its_tables_is_told_where_they_are(local_house: LocalHouse) -> None:
    local_house.publish(ANN)
    house = replace(local_house, root=local_house.root.with_name("alone"))
    house.root.mkdir()
    shutil.copy(local_house.root / "catalog.db", house.root)
    before = files(local_house.root)
    for use in (house.lakehouse.version, house.lakehouse.history, lambda _: house.stage(BOB)):
        with pytest.raises(LakehouseError, match=r"stedi.walks lies in \S+/lakehouse/stedi/walks by the catalog in"):
            use("walks")
    assert files(local_house.root) == before


def test_a_copy_of_a_bucket_never_writes_into_the_tables_that_glue_knows(glue_house: GlueHouse) -> None:
    """There, the catalog stays where it is, and is of one of them."""
    glue_house.publish(ANN)
    copy = GlueLakehouse(root=f"s3://{glue_house.aws.new_bucket()}/prod", namespace=glue_house.database)
    before = glue_house.paths
    for use in (copy.version, lambda _: glue_house.stage(BOB, lakehouse=copy)):
        with pytest.raises(LakehouseError) as refused:
            use("walks")
        assert str(refused.value.description) == (
            f"{glue_house.database}.walks in Glue lies in s3://{glue_house.bucket}/{glue_house.key}, which is no place "
            f"of the lakehouse in {copy.root}, so it is left as it is. Set STEDI_LAKEHOUSE to the lakehouse that it is "
            "of, or set STEDI_DATABASE to another database."
        )
    assert glue_house.paths == before
