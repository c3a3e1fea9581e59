"""One invented person: who they are, and how they step with a phone in the pocket before a Step Trainer.

Belongs here: names and numbers, the moments of a session, and what both sensors read then.
Does not belong here: which kinds of customers there are and what they share (`households.py`), or how a feed spells
all that and what goes wrong on the way (`delivery.py`).
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import NamedTuple

HOUR = 3_600_000
DAY = 24 * HOUR
FIRST_SESSION = 1_655_251_200_000  # 2022-06-15, UTC
CUSTOMERS_A_DAY = 1_000  # so many begin each day: a larger sample has more days, not fuller ones


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()


FIRST_NAMES = ("Ada", "Bruno", "Chloë", "Dev", "Edda", "Farid", "Greta", "Hugo", "Ines", "Yuki")
LAST_NAMES = ("Abel", "Dahl", "Ekström", "Fabre", "Haddad", "Ito", "Keller", "Mbeki", "Núñez", "Okoro")
NAMES = [(f"{one} {other}", f"{_plain(one)}.{_plain(other)}") for one in FIRST_NAMES for other in LAST_NAMES]
ODD_YEARS = (993, 1399, 1111, 1754)

TURN = 64  # the steps of one turn of a swing
SINE = [round(1000 * math.sin(2 * math.pi * step / TURN)) for step in range(TURN)]
"""One turn, in thousandths: whole numbers, so that no machine's rounding shows in the files."""
NEAREST = [250 + 45 * sine // 1000 for sine in SINE]  # centimetres
SHAPES = 16  # the ways in which a stride goes at the same step of its turn

PHONE_SILENT, TRAINER_SILENT = 100, 60  # of 2,000 lots: the moments that only the other sensor noticed
READ_TIMES = (1, 2, 2, 3, 3, 3, 3, 3, 4, 4)
# What chance does to a moment: how often the phone reads it, by which shape of stride, and how the distance strays.
LOTS = [
    (
        0 if lot < PHONE_SILENT else READ_TIMES[lot % 10],
        lot // 10 % SHAPES,
        None if PHONE_SILENT <= lot < PHONE_SILENT + TRAINER_SILENT else lot % 11 - 5,
    )
    for lot in range(2_000)
]


class Record(NamedTuple):
    """One record of the customer feed, in the contract's column order; None: there is nothing to say."""

    name: str
    email: str
    phone: str
    birthday: str
    serial: str
    registered: int
    updated: int
    research: int | None = None
    public: int | None = None
    friends: int | None = None


class Tally(NamedTuple):
    """How many readings there are, and how many pairs of both sensors at the same millisecond."""

    accelerometer: int = 0
    distance: int = 0
    pairs: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self[0] + other[0], self[1] + other[1], self[2] + other[2])


NONE = Tally()


@dataclass
class Walk:
    """The readings of one session, and how many there are: `all`, and `since` the moment of consent.

    `motion` holds (ms, stride, times): the first so many readings of that one of `strides()`. `distance` holds
    (ms, cm).
    """

    email: str
    serial: str
    motion: list[tuple[int, int, int]] = field(default_factory=list)
    distance: list[tuple[int, int]] = field(default_factory=list)
    all: Tally = NONE
    since: Tally = NONE

    def repeat_first(self) -> None:
        """Read the first moment's first reading of either sensor once more, in a session after consent."""
        ms, stride, times = self.motion[0]
        self.motion.append((ms, stride, 1))
        self.distance.append(self.distance[0])
        self.all = self.since = self.all.plus(Tally(1, 1, times + 2))


def pick(rng: Random, start: int, stop: int) -> int:
    """A whole number from start up to, but not including, stop.

    Python promises the same sequence on every version for `Random.random` alone: nothing else is ever called.
    """
    return start + int(rng.random() * (stop - start))


def moments_from(rng: Random, start: int) -> list[int]:
    """When the readings of a session that begins at `start` are taken: irregular, some seconds apart."""
    random, moments = rng.random, [start]
    for _ in range(pick(rng, 27, 34)):
        moments.append(start := start + 1500 + int(random() * 5000))
    return moments


def phone_number(rng: Random) -> str:
    """A number that nobody has: 555-01xx is kept for fiction."""
    return f"{pick(rng, 201, 990)}55501{pick(rng, 0, 100):02}"


