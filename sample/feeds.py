"""Synthetic feeds of any size, defects included, the same bytes for the same seed. Try `--help`.

Belongs here: how the customers of `sample_kinds.py` become files: spelling, layout, what goes wrong in
a delivery, the row counts to expect of every table, and the command line.
Does not belong here: who the customers are and what they share, or anything that reads the feeds. No engine
either: only the standard library, and `rich` for the progress bar of the command line.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sample.households import Household, households, shared_rows
from sample.people import Record
from stedi_assets.contracts import (
    ACCELEROMETER,
    CUSTOMER,
    CUSTOMER_COLUMNS,
    EPOCH_MS_MAX,
    FEEDS,
    STEP_TRAINER,
    TABLES,
    TIMESTAMP,
    Feed,
)

GENERATION = 1
"""Raise it whenever the same seed gives other bytes: samples of an older generation are then made anew."""
CUSTOMERS = 200
SEED = 20220615
FIRST_FILE = 1_691_348_231_425  # the epoch milliseconds in the name of each feed's oldest file
RECORDS_PER_FILE = 10_000
RECORDS_IN_OLDEST_FILE = 2_000
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


def write_feeds(
    folder: Path, customers: int = CUSTOMERS, seed: int = SEED, progress: Progress | None = None
) -> Expected:
    """Write the three feeds into a new or empty folder, and say what to expect of them."""
    if customers < 1:
        raise ValueError("a sample needs at least one customer")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    by_customer, by_date = Counter[str](), Counter[str]()
    with ExitStack() as files:
        writers = [files.enter_context(closing(_FeedFiles(folder, feed))) for feed in FEEDS]
        before = 0
        for number, household in households(customers, seed):
            for writer in writers:
                writer.write(_lines(writer.feed, household, number), range(before + 1, number + 1))
            by_customer.update(shared_rows(household.shares_all))
            by_date.update(shared_rows(household.shares_since))
            before = number
            if progress:
                progress(number)
    for writer in writers:
        by_customer.update(writer.counts)
        by_date.update(writer.counts)
    (folder / MARKER).write_text(_marker(customers, seed), encoding="utf-8")
    return Expected(
        *({table: counts[table] for table in TABLES if table in counts} for counts in (by_customer, by_date))
    )


def ensure_feeds(folder: Path, customers: int = CUSTOMERS, seed: int = SEED, progress: Progress | None = None) -> None:
    """Have exactly this sample in the folder: nothing to do, or write it, in place of any other sample.

    The folder is complete or not there, whatever happens meanwhile. A folder that holds other things raises.
    """
    if not _holds(folder, customers, seed):
        _replace(folder, customers, seed, progress)


def _replace(folder: Path, customers: int, seed: int, progress: Progress | None) -> Expected:
    folder = folder.resolve()
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as workshop:
        made, old = Path(workshop, "made"), Path(workshop, "old")
        expected = write_feeds(made, customers, seed, progress)
        try:
            if folder.exists():
                folder.rename(old)
            made.rename(folder)
        except OSError:
            # Two processes at once make the same bytes: whoever comes second has nothing left to do.
            if not _holds(folder, customers, seed):
                raise
    return expected


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, name a folder for the feeds")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names and not {MARKER} <= names <= {MARKER, *(feed.name for feed in FEEDS)}:
        raise FileExistsError(f"{folder} holds other things than a whole sample, name a new or empty folder")


def _marker(customers: int, seed: int) -> str:
    return f"STEDI sample: generation {GENERATION}, {customers} customers, seed {seed}\n"


def _holds(folder: Path, customers: int, seed: int) -> bool:
    marker = folder / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8") == _marker(customers, seed)


# --- How a feed spells its records: the website with blanks, the sensors without.


def _template(feed: Feed) -> str:
    return "{" + ",".join(f'"{column.feed_names[0]}":%s' for column in feed.landing.columns) + "}"


MOTION, DISTANCE = _template(ACCELEROMETER), _template(STEP_TRAINER)


def _lines(feed: Feed, household: Household, number: int) -> list[str]:
    lines: list[str] = []
    if feed is CUSTOMER:
        return [_customer(record, explicit_null=number % 9 == 4) for record in household.records]
    for walk in household.walks:
        if feed is ACCELEROMETER:
            user = f'"{walk.email}"'
            lines += [MOTION % (user, ms, x / 1000, y / 1000, z / 1000) for ms, x, y, z in walk.motion]
        else:
            serial = f'"{walk.serial}"'
            lines += [DISTANCE % (ms, serial, centimetres) for ms, centimetres in walk.distance]
    return lines


def _customer(record: Record, explicit_null: bool) -> str:
    # Without consent the key is absent, as in the real feed; now and then it is there and null.
    named = zip(CUSTOMER_COLUMNS, record, strict=True)
    spelled = {column.feed_names[0]: value for column, value in named if explicit_null or value is not None}
    return json.dumps(spelled, ensure_ascii=False)


# --- What goes wrong in a delivery.


def _oddly(lines: Sequence[str], number: int) -> list[str]:
    """The same records, some of them spelled in a way that a reader must put up with."""
    odd = list(lines)
    if odd and number % 31 == 7:
        odd[0] = re.sub(r"\b(\d{13})\b", r'"\1"', odd[0], count=1)
    if odd and number % 37 == 11:
        odd[-1] = re.sub(r"\b(\d{13})\b", r"\1.0", odd[-1], count=1)
    if len(odd) > 1 and number % 9 == 4:
        odd[:2] = [odd[0] + odd[1]]
    return odd


def _is_damaged(feed: Feed, number: int) -> bool:
    """Whether customer `number` comes with a damaged record: rarely enough for any quarantine limit."""
    if feed is CUSTOMER:
        return number % (66 if number <= 200 else 200) == 0
    return number % (33 if feed is ACCELEROMETER else 40) == 0


def _damaged(feed: Feed, line: str, turn: int) -> str:
    """The line with exactly one defect, another one each turn."""
    required = [column for column in feed.landing.columns if column.required]
    epoch = next(column.feed_names[0] for column in required if column.maximum == EPOCH_MS_MAX)
    first, last = required[0].feed_names[0], required[-1].feed_names[0]
    damages = [
        line[: len(line) * 2 // 3],
        re.sub(rf'("{epoch}": ?\d{{10}})\d{{3}}', r"\1", line),
        re.sub(rf'"{first}": ?[^,]+, ?', "", line),
        re.sub(rf'("{last}": ?)[^,}}]+', r'\1"unknown"', line),
        "-- connection reset by peer --",
    ]
    if feed is ACCELEROMETER:
        damages[:0] = [re.sub(rf'("{last}":)[^,}}]+', rf"\g<1>{number}", line) for number in ("NaN", "1e999")]
    return damages[turn % len(damages)]


class _FeedFiles:
    """The files of one feed, filled one after the other.

    A household's records are never split between two files: equal readings are true ones only inside one.
    """

    def __init__(self, folder: Path, feed: Feed) -> None:
        self.feed = feed
        self.counts = Counter({feed.records.name: 0, feed.quarantine.name: 0})
        self._folder = folder / feed.name / "landing"
        self._folder.mkdir(parents=True)
        self._names = (f"{feed.name}-{FIRST_FILE + 51 * index}.json" for index in range(10**9))
        self._file: TextIO | None = None
        self._room = 0
        self._oldest = False
        self._good_line = ""

    def write(self, lines: Sequence[str], customers: range) -> None:
        """Write the records of a household with these customers, and the damaged ones that come with them."""
        delivered = _oddly(lines, customers[-1])
        self._good_line = lines[-1] if lines else self._good_line
        damaged = [number for number in customers if _is_damaged(self.feed, number)]
        for _ in damaged:
            delivered.append(_damaged(self.feed, self._good_line, self.counts[self.feed.quarantine.name]))
            self.counts[self.feed.quarantine.name] += 1
        self.counts[self.feed.records.name] += len(lines)
        if delivered:
            self._deliver(delivered, len(lines) + len(damaged))

    def _deliver(self, lines: Sequence[str], records: int) -> None:
        if self._file is None or records > self._room:
            self._oldest = self._file is None
            self.close()
            self._file = (self._folder / next(self._names)).open("w", encoding="utf-8", newline="")
            self._room = RECORDS_IN_OLDEST_FILE if self._oldest else RECORDS_PER_FILE
        self._room -= records
        end = "\r\n" if self._oldest and self.feed is STEP_TRAINER else "\n"
        text = end.join(lines) + end
        if self._oldest and self.feed is ACCELEROMETER:
            today, once = TIMESTAMP.feed_names
            text = text.replace(f'"{today}"', f'"{once}"')
        self._file.write(text)

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self._file is not None:
            self._file.close()


# --- The command line.


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of customers, give at least 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m sample.feeds", description="Write synthetic feeds.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="new, empty, or an earlier sample")
    parser.add_argument("--customers", metavar="N", type=_positive, default=CUSTOMERS, help="default: %(default)s")
    parser.add_argument("--seed", metavar="S", type=int, default=SEED, help="default: %(default)s")
    parser.add_argument("--expected", action="store_true", help="print how many rows every table must have")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the feeds that the command line asks for, with a progress bar, and print what was written."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Customers", total=asked.customers)
            expected = _replace(
                asked.folder, asked.customers, asked.seed, lambda done: bar.update(task, completed=done)
            )
    except OSError as error:
        parser.error(f"cannot write {asked.folder}: {error.strerror}" if error.strerror else str(error))
    print(f"{asked.folder}: {asked.customers:,} customers, seed {asked.seed}")
    for feed in FEEDS:
        accepted, damaged = (expected.customer[table.name] for table in (feed.records, feed.quarantine))
        print(f"  {feed.name:<13} {accepted:>13,} records, {damaged:>7,} malformed ones")
    if asked.expected:
        print(f"\n{'expected rows':<24} {'customer':>13} {'as-of-date':>13}")
        for table, rows in expected.customer.items():
            print(f"{table:<24} {rows:>13,} {expected.as_of_date[table]:>13,}")


if __name__ == "__main__":
    main()
