"""One invented person: who they are, and how they step with a phone in the pocket before a Step Trainer.

Belongs here: names and numbers, the moments of a session, and what both sensors read then.
Does not belong here: which kinds of customers there are and what they share (`sample_kinds.py`), or how a
feed spells all that and what goes wrong on the way (`sample.py`).
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

HOUR = 3_600_000
DAY = 24 * HOUR
FIRST_SESSION = 1_655_251_200_000  # 2022-06-15, UTC

FIRST_NAMES = ("Ada", "Bruno", "Chloë", "Dev", "Edda", "Farid", "Greta", "Hugo", "Ines", "Yuki")
LAST_NAMES = ("Abel", "Dahl", "Ekström", "Fabre", "Haddad", "Ito", "Keller", "Mbeki", "Núñez", "Okoro")
ODD_YEARS = (993, 1399, 1111, 1754)

SINE = [round(1000 * math.sin(2 * math.pi * step / 64)) for step in range(64)]
"""One turn in 64 steps, in thousandths: whole numbers, so that no machine's rounding shows in the files."""

PHONE_SILENT, TRAINER_SILENT = 0.05, 0.03  # the share of moments that only the other sensor noticed


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

    `motion` holds (ms, x, y, z) in thousandths of g, `distance` holds (ms, cm).
    """

    email: str
    serial: str
    motion: list[tuple[int, int, int, int]] = field(default_factory=list)
    distance: list[tuple[int, int]] = field(default_factory=list)
    all: Tally = NONE
    since: Tally = NONE


def pick(rng: Random, start: int, stop: int) -> int:
    """A whole number from start up to, but not including, stop.

    Python promises the same sequence on every version for `Random.random` alone: nothing else is ever called.
    """
    return start + int(rng.random() * (stop - start))


def moments_from(rng: Random, start: int) -> list[int]:
    """When the readings of a session that begins at `start` are taken: irregular, some seconds apart."""
    moments = [start]
    for _ in range(pick(rng, 27, 34)):
        moments.append(moments[-1] + pick(rng, 1500, 6500))
    return moments


def phone_number(rng: Random) -> str:
    """A number that nobody has: 555-01xx is kept for fiction."""
    return f"{pick(rng, 201, 990)}55501{pick(rng, 0, 100):02}"


def serial_number(rng: Random) -> str:
    """The serial number of a Step Trainer: the shape of a random UUID."""
    digits = "".join(f"{pick(rng, 0, 2**32):08x}" for _ in range(4))
    variant = "89ab"[pick(rng, 0, 4)]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Person:
    """Somebody with a name, a Step Trainer, and the moments of one session some days after registration."""

    def __init__(self, rng: Random, number: int, moments: list[int] | None = None) -> None:
        """Invent somebody; `moments` are those of a session that is not their own choice."""
        first, last = (names[pick(rng, 0, len(names))] for names in (FIRST_NAMES, LAST_NAMES))
        plain = unicodedata.normalize("NFKD", f"{first}.{last}.{number}").encode("ascii", "ignore").decode()
        year = ODD_YEARS[number % len(ODD_YEARS)] if number % 17 == 3 else pick(rng, 1935, 2005)
        birthday = f"{year:04}-{pick(rng, 1, 13):02}-{pick(rng, 1, 29):02}"
        self.rng = rng
        self.moments = moments or moments_from(rng, FIRST_SESSION + pick(rng, 0, 10 * DAY))
        self.registered = self.moments[0] - pick(rng, 10 * DAY, 30 * DAY)
        self.email = f"{plain.lower()}@example.com"
        self.serial = serial_number(rng)
        self._known = (f"{first} {last}", self.email, phone_number(rng), birthday)

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

    def walk(self, *, consent_at: int = 0, phone: bool = True, trainer: bool = True, twice: int | None = None) -> Walk:
        """The session. Consent precedes moment `consent_at`; moment `twice` is read twice."""
        rng, walk, turn = self.rng, Walk(self.email, self.serial), pick(self.rng, 0, 64)
        for index, ms in enumerate(self.moments):
            # Now and then one sensor notices nothing, but never at these moments.
            lot = 1.0 if index in (0, twice, len(self.moments) - 1) else rng.random()
            moved = phone and lot >= PHONE_SILENT
            measured = trainer and not PHONE_SILENT <= lot < PHONE_SILENT + TRAINER_SILENT
            motion = _motion(rng, ms, turn + 23 * index) if moved else []
            distance = [(ms, _distance(rng, turn + 6 * index))] if measured else []
            if index == twice:
                motion, distance = [*motion, motion[0]], distance * 2
            walk.motion += motion
            walk.distance += distance
            read = Tally(len(motion), len(distance), len(motion) * len(distance))
            walk.all = walk.all.plus(read)
            if index >= consent_at:
                walk.since = walk.since.plus(read)
        return walk


def _motion(rng: Random, ms: int, turn: int) -> list[tuple[int, int, int, int]]:
    """One to four readings (2.8 on average) that the phone stamped with the same millisecond."""
    lot = rng.random()
    readings = []
    for each in range(1 + (lot >= 0.1) + (lot >= 0.3) + (lot >= 0.8)):
        phase = turn + 5 * each
        sway = 140 * SINE[phase // 2 % 64] // 1000 + pick(rng, -60, 61)
        bounce = 980 + 330 * SINE[phase % 64] // 1000 + pick(rng, -40, 41)
        swing = 210 * SINE[(phase + 20) % 64] // 1000 + pick(rng, -50, 51)
        # The two lowest bits tell the readings of a moment apart, so that none are equal by accident.
        readings.append((ms, sway & ~3 | each, bounce, swing))
    return readings


def _distance(rng: Random, turn: int) -> int:
    """Centimetres to the sensor of somebody who steps towards it and away again."""
    return 250 + 45 * SINE[turn % 64] // 1000 + pick(rng, -5, 6)