def serial_number(rng: Random) -> str:
    """The serial number of a Step Trainer: the shape of a random UUID."""
    one, two, three = (f"{pick(rng, 0, 16**10):010x}" for _ in range(3))
    return f"{one[:8]}-{one[8:]}{two[:2]}-4{two[2:5]}-{'89ab'[pick(rng, 0, 4)]}{two[5:8]}-{two[8:]}{three}"


@cache
def strides() -> list[list[tuple[int, int, int]]]:
    """What a phone reads of a step, by its place in the turn and its shape: four times (x, y, z), thousandths of g."""
    rng = Random("strides")
    return [[_reading(rng, step, each) for each in range(4)] for step in range(TURN) for _ in range(SHAPES)]


def _reading(rng: Random, step: int, each: int) -> tuple[int, int, int]:
    phase = step + 5 * each
    sway = 140 * SINE[(phase + 40) % TURN] // 1000 + pick(rng, -60, 61)
    bounce = 980 + 330 * SINE[phase % TURN] // 1000 + pick(rng, -40, 41)
    swing = 210 * SINE[(phase + 20) % TURN] // 1000 + pick(rng, -50, 51)
    # The two lowest bits tell the readings of a moment apart, so that none are equal by accident.
    return sway & ~3 | each, bounce, swing


class Person:
    """Somebody with a name, a Step Trainer, and the moments of one session some days after registration."""

    def __init__(self, rng: Random, number: int, moments: list[int] | None = None) -> None:
        """Invent somebody; `moments` are those of a session that is not their own choice."""
        name, plain = NAMES[pick(rng, 0, len(NAMES))]
        year = ODD_YEARS[number % len(ODD_YEARS)] if number % 17 == 3 else pick(rng, 1935, 2005)
        birthday = f"{year:04}-{pick(rng, 1, 13):02}-{pick(rng, 1, 29):02}"
        first_day = FIRST_SESSION + number // CUSTOMERS_A_DAY * DAY
        self.rng = rng
        self.moments = moments or moments_from(rng, pick(rng, first_day, first_day + 10 * DAY))
        self.registered = self.moments[0] - pick(rng, 10 * DAY, 30 * DAY)
        self.email = f"{plain}.{number}@example.com"
        self.serial = serial_number(rng)
        self._known = (name, self.email, phone_number(rng), birthday)

    def record(self, updated: int, research: int | None) -> Record:
        """The customer's record as of `updated`, with consent for research since `research`."""
        public, friends = (updated if self.rng.random() < 0.5 else None for _ in "pf")
        return Record(*self._known, self.serial, self.registered, updated, research, public, friends)

    def consenting(self) -> Record:
        """The record of somebody who consents while registering."""
        return self.record(self.registered, self.registered)

    def declining(self) -> Record:
        """The record of somebody who registers without consent."""
        return self.record(self.registered, None)

    def walk(self, *, consent_at: int = 0, phone: bool = True, trainer: bool = True) -> Walk:
        """The session. Consent precedes moment `consent_at`."""
        walk, turn = Walk(self.email, self.serial), pick(self.rng, 0, TURN)
        random, last = self.rng.random, len(self.moments) - 1
        motion, distance = walk.motion, walk.distance
        moved = pairs = 0
        before = NONE
        for index, ms in enumerate(self.moments):
            if index == consent_at:
                before = Tally(moved, len(distance), pairs)
            lot = int(random() * len(LOTS))
            if index == 0 or index == last:
                lot = max(lot, PHONE_SILENT + TRAINER_SILENT)  # now and then one sensor notices nothing, but not here
            times, shape, strays = LOTS[lot]
            if not phone:
                times = 0
            if times:
                motion.append((ms, (turn + 23 * index) % TURN * SHAPES + shape, times))
                moved += times
            if trainer and strays is not None:
                distance.append((ms, NEAREST[(turn + 6 * index) % TURN] + strays))
                pairs += times
        measured = len(distance)
        walk.all = Tally(moved, measured, pairs)
        if consent_at <= last:
            walk.since = Tally(moved - before[0], measured - before[1], pairs - before[2])
        return walk
