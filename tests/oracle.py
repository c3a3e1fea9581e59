"""The rules of the trusted and curated tables, said once more in plain Python: slow, obvious, independent.

Belongs here: a reading of the tables' definitions over lists of dicts, to hold every other implementation to.
Does not belong here: reading files, or anything imported from the code under test.

The dicts are accepted records by lower-case column name (`email`, `sharewithresearchasofdate`, ...) and the `file` that
delivered them; a column that is missing counts as null. Rows come back as tuples in the tables' column order, in no
promised order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Rows = list[tuple[Any, ...]]

CUSTOMER = (
    "customername",
    "email",
    "phone",
    "birthday",
    "serialnumber",
    "registrationdate",
    "lastupdatedate",
    "sharewithresearchasofdate",
    "sharewithpublicasofdate",
    "sharewithfriendsasofdate",
)
ACCELEROMETER = ("user", "timestamp", "x", "y", "z")
STEP_TRAINER = ("sensorreadingtime", "serialnumber", "distancefromobject")
PAIR = (*STEP_TRAINER, "x", "y", "z")


def person(email: str) -> str:
    """Who an e-mail address means: blanks around it and letter case make no other person."""
    return email.strip(" ").lower()


def consented(record: Record) -> bool:
    """Whether the record agrees to share for research: zero or less is a withdrawal."""
    since = record.get("sharewithresearchasofdate")
    return since is not None and since > 0


def decides(record: Record) -> tuple[Any, ...]:
    """How much say a record has about its customer: the greatest decides.

    The latest one. Among equally late ones the one without consent, then the later consent date, then the
    greatest serial number, then whatever tells them apart: the columns from last to first, null the least.
    """

    def null_least(column: str) -> tuple[bool, Any]:
        value = record.get(column)
        return (value is not None, value)

    return (
        record["lastupdatedate"],
        not consented(record),
        null_least("sharewithresearchasofdate"),
        record["serialnumber"],
        *(null_least(column) for column in reversed(CUSTOMER)),
    )


def latest_records(customers: Sequence[Record]) -> dict[str, Record]:
    """The record that decides about each person."""
    latest: dict[str, Record] = {}
    for record in customers:
        rival = latest.get(person(record["email"]))
        if rival is None or decides(record) > decides(rival):
            latest[person(record["email"])] = record
    return latest


def once(records: Sequence[Record], columns: Sequence[str]) -> list[Record]:
    """Each record as the file has it that has it most often, of several the one with the greatest name.

    A user is the same however the address is written.
    """
    files: dict[tuple[Any, ...], dict[str, list[Record]]] = {}
    for record in records:
        meant = {**record, "user": person(record.get("user", ""))}
        files.setdefault(_row(meant, columns), {}).setdefault(record.get("file", ""), []).append(record)
    most = [max(by_file.items(), key=lambda file: (len(file[1]), file[0]))[1] for by_file in files.values()]
    return [record for records in most for record in records]


def in_doubt(latest: Mapping[str, Record], unreadable: Sequence[str]) -> tuple[set[str], set[str]]:
    """Customers whom the text of an unreadable record names, unless their latest record is newer than it says to be.

    And the words of such texts, if they name anybody but customers whose latest record is newer: one may be the serial
    number of a device that somebody holds of whom nobody knows what they agreed to.
    """
    doubted, words = set[str](), set[str]()
    for text in unreadable:
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), text)
        dates = re.split('"lastupdatedate"', plain, flags=re.IGNORECASE)[1:]
        said = re.match(r'\s*:\s*"?\s*(\d{13})(?!\d)', dates[0]) if len(dates) == 1 else None
        addresses = {person(address) for address in re.findall(r'[^\s",;:{}]+@[^\s",;:{}]+', plain)}
        said = said if len(addresses) == 1 else None
        known = {address for address in addresses if address in latest}
        newer = {who for who in known if said is not None and latest[who]["lastupdatedate"] > int(said[1])}
        doubted |= known - newer
        if addresses and (not newer or known - newer):
            words |= {*re.findall(r'[^\s",;:{}]+', plain)}
    return doubted, words


def customer_trusted(customers: Sequence[Record], unreadable: Sequence[str]) -> list[Record]:
    """Who agreed, by the record that decides; `unreadable` are the texts of customer records that nobody can read."""
    latest = latest_records(customers)
    doubted, _ = in_doubt(latest, unreadable)
    return [record for who, record in latest.items() if consented(record) and who not in doubted]


def accelerometer_trusted(readings: Sequence[Record], trusted: Sequence[Record], consent: str) -> list[Record]:
    """The readings that their users share."""
    since = _since(trusted)
    return [
        reading
        for reading in once(readings, ACCELEROMETER)
        if shares(since, person(reading["user"]), reading["timestamp"], consent)
    ]


def customers_curated(trusted: Sequence[Record], motion: Sequence[Record]) -> list[Record]:
    """Trusted customers with at least one trusted reading."""
    moving = {person(reading["user"]) for reading in motion}
    return [record for record in trusted if person(record["email"]) in moving]


def step_trainer_trusted(
    distances: Sequence[Record],
    curated: Sequence[Record],
    customers: Sequence[Record],
    unreadable: Sequence[str],
    consent: str,
) -> list[Record]:
    """The readings of devices that a curated customer holds, that every holder shares, and nobody unknown may hold."""
    since = _since(customer_trusted(customers, unreadable))
    holders: dict[str, list[str]] = {}
    latest = latest_records(customers)
    for who, record in latest.items():
        holders.setdefault(record["serialnumber"], []).append(who)
    used = {record["serialnumber"] for record in curated} - in_doubt(latest, unreadable)[1]
    return [
        reading
        for reading in once(distances, STEP_TRAINER)
        if reading["serialnumber"] in used
        and all(shares(since, who, reading["sensorreadingtime"], consent) for who in holders[reading["serialnumber"]])
    ]


def machine_learning_curated(
    distances: Sequence[Record], motion: Sequence[Record], trusted: Sequence[Record]
) -> list[Record]:
    """Each trusted distance with the motion of the only holder at that moment."""
    holders: dict[str, list[str]] = {}
    for record in trusted:
        holders.setdefault(record["serialnumber"], []).append(person(record["email"]))
    motion_of: dict[tuple[str, int], list[Record]] = {}
    for reading in motion:
        motion_of.setdefault((person(reading["user"]), reading["timestamp"]), []).append(reading)
    # A device with several holders belongs to nobody in particular, so its steps go with nobody's motion.
    return [
        {**distance, **{axis: reading[axis] for axis in "xyz"}}
        for distance in distances
        if len(holders.get(distance["serialnumber"], [])) == 1
        for reading in motion_of.get((holders[distance["serialnumber"]][0], distance["sensorreadingtime"]), [])
    ]


def _since(trusted: Sequence[Record]) -> dict[str, int]:
    return {person(record["email"]): record["sharewithresearchasofdate"] for record in trusted}


def shares(since: Mapping[str, int], who: str, ms: int, consent: str) -> bool:
    """Whether the person shares a reading taken at that time; `since` has the consents that count."""
    return who in since and (consent == "customer" or ms >= since[who])


def expected_tables(
    customers: Sequence[Record],
    accelerometer: Sequence[Record],
    step_trainer: Sequence[Record],
    consent: str,
    unreadable: Sequence[str] = (),
) -> dict[str, Rows]:
    """The rows of the five trusted and curated tables under the consent rule `customer` or `as-of-date`.

    `unreadable` are the texts of the customer records that could not be read.
    """
    trusted = customer_trusted(customers, unreadable)
    motion = accelerometer_trusted(accelerometer, trusted, consent)
    curated = customers_curated(trusted, motion)
    distances = step_trainer_trusted(step_trainer, curated, customers, unreadable, consent)
    pairs = machine_learning_curated(distances, motion, trusted)
    return {
        "customer_trusted": [_row(record, CUSTOMER) for record in trusted],
        "accelerometer_trusted": [_row(reading, ACCELEROMETER) for reading in motion],
        "customers_curated": [_row(record, CUSTOMER) for record in curated],
        "step_trainer_trusted": [_row(reading, STEP_TRAINER) for reading in distances],
        "machine_learning_curated": [_row(pair, PAIR) for pair in pairs],
    }


def _row(record: Record, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(record.get(column) for column in columns)
