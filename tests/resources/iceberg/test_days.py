"""A table of readings is split by day, and a commit may replace some days alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resources.errors import LakehouseError
from resources.iceberg.days import DAY_MS, spans
from resources.iceberg.version import CONTENT
from tests.resources.iceberg.house import STRIDES, House

DAYS = [1_655_251_200_000 + number * DAY_MS for number in range(3)]
FIRST, SECOND, THIRD = [("ann", day + 5) for day in DAYS]


def test_a_commit_replaces_the_days_that_it_is_told_and_no_other(house: House) -> None:
    first = house.lakehouse.publish(house.stage(FIRST, SECOND, THIRD, table=STRIDES), {})
    changed = ("bob", DAYS[1] + 7)
    second = house.replace({DAYS[1]}, changed, onto=first.snapshot_id)
    assert house.rows(STRIDES) == [FIRST, THIRD, changed]
    assert house.rows(STRIDES, first.snapshot_id) == [FIRST, SECOND, THIRD]
    assert (second.rows, house.lakehouse.rows_by_day("walks")) == (3, dict.fromkeys(DAYS, 1))
    assert house.lakehouse.changed_days("walks", first.snapshot_id) == {DAYS[1]}
    assert house.lakehouse.changed_days("walks", second.snapshot_id) == set()
    assert house.lakehouse.changed_days("walks", 4711) is None


def test_a_day_may_come_and_may_go(house: House) -> None:
    first = house.lakehouse.publish(house.stage(FIRST, SECOND, table=STRIDES), {})
    second = house.replace({DAYS[2]}, THIRD, onto=first.snapshot_id)
    third = house.replace({DAYS[0]}, onto=second.snapshot_id)
    assert (third.rows, house.rows(STRIDES)) == (2, [SECOND, THIRD])
    assert house.lakehouse.changed_days("walks", first.snapshot_id) == {DAYS[0], DAYS[2]}


def test_a_day_is_read_from_its_own_files(house: House) -> None:
    house.publish(FIRST, SECOND, THIRD, table=STRIDES)
    found = house.lakehouse.read(house.spark, STRIDES, days={DAYS[1]})
    assert found is not None
    assert [tuple(row) for row in found[0].collect()] == [SECOND]


def test_what_is_checked_is_the_whole_version_before_it_is_published(local_house: House) -> None:
    first = local_house.publish(FIRST, SECOND, table=STRIDES)
    lakehouse, changed = local_house.lakehouse, ("bob", DAYS[1] + 7)
    frame = local_house.frame(changed, table=STRIDES)
    with lakehouse.stage([frame], STRIDES, "run", {DAYS[1]}, first.snapshot_id) as staged:
        rows = lakehouse.read_staged(local_house.spark, staged, whole=True)
        assert sorted(map(tuple, rows.collect())) == [FIRST, changed]
        assert (staged.rows, staged.total) == (1, 2)


def test_a_version_that_carries_on_the_rows_of_another_changed_no_day(house: House) -> None:
    first = house.publish(FIRST, SECOND, table=STRIDES)
    second = house.replace(set(), onto=first.snapshot_id, **{CONTENT: str(first.snapshot_id)})
    assert (second.content, house.rows(STRIDES)) == (first.snapshot_id, [FIRST, SECOND])
    assert house.lakehouse.changed_days("walks", first.snapshot_id) == set()
    third = house.replace({DAYS[1]}, onto=second.snapshot_id)
    assert (third.content, house.lakehouse.changed_days("walks", second.content)) == (third.snapshot_id, {DAYS[1]})


def test_days_are_put_onto_the_version_that_they_were_computed_for_alone(house: House) -> None:
    first = house.publish(FIRST, SECOND, table=STRIDES)
    house.replace({DAYS[1]}, onto=first.snapshot_id)
    with pytest.raises(LakehouseError, match="Another run published walks at the same time") as refused:
        house.replace({DAYS[2]}, THIRD, onto=first.snapshot_id)
    assert refused.value.allow_retries
    assert house.rows(STRIDES) == [FIRST]


def test_a_table_that_had_no_days_gets_them_with_its_next_version(house: House) -> None:
    whole = house.publish(("ann", 1))
    assert house.iceberg.spec().is_unpartitioned()
    other = house.publish(FIRST, SECOND, table=STRIDES)
    assert [str(field.transform) for field in house.iceberg.spec().fields] == [f"truncate[{DAY_MS}]"]
    assert house.rows(STRIDES) == [FIRST, SECOND]
    assert house.lakehouse.changed_days("walks", whole.snapshot_id) is None
    house.replace({DAYS[0]}, onto=other.snapshot_id)
    assert house.rows(STRIDES) == [SECOND]
    house.publish(FIRST, SECOND, table=replace(STRIDES, taken=None))
    assert (house.iceberg.spec().is_unpartitioned(), house.rows(STRIDES)) == (True, [FIRST, SECOND])


def test_spans_of_days_hold_every_day_once_and_no_more_rows_than_they_are_to_unless_a_day_has_more() -> None:
    rows = {day * DAY_MS: count for day, count in ((4, 3), (0, 2), (1, 2), (2, 1), (9, 9))}
    found = spans(rows, 5)
    assert [[day // DAY_MS for day in sorted(rows) if day in span] for span in found] == [[0, 1, 2], [4], [9]]
    assert all(sum(span.count(day * DAY_MS) for span in found) == 1 for day in range(-30_000, 60_000))
    assert len(spans({}, 5)) == 1
