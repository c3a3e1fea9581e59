"""The lakehouse's tables as data: columns, types, meaning, personal data, keys, and how the feeds spell them.

Belongs here: facts about tables that more than one place needs. Schemas, the DDL in `sql/`, the UI's metadata,
the parser's validation and the privacy checks are all derived from these facts.
Does not belong here: how a table is computed (`landing.py`, `trusted.py`, `curated.py`), or any import of an engine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

ColumnType = Literal["string", "bigint", "double"]
"""The types that Spark, Iceberg, Glue and Athena spell alike."""

EPOCH_MS_MIN = 946_684_800_000  # 2000-01-01: anything earlier is epoch seconds or a broken clock
EPOCH_MS_MAX = 4_102_444_800_000  # 2100-01-01


class Pii(StrEnum):
    """How closely a column points at a person."""

    NONE = "none"
    DEVICE = "device"  # a device's identifier: a person only to whoever holds the customer table
    DIRECT = "direct"  # names the person, or a way to reach them


class Zone(StrEnum):
    """The lakehouse's zones, which are also the asset groups."""

    LANDING = "landing"
    TRUSTED = "trusted"
    CURATED = "curated"


@dataclass(frozen=True)
class Column:
    """One column.

    `feed_names` are its spellings in the JSON feeds, the newest first. `minimum` (inclusive) and `maximum`
    (exclusive) bound the values that can be true; a record outside of them goes to quarantine.
    """

    name: str
    type: ColumnType
    meaning: str
    pii: Pii = Pii.NONE
    required: bool = False
    feed_names: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def is_moment(self) -> bool:
        """Whether its values are epoch milliseconds."""
        return self.maximum == EPOCH_MS_MAX

    @property
    def personal(self) -> bool:
        """Whether its values point at a person: storage keeps no statistics of them."""
        return self.pii is not Pii.NONE


