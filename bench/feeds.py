"""The feeds that the benchmark reads: generated ones of any size, or the files of a folder that is there.

Belongs here: what a feed's files are called, hold and lie in. The generated feeds have the reference data's shape
and no defects, are the same bytes each time, and are written as a stream, in constant memory.
Does not belong here: anything that a program under test does to them. Only the standard library is used: the
programs under test import this module, and its import must cost them nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from random import Random
from typing import TextIO
from uuid import UUID

COLUMNS = {
    "customer": {
        "customerName": "STRING",
        "email": "STRING",
        "phone": "STRING",
        "birthDay": "STRING",
        "serialNumber": "STRING",
        "registrationDate": "BIGINT",
        "lastUpdateDate": "BIGINT",
        "shareWithResearchAsOfDate": "BIGINT",
        "shareWithPublicAsOfDate": "BIGINT",
        "shareWithFriendsAsOfDate": "BIGINT",
    },
    "accelerometer": {"user": "STRING", "timestamp": "BIGINT", "x": "DOUBLE", "y": "DOUBLE", "z": "DOUBLE"},
    "step_trainer": {"sensorReadingTime": "BIGINT", "serialNumber": "STRING", "distanceFromObject": "BIGINT"},
}
"""How each feed spells its columns today, and their types as both Spark and DuckDB call them."""

FEEDS = tuple(COLUMNS)
CUSTOMERS_PER_SCALE = 956
BYTES_PER_SCALE = 11_000_000
SEED = 20220618
FIRST_MOMENT = 1_655_561_935_465  # the first reading, in epoch milliseconds
FIRST_FILE = 1_691_348_231_425  # the epoch milliseconds in the name of each feed's first file
DAY_MS = 86_400_000

LINES_PER_FILE = 10_000  # as in the reference data, at scale 1
LARGEST_FILES = 40  # times as many lines, however large the feeds: some 40 MB

DISTANCES = 30  # of each customer; two or three accelerometer readings belong to each
ONE_READING_LESS = (1, 2, 3, 4, 4, 4, 4, 5, 6, 8)  # at how many of the distances, by the customer's number

_AXIS = ("-1.0", "0.0", "1.0")
# One for each value of a byte: a random byte picks the axes of a reading.
_AXES = [f'"x":{_AXIS[byte % 3]},"y":{_AXIS[byte // 3 % 3]},"z":{_AXIS[byte // 9 % 3]}}}' for byte in range(256)]
_FIRST_NAMES = ("Ada", "Ben", "Chen", "Dara", "Emil", "Fatima", "Goran", "Hana", "Ivo", "Jomo", "Keiko")
_LAST_NAMES = ("Abara", "Brandt", "Costa", "Dahl", "Eriksen", "Fontana", "Garcia")


def delivered_files(folder: Path) -> list[str]:
    """Return a feed's files; of files with equal content only one, since a second delivery adds nothing."""
    by_content: dict[bytes, str] = {}
    for path in sorted(folder.glob("*.json")):
        with path.open("rb") as file:
            by_content.setdefault(file_digest(file, "sha256").digest(), str(path))
    if not by_content:
        sys.exit(
            f"There is no .json file in {folder}: the benchmark reads feeds laid out as SOURCE/customer/landing/*.json."
        )
    return list(by_content.values())


def feed_folder(source: Path, feed: str) -> Path:
    """Return the folder of a feed's files."""
    return source / feed / "landing"


@dataclass(frozen=True)
class Size:
    """How large a feed is."""

    files: int
    lines: int
    bytes: int


def sizes(source: Path) -> dict[str, Size]:
    """Return each feed's size. A feed without files ends the program with a sentence that says what is missing."""
    return {feed: _size(delivered_files(feed_folder(source, feed))) for feed in FEEDS}


def _size(files: list[str]) -> Size:
    lines = 0
    for path in files:
        with open(path, "rb") as file:
            lines += sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return Size(len(files), lines, sum(Path(path).stat().st_size for path in files))


@dataclass(frozen=True)
class Person:
    """Someone with a Step Trainer: a customer's records, if they are one, and one walk, mostly with the phone."""

    records: list[str]
    email: str
    serial: str
    moments: range
    readings_less: int
    left_the_phone: bool


