"""The default sample has the real world's situations, each several times."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.oracle import consented
from tests.sample.reader import NEVER, Customer, Feeds


def consented_within(who: Customer, times: list[int]) -> bool:
    return min(times, default=0) < who.since <= max(times, default=0)


def differs(who: Customer) -> set[str]:
    old, new = who.changes[0], who.changes[-1]
    return {column for column in old if old[column] != new[column]}


SITUATIONS: dict[str, tuple[int, Callable[[Customer], object]]] = {
    "declined, with readings": (40, lambda who: not who.consents and who.motion and who.distance),
    "consented midway": (10, lambda who: consented_within(who, who.motion) and consented_within(who, who.distance)),
    "in the millisecond of a reading": (3, lambda who: who.since in who.motion),
    "in the millisecond of a distance": (3, lambda who: who.since in who.distance),
    "consented too late": (3, lambda who: max(who.motion, default=NEVER) < who.since < NEVER),
    "no readings": (3, lambda who: who.consents and not who.motion and not who.distance),
    "only a trainer": (3, lambda who: who.consents and not who.motion and who.distance),
    "only a phone": (3, lambda who: who.consents and who.motion and not who.distance),
    "did not consent before": (3, lambda who: who.consents and not all(map(consented, who.changes))),
    "returned": (2, lambda who: [*map(consented, who.changes)] == [True, False, True]),
    "a new phone": (3, lambda who: who.consents and differs(who) == {"phone", "lastupdatedate", "email"}),
    "an address in capitals": (3, lambda who: who.motion and not who.record["email"].islower()),
    "newer record first": (3, lambda who: who.changes[-1] is not who.history[-1] and len(who.changes) > 1),
    "fellow consented later": (
        2,
        lambda who: (
            who.since < min(who.distance, default=0)
            and consented_within(max(who.fellows, key=lambda fellow: fellow.since), who.distance)
        ),
    ),
    "an odd birthday": (5, lambda who: who.record["birthday"] < "1900"),
    "a name with accents": (5, lambda who: not who.record["customername"].isascii()),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_some_customers_are_in_each_situation(feeds: Feeds, situation: str) -> None:
    least, holds = SITUATIONS[situation]
    assert sum(bool(holds(who)) for who in feeds.customers.values()) >= least


def test_nearly_half_of_the_customers_consented_at_registration(feeds: Feeds) -> None:
    at_once = sum(who.since == who.record["registrationdate"] for who in feeds.customers.values())
    assert 0.42 <= at_once / len(feeds.customers) <= 0.48


def test_some_readings_belong_to_nobody(feeds: Feeds) -> None:
    ever_held = {record["serialnumber"] for record in feeds.customer}
    assert min(len(feeds.motion.keys() - feeds.customers.keys()), len(feeds.steps.keys() - ever_held)) >= 3


def test_some_customers_replaced_a_step_trainer_that_has_readings(feeds: Feeds) -> None:
    held = {who.record["serialnumber"] for who in feeds.customers.values()}
    given_up = {record["serialnumber"] for record in feeds.customer} - held
    assert len(given_up & feeds.steps.keys()) >= 3


def test_some_customers_withdrew_by_leaving_the_date_out_or_by_a_zero(feeds: Feeds) -> None:
    spelled = Counter(
        who.changes[-1]["sharewithresearchasofdate"]
        for who in feeds.customers.values()
        if consented(who.changes[0]) and not consented(who.changes[-1])
    )
    assert spelled.keys() == {None, 0}
    assert min(spelled.values()) >= 2


def test_some_records_contradict_each_other_at_the_same_moment(feeds: Feeds) -> None:
    tied = [who for who in feeds.customers.values() if len(who.history) > len(who.changes)]
    ties = Counter(tuple(map(consented, who.history)) for who in tied)
    # In either order, and some records are simply sent twice.
    assert min(ties[order] for order in ((True, False), (False, True), (True, True))) >= 2
    assert all(consented(who.record) == all(map(consented, who.history)) for who in tied)


def test_some_customers_share_a_step_trainer(feeds: Feeds) -> None:
    sharing = [who for who in feeds.customers.values() if len(who.fellows) > 1]
    agreed = Counter(sum(consented(fellow.record) for fellow in who.fellows) for who in sharing)
    assert agreed.keys() == {1, 2}
    assert min(agreed.values()) >= 6
    assert all(len(who.fellows) == 2 and who.motion and who.distance for who in sharing)


def test_some_neighbours_have_readings_at_the_same_milliseconds(feeds: Feeds) -> None:
    users: dict[int, set[str]] = defaultdict(set)
    for reading in feeds.accelerometer:
        users[reading["timestamp"]].add(reading["user"])
    together = Counter(frozenset(some) for some in users.values() if len(some) > 1)
    neighbours = [pair for pair, moments in together.items() if moments >= 20]
    agreed = Counter(sum(consented(feeds.customers[email].record) for email in pair) for pair in neighbours)
    assert min(agreed[1], agreed[2]) >= 3


def test_each_sensor_is_now_and_then_alone(feeds: Feeds) -> None:
    alone = Counter[str]()
    for who in feeds.customers.values():
        moved, measured = set(who.motion), set(who.distance)
        if moved and len(measured) in range(20, 36) and len(who.fellows) == 1:
            alone.update(distance=len(measured), unheard=len(measured - moved), unseen=len(moved - measured))
    assert 0.03 <= alone["unheard"] / alone["distance"] <= 0.07
    assert 0.01 <= alone["unseen"] / alone["distance"] <= 0.05


def test_a_moment_has_one_to_four_accelerometer_readings(feeds: Feeds) -> None:
    moments = Counter((reading["user"], reading["timestamp"]) for reading in feeds.accelerometer)
    sizes = Counter(moments.values())
    assert min(sizes[size] for size in (1, 2, 3, 4)) >= 100
    assert 2.6 <= moments.total() / len(moments) <= 3.0


def test_readings_are_equal_only_on_purpose(feeds: Feeds) -> None:
    for readings in (feeds.accelerometer, feeds.step_trainer):
        times = Counter(tuple(reading.values()) for reading in readings)
        assert 2 <= sum(count > 1 for count in times.values()) <= 6


def test_readings_look_like_steps(feeds: Feeds) -> None:
    distances = [reading["distancefromobject"] for reading in feeds.step_trainer]
    assert 195 <= min(distances) < 210 < 290 < max(distances) <= 305
    for axis, low, high in (("x", -0.3, 0.3), ("y", 0.5, 1.5), ("z", -0.4, 0.4)):
        values = [reading[axis] for reading in feeds.accelerometer]
        assert low <= min(values) < max(values) <= high
        assert all(round(value, 3) == value for value in values)
    gaps = {later - earlier for times in feeds.steps.values() for earlier, later in pairwise(sorted(times))}
    assert len(gaps) > 1000
    assert all(1_654_000_000_000 < reading["timestamp"] < 1_657_000_000_000 for reading in feeds.accelerometer)


def test_people_are_invented(feeds: Feeds) -> None:
    assert len(feeds.customers) == 200
    shapes = {
        "email": r"[a-z]+\.[a-z]+\.\d+@example\.com",
        "phone": r"\d{3}55501\d\d",
        "birthday": r"\d{4}-\d\d-\d\d",
        "serialnumber": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    }
    for record in feeds.customer:
        assert all(re.fullmatch(shape, record[column].lower()) for column, shape in shapes.items())
    assert {"0993", "1399"} <= {record["birthday"][:4] for record in feeds.customer}
