"""Accidents: what happens to one row, or to a column, of what a function made.

Belongs here: what may happen to any table, and so happens to one of them in a real run: any has the checks that notice
(`test_every_table.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from tests.stedi_assets.runs import ASSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Function = Callable[..., "DataFrame"]
Happens = Callable[[list[Any], int], list[Any]]


def accident(made: Function, happens: Happens) -> Function:
    """The function, and what then happens to one row, chosen at random."""

    @wraps(made)
    def function(*args: Any, **kwargs: Any) -> DataFrame:
        frame = made(*args, **kwargs)
        rows = sorted(frame.collect(), key=repr)
        chosen = random.Random(made.__name__).randrange(len(rows))
        return frame.sparkSession.createDataFrame(happens(rows, chosen), frame.schema)

    return function


def lose(rows: list[Any], chosen: int) -> list[Any]:
    return rows[:chosen] + rows[chosen + 1 :]


def repeat(rows: list[Any], chosen: int) -> list[Any]:
    return [*rows, rows[chosen]]


def empty(rows: list[Any], chosen: int) -> list[Any]:
    """The last value is lost."""
    return [*rows[:chosen], (*rows[chosen][:-1], None), *rows[chosen + 1 :]]


def without(column: str, made: Function) -> Function:
    @wraps(made)
    def function(*args: Any, **kwargs: Any) -> DataFrame:
        return made(*args, **kwargs).drop(column)

    return function


@dataclass(frozen=True)
class Accident:
    """What happens to what a table's own function made, in a real run, and the checks that fail."""

    rule: str
    table: str
    function: Function
    caught_by: frozenset[str]

    def __str__(self) -> str:
        return f"{self.table}: {self.rule}"


LOST, REPEATED = "a row, chosen at random, is lost", "a row, chosen at random, is there twice"


def to(table: str, rule: str, happens: Happens, *caught_by: str) -> Accident:
    return Accident(rule, table, accident(ASSETS[table].function, happens), frozenset(caught_by))


PHONELESS = without("phone", ASSETS["customers_curated"].function)
ACCIDENTS = (
    to("accelerometer_trusted", LOST, lose, "rows_reconciled"),
    to("customer_trusted", REPEATED, repeat, "rows_reconciled", "one_row_per_customer"),
    to("step_trainer_trusted", "a required value is lost", empty, "required_columns_filled"),
    Accident("a column is left out", "customers_curated", PHONELESS, frozenset({"matches_contract"})),
)
