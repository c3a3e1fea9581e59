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

    from tests.support import Stedi

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


CUSTOMERS = [
    # Ann has a new Step Trainer, and had consented all the while.
    customer("Ann@x.org", "ann-old", updated=T, consent=T),
    customer("ann@x.org", "ann", updated=T + 10, consent=T + 5),
    customer("bob@x.org", "bob", updated=T, consent=T),
    customer("bob@x.org", "bob", updated=T + 10, consent=0),
    customer("cleo@x.org", "cleo", updated=T, consent=None),
    customer("cleo@x.org", "cleo", updated=T + 10, consent=T + 10),
    customer("dan@x.org", "shared", updated=T, consent=T),
    customer("eve@x.org", "shared", updated=T, consent=T),
    customer("fay@x.org", "half", updated=T, consent=T),
    customer("gus@x.org", "half", updated=T, consent=None),
    customer("hal@x.org", "hal", updated=T, consent=T),
]
READINGS = [
    reading("ann@x.org", T + 1, 0.1),
    reading("ann@x.org", T + 5, 0.2),
    reading("ANN@x.org", T + 20, 1.0),
    reading("ann@x.org", T + 20, 1.5),
    reading("ann@x.org", T + 30, 2.0),
    reading("ann@x.org", T + 30, 2.0),
    *(
        reading(f"{who}@x.org", T + 20, float(x))
        for x, who in enumerate(("bob", "cleo", "dan", "eve", "fay", "gus"), 3)
    ),
    reading("nobody@x.org", T + 20, 9.0),
]
DISTANCES = [
    distance("ann", T + 1, 1),
    distance("ann", T + 5, 2),
    distance("ann", T + 20, 3),
    distance("ann", T + 30, 4),
    *(distance(serial, T + 20, 5) for serial in ("ann-old", "bob", "cleo", "shared", "half", "hal", "lost")),
]
"""Feeds in which every rule of every table leaves something out: Ann, Cleo, Dan, Eve, Fay and Hal have consented,
Bob has withdrawn, Gus never agreed; Dan and Eve share a Step Trainer, and so do Fay and Gus; Hal has no phone."""


def deliver_all(
    stedi: Stedi,
    customers: Iterable[Row] = CUSTOMERS,
    readings: Iterable[Row] = READINGS,
    distances: Iterable[Row] = DISTANCES,
) -> None:
    """Put one file of each feed into the source."""
    for feed, rows in (("customer", customers), ("accelerometer", readings), ("step_trainer", distances)):
        stedi.deliver(feed, as_delivered(feed, rows))
