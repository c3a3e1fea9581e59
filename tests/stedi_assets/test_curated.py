"""The curated tables, rule by rule, as pure functions over a few rows."""

from __future__ import annotations

from typing import Any

import pytest

from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, MACHINE_LEARNING_CURATED, STEP_TRAINER
from stedi_assets.curated import customers_curated, machine_learning_curated
from tests.stedi_assets.examples import Row, customer, distance, reading, values
from tests.support import MakeFrame

# customers_curated --------------------------------------------------------------------------------------------

ANN = customer("Ann@X ", "A", updated=3, consent=2, customername="Ann", phone="1", birthday="1399-01-01")


@pytest.mark.parametrize(
    ("customers", "users"),
    [
        ([ANN], ["ann@x"]),
        ([ANN, customer("bob@x")], ["ann@x", "ann@x", "ANN@X", "nobody@x"]),
        ([ANN], [" ann@x", "ann@x "]),
    ],
    ids=["one reading", "many readings, and a customer without", "the address with blanks"],
)
def test_a_customer_with_trusted_readings_is_one_row_with_every_column(
    frame: MakeFrame, customers: list[Row], users: list[str]
) -> None:
    readings = [reading(user, at) for at, user in enumerate(users, 1)]
    table = customers_curated(frame(CUSTOMER.landing, customers), frame(ACCELEROMETER.landing, readings))
    assert tuple(table.columns) == CUSTOMER.landing.column_names
    assert values(table) == [tuple(ANN.get(name) for name in CUSTOMER.landing.column_names)]


@pytest.mark.parametrize(("customers", "readings"), [([], [reading("ann@x")]), ([ANN], [])])
def test_without_customers_or_without_readings_nobody_is_curated(
    frame: MakeFrame, customers: list[Row], readings: list[Row]
) -> None:
    assert values(customers_curated(frame(CUSTOMER.landing, customers), frame(ACCELEROMETER.landing, readings))) == []


# machine_learning_curated -------------------------------------------------------------------------------------


def pairs(frame: MakeFrame, distances: list[Row], readings: list[Row], customers: list[Row]) -> list[Any]:
    table = machine_learning_curated(
        frame(STEP_TRAINER.landing, distances),
        frame(ACCELEROMETER.landing, readings),
        frame(CUSTOMER.landing, customers),
    )
    assert tuple(table.columns) == MACHINE_LEARNING_CURATED.column_names
    return values(table)


def test_a_distance_is_paired_with_its_holders_reading_of_the_same_millisecond(frame: MakeFrame) -> None:
    distances = [distance("A", 5, 30)]
    readings = [reading("ann@x", 4, 1.0), reading(" ANN@x", 5, 2.0, 3.0, 4.0), reading("ann@x", 6, 5.0)]
    assert pairs(frame, distances, readings, [customer("Ann@x ", "A")]) == [(5, "A", 30, 2.0, 3.0, 4.0)]


def test_two_customers_of_the_same_millisecond_are_never_mixed(frame: MakeFrame) -> None:
    distances = [distance("A", 5, 1), distance("B", 5, 2), distance("C", 5, 3)]
    readings = [reading("ann@x", 5, 1.0), reading("bob@x", 5, 2.0), reading("cleo@x", 6, 3.0)]
    customers = [customer("ann@x", "A"), customer("bob@x", "B"), customer("cleo@x", "C")]
    assert pairs(frame, distances, readings, customers) == [(5, "A", 1, 1.0, 0.0, 0.0), (5, "B", 2, 2.0, 0.0, 0.0)]


def test_every_distance_meets_every_reading_of_the_millisecond(frame: MakeFrame) -> None:
    distances = [distance("A", 5, 1), distance("A", 5, 2)]
    readings = [reading("ann@x", 5, 1.0), reading("ann@x", 5, 2.0), reading("ann@x", 5, 2.0)]
    found = [(row[2], row[3]) for row in pairs(frame, distances, readings, [customer("ann@x", "A")])]
    assert found == [(1, 1.0), (1, 2.0), (1, 2.0), (2, 1.0), (2, 2.0), (2, 2.0)]


def test_a_shared_step_trainer_is_not_trained_on_though_all_agreed(frame: MakeFrame) -> None:
    customers = [customer("ann@x", "A"), customer("bob@x", "A"), customer("cleo@x", "C")]
    readings = [reading("ann@x", 5), reading("bob@x", 5), reading("cleo@x", 5)]
    found = pairs(frame, [distance("A", 5), distance("C", 5)], readings, customers)
    assert [row[1] for row in found] == ["C"]


@pytest.mark.parametrize("missing", ["distances", "readings", "customers"])
def test_where_one_side_is_empty_there_is_nothing_to_train_on(frame: MakeFrame, missing: str) -> None:
    inputs = {"distances": [distance("A")], "readings": [reading("ann@x")], "customers": [customer("ann@x", "A")]}
    assert pairs(frame, **{**inputs, missing: []}) == []
