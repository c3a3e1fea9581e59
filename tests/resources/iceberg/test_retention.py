"""No commit costs more than the one before: what a table's metadata keeps of its past is limited."""

from __future__ import annotations

import pytest

from resources.iceberg import retention
from resources.iceberg.days import DAY_MS
from tests.resources.iceberg.house import STRIDES, House, LocalHouse

ROWS = [("ann", day * DAY_MS) for day in range(3)]


def manifests(house: House) -> int:
    snapshot = house.iceberg.current_snapshot()
    assert snapshot is not None
    return len(snapshot.manifests(house.iceberg.io))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a few commits reach."""
    monkeypatch.setattr(retention, "MANIFESTS", 4)
    monkeypatch.setattr(retention, "VERSIONS", 5)


@pytest.mark.usefixtures("small")
def test_manifests_and_versions_do_not_become_more_and_more(house: House) -> None:
    newest, most = house.publish(*ROWS, table=STRIDES), [0, 0]
    for number in range(9):
        changed = ("bob", DAY_MS + number)
        before, newest = newest, house.replace({DAY_MS}, changed, onto=newest.snapshot_id)
        assert house.lakehouse.changed_days("walks", before.snapshot_id) == {DAY_MS}
        assert newest == house.lakehouse.version("walks")
        most = [max(most[0], manifests(house)), max(most[1], len(house.lakehouse.history("walks")))]
    assert house.rows(STRIDES) == [ROWS[0], ROWS[2], changed]
    assert newest.rows == 3
    assert (most[0] <= 6, most[1] <= 7) == (True, True), most
    assert house.strays <= {path.rpartition("/")[2] for path in house.paths if path.endswith(".avro")}


@pytest.mark.usefixtures("small")
def test_a_version_that_carries_on_another_says_where_its_rows_come_from(local_house: LocalHouse) -> None:
    newest = local_house.publish(*ROWS, table=STRIDES)
    for number in range(4):
        changed = ("bob", DAY_MS + number)
        newest = local_house.replace({DAY_MS}, changed, onto=newest.snapshot_id, **{"stedi.run-id": "mine", "x": "y"})
    history = {one.snapshot_id: one for one in local_house.lakehouse.history("walks")}
    merged = [one for one in history.values() if one.content != one.snapshot_id]
    assert merged
    for one in merged:
        ours = {key: value for key, value in history[one.content].properties.items() if key.startswith("stedi.")}
        assert {**one.properties, **ours} == one.properties
        assert "x" not in one.properties
        assert one.rows == history[one.content].rows


@pytest.mark.usefixtures("small")
def test_what_a_tag_or_a_branch_holds_is_not_expired(house: House) -> None:
    tagged, branched = house.publish(*ROWS, table=STRIDES), house.publish(ROWS[0], table=STRIDES)
    house.iceberg.manage_snapshots().create_tag(tagged.snapshot_id, "audit").commit()
    house.iceberg.manage_snapshots().create_branch(branched.snapshot_id, "trial").commit()
    for _ in range(8):
        newest = house.publish(ROWS[1], table=STRIDES)
    kept = {one.snapshot_id for one in house.lakehouse.history("walks")}
    assert {tagged.snapshot_id, branched.snapshot_id, newest.snapshot_id} <= kept
    assert len(kept) <= 9
    assert house.rows(STRIDES, tagged.snapshot_id) == sorted(ROWS, key=repr)


def test_of_old_metadata_a_few_files_are_kept(house: House) -> None:
    for _ in range(8):
        house.publish(ROWS[0], table=STRIDES)
    assert len([path for path in house.paths if path.endswith(".metadata.json")]) == 6
    assert house.rows(STRIDES) == ROWS[:1]
