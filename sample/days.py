"""The days after the sample: what arrives on each of them, by its number; the same bytes for the same number.

Belongs here: who has readings, who is new and who withdraws on a day, and its files. Does not belong here: the sample
itself (`feeds.py`), which stays as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

from sample.delivery import FIRST_FILE, spell
from sample.households import Household, households
from sample.people import DAY, FIRST_SESSION, HOUR, Person, Record, Walk, moments_from, pick
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, FEEDS, Feed

FIRST_DAY = FIRST_SESSION + 12 * DAY
"""Day 1: the sample's own sessions are over by then."""
WALKERS = 12
"""So many earlier customers have a session on each day."""


@dataclass(frozen=True)
class Day:
    """What one day brings: the records of who is new and who withdraws, the sessions, and a file's second name."""

    number: int
    records: Sequence[Record]
    walks: Sequence[Walk]
    again: str

    @property
    def explained(self) -> str:
        """The delivery in a sentence."""
        readings = sum(len(walk.distance) for walk in self.walks)
        return (
            f"Day {self.number} after the sample: {len(self.walks)} customers step ({readings:,} distance readings), "
            f"one of them is new; another one withdraws; a file of the phones arrives again as {self.again}."
        )


def days_delivered(folder: Path) -> int:
    """How many days after the sample the folder has."""
    return next(number for number in count() if not _file(folder, CUSTOMER, number + 1).exists())


def deliver_day(folder: Path, number: int, customers: int, seed: int) -> Day:
    """Put the files of that day beside those of the sample of so many customers and that seed."""
    day = _day(number, customers, seed)
    household = Household([*day.records], [*day.walks])
    before = _file(folder, ACCELEROMETER, number - 1)
    shutil.copyfile(before, before.with_name(day.again))
    for feed in reversed(FEEDS):  # the customers last: their file says that the day is there
        path = _file(folder, feed, number)
        hidden = path.with_name(f".{path.name}")  # from whoever looks meanwhile
        hidden.write_bytes("".join(f"{line}\n" for line in spell(feed, household)).encode())
        hidden.rename(path)
    return day


def _file(folder: Path, feed: Feed, number: int) -> Path:
    """The feed's file of a day; of day 0, the sample's oldest one."""
    return folder / feed.name / "landing" / f"{feed.name}-{FIRST_FILE + number * DAY}.json"


def _day(number: int, customers: int, seed: int) -> Day:
    known = [household.records[0] for _, household in households(customers, seed) if _consents_and_steps(household)]
    known += [_newcomer(earlier, customers, seed)[0] for earlier in range(1, number)]
    # One withdraws each day, in the order in which they came. As many come, so there always is one.
    withdraws, stay = known[number - 1], known[number : number + WALKERS - 1]
    new, first_walk = _newcomer(number, customers, seed)
    rng = Random(f"day {number} of sample {seed}")
    start = FIRST_DAY + (number - 1) * DAY
    return Day(
        number,
        [new, withdraws._replace(updated=start, research=None)],
        [first_walk, *(_session(rng, record, start) for record in stay)],
        f"{ACCELEROMETER.name}-{FIRST_FILE + number * DAY + HOUR}.json",
    )


def _consents_and_steps(household: Household) -> bool:
    return len(household.records) == 1 and any(shared.pairs for shared in household.shares_all)


def _newcomer(number: int, customers: int, seed: int) -> tuple[Record, Walk]:
    """Who registers on that day, consents, and steps at once."""
    rng = Random(f"newcomer {number} of sample {seed}")
    person = Person(rng, customers + number, _moments(rng, FIRST_DAY + (number - 1) * DAY))
    person.registered = person.moments[0] - HOUR
    return person.consenting(), person.walk()


def _session(rng: Random, record: Record, day: int) -> Walk:
    person = Person(rng, 0, _moments(rng, day))
    person.email, person.serial = record.email, record.serial
    return person.walk()


def _moments(rng: Random, day: int) -> list[int]:
    return moments_from(rng, day + pick(rng, 6 * HOUR, 20 * HOUR))