def write_feeds(source: Path, customers: int) -> None:
    """Write the three feeds of that many customer records into a folder, always the same for the same number."""
    random = Random(SEED)
    lines_per_file = LINES_PER_FILE * min(max(customers // CUSTOMERS_PER_SCALE, 1), LARGEST_FILES)
    with ExitStack() as files:
        customer, accelerometer, step_trainer = (
            files.enter_context(closing(_Files(source, feed, lines_per_file))) for feed in FEEDS
        )
        for person in _people(customers, random):
            customer.write(person.records)
            accelerometer.write(_motion(person, random))
            step_trainer.write(_distances(person, random))


def _people(customers: int, random: Random) -> Iterator[Person]:
    """Yield people: most are customers with one record, some with two, and some are no customers."""
    serial, moments = "", range(0)
    for number in range(customers):
        # Now and then a Step Trainer has the holder before, and a walk the moments of the walk before.
        if number % 50 != 20:
            serial = str(UUID(int=random.getrandbits(128)))
        if number % 20 != 10:
            day, turn = divmod(number, CUSTOMERS_PER_SCALE)
            step = 3_000 + random.randrange(1_200)
            first = FIRST_MOMENT + day * DAY_MS + turn * 2_700
            moments = range(first, first + DISTANCES * step, step)
        name = f"{random.choice(_FIRST_NAMES)} {random.choice(_LAST_NAMES)}"
        email = f"{name.replace(' ', '.')}{number}@example.com"
        records = _customer(number, name, email, serial, moments[0], random)
        readings_less = ONE_READING_LESS[number % len(ONE_READING_LESS)]
        yield Person(records, email, serial, moments, readings_less, left_the_phone=number % 100 == 37)


def _customer(number: int, name: str, email: str, serial: str, walked: int, random: Random) -> list[str]:
    """Return the records: as many people have two as have none, so that there is one for each person on average."""
    registered = walked - random.randrange(600_000)
    first = _record(name, email, serial, registered, registered, random)
    if number % 100 == 98:
        updated = registered + (0 if number % 200 == 98 else 300_000)  # the first ones tie
        return [first, _record(name, email.lower(), serial, registered, updated, random)]
    return [] if number % 100 == 99 else [first]


def _record(name: str, email: str, serial: str, registered: int, updated: int, random: Random) -> str:
    consents = "".join(
        f', "shareWith{audience}AsOfDate": {updated}'
        for audience in ("Research", "Public", "Friends")
        if random.random() < 0.51
    )
    born = f"{random.randrange(1900, 2005)}-{random.randrange(1, 13):02}-01"
    return (
        f'{{"customerName": "{name}", "email": "{email}", "phone": "555010{random.randrange(10_000):04}", '
        f'"birthDay": "{born}", "serialNumber": "{serial}", "registrationDate": {registered}, '
        f'"lastUpdateDate": {updated}{consents}}}\n'
    )


def _motion(person: Person, random: Random) -> list[str]:
    if person.left_the_phone:
        return []
    axes = iter(random.randbytes(DISTANCES * 3))
    less = DISTANCES - person.readings_less
    return [
        f'{{"user":"{person.email}","timestamp":{moment},{_AXES[next(axes)]}\n'
        for index, moment in enumerate(person.moments)
        for _ in range(3 if index < less else 2)
    ]


def _distances(person: Person, random: Random) -> list[str]:
    return [
        f'{{"sensorReadingTime":{moment},"serialNumber":"{person.serial}","distanceFromObject":{201 + byte % 100}}}\n'
        for moment, byte in zip(person.moments, random.randbytes(DISTANCES), strict=True)
    ]


class _Files:
    """The files of one feed, filled one after the other; a person's lines are never split between two."""

    def __init__(self, source: Path, feed: str, lines_per_file: int) -> None:
        folder = feed_folder(source, feed)
        folder.mkdir(parents=True)
        self._names = (folder / f"{feed}-{FIRST_FILE + 51 * index}.json" for index in range(sys.maxsize))
        self._lines_per_file = lines_per_file
        self._file: TextIO | None = None
        self._room = 0

    def write(self, lines: list[str]) -> None:
        """Write a person's lines, into the next file where this one has no room for them."""
        if self._file is None or len(lines) > self._room:
            self.close()
            self._file = next(self._names).open("w", encoding="utf-8", newline="")
            self._room = self._lines_per_file
        self._room -= len(lines)
        self._file.write("".join(lines))

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self._file is not None:
            self._file.close()
