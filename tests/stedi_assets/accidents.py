"""Accidents: a table's own function, and what then happens to one row, or to a column.

Belongs here: the functions. What notices each is listed in `mutations.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from tests.stedi_assets.examples import T
from tests.stedi_assets.runs import ASSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Function = Callable[..., "DataFrame"]
Happens = Callable[[list[Any], int], list[Any]]


def accident(table: str, happens: Happens) -> Function:
    """The table's own function, and what then happens to one row, chosen at random."""
    made = ASSETS[table].function

    @wraps(made)
    def function(*args: Any, **kwargs: Any) -> DataFrame:
        return with_one(made(*args, **kwargs), happens, seed=table)

    return function


def with_one(frame: DataFrame, happens: Happens, seed: str) -> DataFrame:
    rows = sorted(frame.collect(), key=repr)
    return frame.sparkSession.createDataFrame(happens(rows, random.Random(seed).randrange(len(rows))), frame.schema)


def lose(rows: list[Any], chosen: int) -> list[Any]:
    return rows[:chosen] + rows[chosen + 1 :]


def repeat(rows: list[Any], chosen: int) -> list[Any]:
    return [*rows, rows[chosen]]


def alter(rows: list[Any], chosen: int) -> list[Any]:
    return [*rows[1:], (T + 20, "ann", 3, 99.0, 0.0, 0.0)]


def empty(column: str) -> Happens:
    return lambda rows, chosen: [
        (*(None if name == column else value for name, value in row.asDict().items()),) if at == chosen else row
        for at, row in enumerate(rows)
    ]


def without(column: str, table: str) -> Function:
    made = ASSETS[table].function

    @wraps(made)
    def function(*args: Any, **kwargs: Any) -> DataFrame:
        return made(*args, **kwargs).drop(column)

    return function
