"""A version is published in one commit, by one of many writers, and is not lost where its answer is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resources.errors import LakehouseError
from tests.resources.iceberg.house import ANN, BOB, EVE, WIDE, GlueHouse, House, Row
from tests.resources.iceberg.writers import hold_to_the_history, publish_at_once


@pytest.fixture(params=[None, [ANN]], ids=["never published", "published"])
def before(request: pytest.FixtureRequest, house: House) -> list[Row]:
    """What is published when the test begins."""
    if request.param:
        house.publish(*request.param)
    rows: list[Row] = request.param or []
    return rows


# Two writers


@pytest.mark.parametrize("first", [[], [BOB]], ids=["the first publishes nothing", "the first publishes rows"])
def test_of_two_writers_the_second_is_refused_and_leaves_no_file(
    house: House, before: list[Row], first: list[Row]
) -> None:
    one, two = house.stage(*first), house.stage(EVE, EVE)
    published = house.lakehouse.publish(one, {})
    with pytest.raises(LakehouseError) as refused:
        house.lakehouse.publish(two, {})
    assert str(refused.value.description) == (
        "Another run published walks at the same time; this run's version was discarded. Materialize walks again."
    )
    assert refused.value.allow_retries
    assert not any(two.directory.name in path for path in house.paths)
    assert house.strays == set()
    assert house.lakehouse.version("walks") == published
    assert house.everybody_reads(first)


def test_a_writer_that_is_faster_by_a_moment_wins(
    house: House, before: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    faster, lakehouse = house.stage(BOB), house.lakehouse
    slower = house.stage(EVE, lakehouse=lakehouse)
    house.just_before_a_commit(lakehouse, lambda: house.lakehouse.publish(faster, {}), monkeypatch)
    with pytest.raises(LakehouseError, match="at the same time"):
        lakehouse.publish(slower, {})
    assert slower.directory.name not in house.folders
    assert house.everybody_reads([BOB])


def test_a_new_shape_is_refused_too_if_another_writer_was_faster(local_house: House) -> None:
    local_house.publish(ANN)
    one, two = local_house.stage(BOB), local_house.stage(("eve", 1, 1.5), table=WIDE)
    local_house.lakehouse.publish(one, {})
    with pytest.raises(LakehouseError):
        local_house.lakehouse.publish(two, {})
    assert local_house.iceberg.schema().column_names == ["user", "steps"]
    assert local_house.everybody_reads([BOB])


@pytest.mark.slow
def test_of_many_writers_every_commit_is_in_the_history_or_reported_as_a_conflict(
    house: House, rounds: Callable[[int, int], int]
) -> None:
    house.publish(ANN)
    environment = house.aws.environment if isinstance(house, GlueHouse) else {}
    told = publish_at_once(house.lakehouse, rounds(3, 5), rounds(3, 10), environment)
    hold_to_the_history(told, house.iceberg)
    assert house.strays == set()
    assert len(house.folders) == len(house.iceberg.metadata.snapshots)


# A commit of which nobody knows whether it arrived


def test_a_commit_that_arrived_although_its_answer_was_lost_is_a_commit(
    house: House, before: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it sent again, it would be refused, and PyIceberg would remove what the table is made of by then."""
    lakehouse = house.lakehouse
    staged = house.stage(BOB, lakehouse=lakehouse)
    with monkeypatch.context() as patch:
        house.break_the_connection(lakehouse, patch, arrives=True, again=True)
        version = lakehouse.publish(staged, {})
    assert version == house.lakehouse.version("walks")
    assert f".{staged.directory.name}.staging" not in house.folders
    assert house.everybody_reads([BOB])
    house.publish(EVE)
    assert house.everybody_reads([EVE])


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost"])
@pytest.mark.usefixtures("days_later")
def test_files_that_may_be_live_stay_until_the_next_run_knows(
    house: House, before: list[Row], arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakehouse = house.lakehouse
    with monkeypatch.context() as patch, house.stage(BOB, lakehouse=lakehouse) as staged:
        house.break_the_connection(lakehouse, patch, arrives=arrives, again=False)
        with pytest.raises(LakehouseError, match="Could not publish walks"):
            lakehouse.publish(staged, {})
    assert staged.directory.name in house.folders
    if arrives or before:
        assert house.everybody_reads([BOB] if arrives else before)
    house.clear_up()
    house.publish(EVE)
    assert house.everybody_reads([EVE])
    assert (staged.directory.name in house.folders) is arrives  # an older version is made of it
    assert house.strays == set()
