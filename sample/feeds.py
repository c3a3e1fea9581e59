"""Synthetic feeds of any size, with or without defects, the same bytes for the same seed.

Belongs here: when a sample is written, and the row counts to expect of every table.
Does not belong here: who the customers are (`households.py`), how they become files (`delivery.py`), the command line
(`__main__.py`), or anything that reads the feeds. No engine either: only the standard library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from sample.days import Day, days_delivered, deliver_day
from sample.delivery import FeedFiles
from sample.households import households
from sample.people import Tally
from stedi_assets.contracts import (
    ACCELEROMETER_TRUSTED,
    CUSTOMER_TRUSTED,
    CUSTOMERS_CURATED,
    FEEDS,
    MACHINE_LEARNING_CURATED,
    STEP_TRAINER_TRUSTED,
)

GENERATION = 4
"""Raise it whenever the same seed gives other bytes: samples of an older generation are then made anew."""
CUSTOMERS = 200
SEED = 20220615
MARKER = ".stedi-sample"
"""The file that says which sample a folder holds. It is written last: a folder without it is not complete."""

Progress = Callable[[int], None]
"""Hears the number of customers written so far."""


@dataclass(frozen=True)
class Expected:
    """How many rows every table must have, by table name, under either consent rule."""

    customer: dict[str, int]
    as_of_date: dict[str, int]

    def rows(self, consent: str) -> dict[str, int]:
        """The counts under the consent rule of that name: `customer` or `as-of-date`."""
        return {"customer": self.customer, "as-of-date": self.as_of_date}[consent]


@dataclass
class SharedRows:
    """The rows that consenting customers have in the trusted and curated tables."""

    customers: int = 0
    accelerometer: int = 0
    curated: int = 0
    distance: int = 0
    pairs: int = 0

    def add(self, tallies: Sequence[Tally]) -> None:
        """Add those of customers with these tallies."""
        for accelerometer, distance, pairs in tallies:
            self.customers += 1
            self.accelerometer += accelerometer
            self.curated += accelerometer > 0
            self.distance += distance
            self.pairs += pairs

    def by_table(self) -> dict[str, int]:
        """The counts by the tables' names."""
        return {
            CUSTOMER_TRUSTED.name: self.customers,
            ACCELEROMETER_TRUSTED.name: self.accelerometer,
            CUSTOMERS_CURATED.name: self.curated,
            STEP_TRAINER_TRUSTED.name: self.distance,
            MACHINE_LEARNING_CURATED.name: self.pairs,
        }


def write_feeds(
    folder: Path,
    customers: int = CUSTOMERS,
    seed: int = SEED,
    progress: Progress | None = None,
    *,
    clean: bool = False,
) -> Expected:
    """Write the three feeds into a new or empty folder, as a stream, and say what to expect of them.

    `clean`: every record is on a line of its own, whole, and spelled as its feed spells it today.
    """
    if customers < 1:
        raise ValueError("a sample needs at least one customer")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    by_customer, by_date = SharedRows(), SharedRows()
    with ExitStack() as files:
        writers = [files.enter_context(closing(FeedFiles(folder, feed, customers, clean=clean))) for feed in FEEDS]
        before = 0
        for number, household in households(customers, seed):
            for writer in writers:
                writer.write(household, range(before + 1, number + 1))
            by_customer.add(household.shares_all)
            by_date.add(household.shares_since)
            before = number
            if progress:
                progress(number)
    (folder / MARKER).write_text(_marker(customers, seed, clean), encoding="utf-8")
    accepted = {writer.feed.records.name: writer.accepted for writer in writers}
    damaged = {writer.feed.quarantine.name: writer.damaged for writer in writers}
    return Expected(*(accepted | damaged | shared.by_table() for shared in (by_customer, by_date)))


def ensure_feeds(folder: Path, customers: int = CUSTOMERS, seed: int = SEED, progress: Progress | None = None) -> None:
    """Have exactly this sample in the folder, and the days after it that were delivered there: nothing to do, or
    `replace_feeds`.
    """
    if not _holds(folder, _marker(customers, seed)):
        replace_feeds(folder, customers, seed, progress, days=days_delivered(folder))


def deliver_next_day(folder: Path, customers: int = CUSTOMERS, seed: int = SEED) -> Day:
    """Add one more day to the sample in the folder, which is generated first where it is not there."""
    ensure_feeds(folder, customers, seed)
    return deliver_day(folder, days_delivered(folder) + 1, customers, seed)


def replace_feeds(
    folder: Path, customers: int, seed: int, progress: Progress | None = None, *, clean: bool = False, days: int = 0
) -> Expected:
    """Write a sample in place of any other, with so many days after it, and say what to expect of it without them.

    The folder is complete or not there, whatever happens meanwhile. A folder that holds other things raises.
    """
    folder = folder.resolve()
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as workshop:
        made, old = Path(workshop, "made"), Path(workshop, "old")
        expected = write_feeds(made, customers, seed, progress, clean=clean)
        for number in range(1, days + 1):
            deliver_day(made, number, customers, seed)
        try:
            if folder.exists():
                folder.rename(old)
            made.rename(folder)
        except OSError:
            # Two processes at once make the same bytes: whoever comes second has nothing left to do.
            if not _holds(folder, _marker(customers, seed, clean)):
                raise
    return expected


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, name a folder for the feeds")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names and not {MARKER} <= names <= {MARKER, *(feed.name for feed in FEEDS)}:
        raise FileExistsError(f"{folder} holds other things than a whole sample, name a new or empty folder")


def _marker(customers: int, seed: int, clean: bool = False) -> str:
    return f"STEDI sample: generation {GENERATION}, {customers} customers, seed {seed}{', clean' * clean}\n"


def _holds(folder: Path, marker: str) -> bool:
    written = folder / MARKER
    return written.is_file() and written.read_text(encoding="utf-8") == marker
