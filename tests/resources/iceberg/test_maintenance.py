"""What maintenance removes, and what it never does: a file that a version needs, or anything while in doubt."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.errors import LakehouseError
from resources.iceberg import compaction, maintenance
from resources.iceberg.days import DAY_MS
from resources.iceberg.footers import read_footers
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.maintenance import Maintained, maintain
from resources.iceberg.retention import replaced_before
from resources.iceberg.version import Staged, Version
from tests.resources.iceberg.house import ANN, BOB, EVE, STRIDES, WALKS, GlueHouse, House, LocalHouse, Table

NONE, WEEK = timedelta(0), timedelta(days=7)
DAYS = [DAY_MS, 2 * DAY_MS, 3 * DAY_MS]
ROWS = [("ann", day) for day in DAYS]


def parquet(house: House) -> set[str]:
    return {path for path in house.paths if path.endswith(".parquet")}


def keep_up(house: House, history: timedelta = NONE, table: Table = WALKS) -> Maintained:
    return maintain(house.lakehouse, table, history)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that lies there was written long ago."""
    monkeypatch.setattr(maintenance, "ORPHANED_AFTER", NONE)


# History --------------------------------------------------------------------------------------------------------------


def test_history_goes_with_its_files_and_the_current_version_stays(house: House) -> None:
    for row in (ANN, BOB, EVE):
        house.publish(row)
    assert keep_up(house, WEEK) == Maintained("walks", versions_retained=3)
    done = keep_up(house)
    assert (done.versions_expired, done.versions_retained, done.refused) == (2, 1, "")
    assert (len(parquet(house)), house.strays) == (1, set())
    assert done.files_deleted >= 4
    assert done.bytes_deleted > 1000
    assert house.everybody_reads([EVE])
    assert keep_up(house) == Maintained("walks", versions_retained=1)


def test_a_file_of_a_version_that_expired_stays_while_another_one_has_it(house: House) -> None:
    first = house.publish(*ROWS, table=STRIDES)
    house.replace({DAYS[1]}, ("bob", DAYS[1]), onto=first.snapshot_id)
    assert keep_up(house, table=STRIDES).versions_expired == 1
    assert len(parquet(house)) == 3
    assert sorted(house.rows(STRIDES)) == sorted([ROWS[0], ROWS[2], ("bob", DAYS[1])])


def test_what_a_tag_holds_stays_with_its_files(house: House) -> None:
    tagged = house.publish(ANN)
    house.iceberg.manage_snapshots().create_tag(tagged.snapshot_id, "audit").commit()
    house.publish(BOB)
    house.publish(EVE)
    assert keep_up(house).versions_expired == 1
    assert house.rows(snapshot_id=tagged.snapshot_id) == [ANN]
    assert house.everybody_reads([EVE])


def test_a_version_is_old_by_when_it_was_replaced_not_by_when_it_was_made(local_house: LocalHouse) -> None:
    """A run may be reading what was served for a month, and was replaced a minute ago."""
    first = local_house.publish(ANN)
    second = local_house.publish(BOB)
    metadata = local_house.iceberg.metadata
    assert first.committed_ms < second.committed_ms
    assert replaced_before(metadata, second.committed_ms) == []
    assert replaced_before(metadata, second.committed_ms + 1) == [first.snapshot_id]


# What no version needs ------------------------------------------------------------------------------------------------