@dataclass(frozen=True)
class Table:
    """One table: its grain (what one row is), its columns, and what identifies a row.

    Tables of readings name the column that says when a reading was taken (`taken`). One `of_rejects` holds what was not
    accepted: it may shrink, and that it is empty is what one hopes for. One that `decides` says who agreed to
    what: tables that were made before its newest version may hold somebody who withdrew.
    """

    name: str
    zone: Zone
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    taken: str | None = None
    of_rejects: bool = False
    decides: bool = False

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that are never null."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def pii(self) -> Pii:
        """How closely its rows point at a person: as closely as the column that does so most."""
        return max((column.pii for column in self.columns), key=list(Pii).index)

    def __getitem__(self, name: str) -> Column:
        """The column of that name; KeyError where the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")

    def __contains__(self, name: object) -> bool:
        """Whether the table has a column of that name."""
        return name in self.column_names


@dataclass(frozen=True)
class Feed:
    """One JSON feed: its raw files as they land, the records that were accepted, and those that were not.

    `landing` is what an external table over the raw files shows; `records` has its columns, and the file of each.
    """

    name: str
    landing: Table
    records: Table
    quarantine: Table


def _epoch_ms(name: str, feed_name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(
        name,
        "bigint",
        f"{meaning} (epoch milliseconds, UTC)",
        required=required,
        feed_names=(feed_name,),
        minimum=EPOCH_MS_MIN,
        maximum=EPOCH_MS_MAX,
    )


def _consent(name: str, feed_name: str, audience: str) -> Column:
    # Zero or less is how some app versions spell a withdrawal: accepted, and never read as consent.
    return replace(
        _epoch_ms(name, feed_name, f"Since when the customer shares data with {audience}, null where not shared"),
        minimum=None,
    )


def _text(name: str, feed_name: str, meaning: str, pii: Pii, *, required: bool = False) -> Column:
    return Column(name, "string", meaning, pii=pii, required=required, feed_names=(feed_name,))


def _axis(name: str) -> Column:
    meaning = f"Acceleration along the {name} axis of the phone, as its app reports it"
    return Column(name, "double", meaning, required=True, feed_names=(name,), minimum=-1e6, maximum=1e6)


EMAIL = _text("email", "email", "E-mail address of the customer, which identifies them", Pii.DIRECT, required=True)
SERIAL = _text("serialnumber", "serialNumber", "Serial number of the Step Trainer", Pii.DEVICE, required=True)
CONSENT = _consent("sharewithresearchasofdate", "shareWithResearchAsOfDate", "research")
USER = _text("user", "user", "E-mail address of the owner of the phone", Pii.DIRECT, required=True)
TIMESTAMP = replace(
    _epoch_ms("timestamp", "timestamp", "When the phone took the reading", required=True),
    feed_names=("timestamp", "timeStamp"),
)
AXES = tuple(_axis(axis) for axis in "xyz")
SENSOR_TIME = _epoch_ms("sensorreadingtime", "sensorReadingTime", "When the Step Trainer measured", required=True)
DISTANCE = Column(
    "distancefromobject",
    "bigint",
    "Distance from the sensor to the object in front of it, in the unit of the sensor",
    required=True,
    feed_names=("distanceFromObject",),
    minimum=0,
    maximum=1e6,
)

CUSTOMER_COLUMNS = (
    _text("customername", "customerName", "Full name of the customer", Pii.DIRECT),
    EMAIL,
    _text("phone", "phone", "Phone number of the customer", Pii.DIRECT),
    # A string, not a date: the feed has years like 0993 and 1399.
    _text("birthday", "birthDay", "Birthday of the customer as they typed it (yyyy-mm-dd)", Pii.DIRECT),
    SERIAL,
    _epoch_ms("registrationdate", "registrationDate", "When the customer registered"),
    _epoch_ms("lastupdatedate", "lastUpdateDate", "When this record was last changed", required=True),
    CONSENT,
    _consent("sharewithpublicasofdate", "shareWithPublicAsOfDate", "the public"),
    _consent("sharewithfriendsasofdate", "shareWithFriendsAsOfDate", "friends"),
)
ACCELEROMETER_COLUMNS = (USER, TIMESTAMP, *AXES)
STEP_TRAINER_COLUMNS = (SENSOR_TIME, SERIAL, DISTANCE)

FILE = Column("file", "string", "The landed file that the record came from", required=True)
REASON = Column("reason", "string", "Why the record was not accepted", required=True)
TEXT = Column("text", "string", "The record exactly as it was delivered", pii=Pii.DIRECT, required=True)
RUN = Column("run", "string", "The Dagster run that read the record", required=True)


def _feed(
    name: str,
    columns: tuple[Column, ...],
    grain: str,
    taken: str | None = None,
    *,
    decides: bool = False,
) -> Feed:
    landing = Table(f"{name}_landing", Zone.LANDING, grain, columns, taken=taken, decides=decides)
    return Feed(
        name,
        landing,
        records=replace(landing, name=f"{name}_records", columns=(*columns, FILE)),
        quarantine=Table(
            f"{name}_quarantine",
            Zone.LANDING,
            "one record that was not accepted",
            (FILE, REASON, TEXT, RUN),
            of_rejects=True,
            decides=decides,
        ),
    )


CUSTOMER = _feed("customer", CUSTOMER_COLUMNS, "one record of a customer, as the website sent it", decides=True)
ACCELEROMETER = _feed("accelerometer", ACCELEROMETER_COLUMNS, "one accelerometer reading of a phone", TIMESTAMP.name)
STEP_TRAINER = _feed("step_trainer", STEP_TRAINER_COLUMNS, "one distance reading of a Step Trainer", SENSOR_TIME.name)
FEEDS = (CUSTOMER, ACCELEROMETER, STEP_TRAINER)

CUSTOMER_TRUSTED = Table(
    "customer_trusted", Zone.TRUSTED, "one consenting customer", CUSTOMER_COLUMNS, key=(EMAIL.name,)
)
ACCELEROMETER_TRUSTED = replace(ACCELEROMETER.landing, name="accelerometer_trusted", zone=Zone.TRUSTED)
CUSTOMERS_CURATED = Table(
    "customers_curated",
    Zone.CURATED,
    "one consenting customer with accelerometer readings",
    CUSTOMER_COLUMNS,
    key=(EMAIL.name,),
)
STEP_TRAINER_TRUSTED = replace(STEP_TRAINER.landing, name="step_trainer_trusted", zone=Zone.TRUSTED)
MACHINE_LEARNING_CURATED = Table(
    "machine_learning_curated",
    Zone.CURATED,
    "one distance reading with one accelerometer reading of the same customer and millisecond",
    (*STEP_TRAINER_COLUMNS, *AXES),
    taken=SENSOR_TIME.name,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        *(feed.records for feed in FEEDS),
        *(feed.quarantine for feed in FEEDS),
        CUSTOMER_TRUSTED,
        ACCELEROMETER_TRUSTED,
        CUSTOMERS_CURATED,
        STEP_TRAINER_TRUSTED,
        MACHINE_LEARNING_CURATED,
    )
}
"""Every Iceberg table, by name; each is an asset of that name."""

ASSETS: dict[str, Table] = {**{feed.landing.name: feed.landing for feed in FEEDS}, **TABLES}
"""The columns of every asset: those of raw files are what an external table over them shows."""
