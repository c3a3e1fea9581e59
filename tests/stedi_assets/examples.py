"""Small feeds that a person can check by eye: customers, readings and distances with short names and times.

Belongs here: building rows by column name, and the same rows as the feeds would deliver them.
Does not belong here: what is expected of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stedi_assets.contracts import FEEDS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Row = dict[str, Any]

T = 1_700_000_000_000
"""A moment that feeds may name; tests of the pure functions count from 0 instead."""


def customer(email: str, serial: str = "A", *, updated: int = 1, consent: int | None = 1, **others: Any) -> Row:
    """A customer record; columns that are not named are null."""
    return {
        "email": email,
        "serialnumber": serial,
        "lastupdatedate": updated,
        "sharewithresearchasofdate": consent,
        **others,
    }


def reading(user: str, at: int = 1, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Row:
    """An accelerometer reading."""
    return {"user": user, "timestamp": at, "x": x, "y": y, "z": z}


def distance(serial: str, at: int = 1, far: int = 0) -> Row:
    """A distance reading of a Step Trainer."""
    return {"sensorreadingtime": at, "serialnumber": serial, "distancefromobject": far}


def as_delivered(feed: str, rows: Iterable[Row]) -> list[Row]:
    """The rows in the field names of the feed, without the fields that are null."""
    columns = next(one for one in FEEDS if one.name == feed).landing.columns
    return [{c.feed_names[0]: row[c.name] for c in columns if row.get(c.name) is not None} for row in rows]


def values(frame: DataFrame, *columns: str) -> list[Any]:
    """The frame's rows, sorted: tuples of these columns (of all, if none is named), or bare values of a single one."""
    rows = [tuple(row) for row in (frame.select(*columns) if columns else frame).collect()]
    return sorted((row[0] for row in rows) if len(columns) == 1 else rows, key=repr)