def test_what_nobody_needs_goes_once_it_is_old_but_for_what_a_run_may_publish(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish(ANN)
    before = house.paths
    staged = house.stage(BOB)
    for path in ("data/left/part-0.parquet", "metadata/left-m0.avro", "README"):
        house.write(path, b"x")
    there = house.paths
    assert keep_up(house, WEEK).files_deleted == 0
    assert house.paths == there
    monkeypatch.setattr(maintenance, "ORPHANED_AFTER", NONE)
    assert keep_up(house, WEEK) == Maintained("walks", versions_retained=1, files_deleted=2, bytes_deleted=2)
    assert house.paths == there - {"data/left/part-0.parquet", "metadata/left-m0.avro"}
    house.lakehouse.publish(staged, {})
    assert house.paths > before
    assert house.everybody_reads([BOB])


@pytest.mark.usefixtures("old")
def test_what_s3as_committer_makes_again_when_a_run_has_tidied_up_goes_but_nothing_of_a_living_run(
    glue_house: GlueHouse,
) -> None:
    glue_house.publish(ANN)
    staged = glue_house.stage(BOB)
    begun = f"0f0f0f0f-{uuid.uuid4()}"
    for path in (f"data/.{begun}.staging", f"data/{begun}/__magic_job-1/"):
        glue_house.write(path)
    before = glue_house.keys
    for left in ("__magic_job-1/", "__magic_job-1/job-1/task_1.pendingset"):
        glue_house.write(f"data/0f0f0f0f-{uuid.uuid4()}/{left}")
    keep_up(glue_house, WEEK)
    assert glue_house.keys == before
    glue_house.lakehouse.publish(staged, {})
    assert glue_house.everybody_reads([BOB])


@pytest.mark.usefixtures("old")
def test_a_folder_that_is_reached_by_two_ways_is_one(local_house: LocalHouse, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(local_house.root)
    by_link = LocalHouse(local_house.spark, link)
    local_house.publish(*ROWS, table=STRIDES)
    by_link.publish(*ROWS, table=STRIDES)
    by_link.replace({DAYS[0]}, onto=local_house.publish(*ROWS, table=STRIDES).snapshot_id)
    for house in (local_house, by_link):
        assert keep_up(house, WEEK, STRIDES).files_deleted == 0
    assert sorted(local_house.rows(STRIDES)) == ROWS[1:]


# In doubt -------------------------------------------------------------------------------------------------------------


def lose_a_file(house: LocalHouse, patch: pytest.MonkeyPatch) -> None:
    [task] = house.iceberg.scan().plan_files()
    Path(task.file.file_path.removeprefix("file://")).unlink()


def fail_to_list(house: LocalHouse, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "data")

    patch.setattr(maintenance._Folder, "listing", refuse)


def list_a_part(house: LocalHouse, patch: pytest.MonkeyPatch) -> None:
    listing = maintenance._Folder.listing
    patch.setattr(maintenance._Folder, "listing", lambda self: dict(list(listing(self).items())[:1]))


def publish_meanwhile(house: LocalHouse, patch: pytest.MonkeyPatch) -> None:
    listing = maintenance._Folder.listing

    def meanwhile(self: Any) -> Any:
        found = listing(self)
        house.publish(BOB)
        return found

    patch.setattr(maintenance._Folder, "listing", meanwhile)


def expire_meanwhile(house: LocalHouse, patch: pytest.MonkeyPatch) -> None:
    def meanwhile(metadata: Any, moment_ms: int) -> list[int]:
        found = replaced_before(metadata, moment_ms)
        house.iceberg.maintenance.expire_snapshots().by_ids(found).commit()
        return found

    patch.setattr(maintenance, "replaced_before", meanwhile)


def lie_elsewhere(house: LocalHouse, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(type(house.lakehouse), "uri", lambda self, table: f"file://{house.root}/elsewhere/{table}")


@pytest.mark.parametrize(
    ("doubt", "why"),
    [
        (lose_a_file, r"lacks 1 files that the table needs, .*parquet among them, so nothing was removed"),
        (fail_to_list, r"Could not maintain walks: .*Permission denied"),
        (list_a_part, r"lacks \d+ files that the table needs"),
        (publish_meanwhile, r"Another run published walks meanwhile, so nothing was removed"),
        (expire_meanwhile, r"Another run published walks meanwhile, so nothing was removed"),
        (lie_elsewhere, r"which is no place of this lakehouse, so it is left as it is"),
    ],
)
@pytest.mark.usefixtures("old")
def test_in_doubt_nothing_is_removed_and_a_sentence_says_why(
    local_house: LocalHouse,
    doubt: Callable[[LocalHouse, pytest.MonkeyPatch], None],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local_house.publish(ANN)
    local_house.publish(EVE)
    local_house.write("data/left/part-0.parquet", b"x")
    with monkeypatch.context() as patch:
        doubt(local_house, patch)
        before = parquet(local_house)
        done = keep_up(local_house)
    assert re.search(why, done.refused), done.refused
    assert done.files_deleted == 0
    assert before <= parquet(local_house)


@pytest.mark.usefixtures("old")
def test_files_of_a_table_whose_catalog_was_lost_stay_for_it_may_come_back(local_house: LocalHouse) -> None:
    local_house.publish(ANN)
    before = local_house.paths
    local_house.lose_the_table()
    local_house.publish(BOB)
    local_house.publish(EVE)
    done = keep_up(local_house)
    assert "is of a table that lay there before, whose catalog was lost" in done.refused
    assert (done.versions_expired, before <= local_house.paths) == (1, True)
    assert len(parquet(local_house)) == 2


# Days of many files ---------------------------------------------------------------------------------------------------


def publish_many_files(house: House, rows: list[tuple[str, int]]) -> Version:
    """Publish a version with a file for each row."""
    lakehouse = house.lakehouse
    directory, base = lakehouse.staging_dir("walks"), lakehouse.load("walks")
    folder = directory.open("many")
    for number, row in enumerate(rows):
        frame = pa.table({"user": [row[0]], "at": [row[1]]})
        with lakehouse.io.new_output(f"{folder}/_day={row[1] // DAY_MS}/{number}.parquet").create() as out:
            pq.write_table(frame, out)
    with Staged(STRIDES, directory, base, read_footers(lakehouse.io, directory.data_files)) as staged:
        return lakehouse.publish(staged, {"stedi.run-id": "r1"})


MANY = [*[("ann", DAYS[0] + number) for number in range(6)], *[("bob", DAYS[1] + number) for number in range(2)]]


def test_a_day_of_many_files_gets_one_and_nobody_takes_it_for_a_change(house: House) -> None:
    many = publish_many_files(house, MANY)
    assert keep_up(house, WEEK, STRIDES) == Maintained("walks", versions_retained=2, days_compacted=1)
    now, lakehouse = house.lakehouse.version("walks"), house.lakehouse
    assert now is not None
    assert (now.snapshot_id != many.snapshot_id, now.content, now.rows) == (True, many.snapshot_id, 8)
    assert now.properties["stedi.run-id"] == "r1"
    assert lakehouse.changed_days("walks", many.snapshot_id) == set()
    assert len(list(house.iceberg.scan().plan_files())) == 3
    assert sorted(house.rows(STRIDES)) == MANY
    assert keep_up(house, table=STRIDES).versions_expired == 1
    assert (len(parquet(house)), sorted(house.rows(STRIDES))) == (3, MANY)
    assert lakehouse.read(house.spark, STRIDES, many.snapshot_id) is not None  # by its content


def test_a_run_that_stages_while_days_are_compacted_is_told_to_try_again(local_house: LocalHouse) -> None:
    many = publish_many_files(local_house, MANY)
    with local_house.lakehouse.stage([], STRIDES, "run", {DAYS[0]}, many.snapshot_id) as staged:
        assert keep_up(local_house, WEEK, STRIDES).days_compacted == 1
        with pytest.raises(LakehouseError, match="Another run published walks at the same time") as refused:
            local_house.lakehouse.publish(staged, {})
    assert refused.value.allow_retries
    assert sorted(local_house.rows(STRIDES)) == MANY


def test_a_run_that_publishes_while_days_are_compacted_wins(
    local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_many_files(local_house, MANY)
    publish, waiting = Lakehouse.publish, [True]

    def meanwhile(self: Lakehouse, *arguments: Any) -> Version:
        if waiting:
            waiting.pop()
            local_house.publish(ROWS[0], table=STRIDES)
        return publish(self, *arguments)

    monkeypatch.setattr(Lakehouse, "publish", meanwhile)
    done = keep_up(local_house, table=STRIDES)
    assert "Another run published walks at the same time" in done.refused
    assert local_house.rows(STRIDES) == ROWS[:1]
    assert not [path for path in local_house.paths if path.startswith("data/compact")]


def test_days_that_would_lose_a_row_are_left_as_they_are(
    local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_many_files(local_house, MANY)
    before, merge = local_house.paths, compaction._merge
    monkeypatch.setattr(compaction, "_merge", lambda io, footers, path: merge(io, footers[1:], path))
    assert "have other numbers of rows than its manifests say" in keep_up(local_house, table=STRIDES).refused
    assert local_house.paths == before


def test_days_with_deleted_rows_are_left_to_the_engine_that_deleted_them(
    local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_many_files(local_house, MANY)
    monkeypatch.setattr(compaction, "files_of", _of_deleted_rows)
    done = keep_up(local_house, table=STRIDES)
    assert (done.days_compacted, done.refused) == (0, "walks carries row deletes")
    assert len(parquet(local_house)) == 8


def _of_deleted_rows(*arguments: Any, for_rows_of: str = "") -> Any:
    from resources.iceberg.days import files_of

    if for_rows_of:
        raise LakehouseError(f"{for_rows_of} carries row deletes")
    return files_of(*arguments)
