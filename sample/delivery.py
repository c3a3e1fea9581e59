"""How the customers of `households.py` become files: spelling, layout, and what goes wrong in a delivery.

Belongs here: the text of each feed's records, its files, and the defects and oddities that some of them have.
Does not belong here: who the customers are and what they share, or when a sample is made (`feeds.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from json import JSONEncoder
from pathlib import Path
from typing import TextIO

from sample.households import Household
from sample.people import Record, Walk, strides
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, CUSTOMER_COLUMNS, EPOCH_MS_MAX, STEP_TRAINER, Feed

FIRST_FILE = 1_691_348_231_425  # the epoch milliseconds in the name of each feed's oldest file
RECORDS_PER_FILE = 10_000
RECORDS_IN_OLDEST_FILE = 2_000
BUFFER = 2**18  # bytes: with the usual 8 KiB, writing takes a third of the time that a sample takes
REFERENCE_CUSTOMERS = 956
"""As many as the reference data has. A sample of so many times as many has files of so many times as many records."""
LARGEST_FILES = 40  # times as many, however large the sample: some 40 MB


# --- How a feed spells its records: the website with blanks, the sensors without.

_as_json = JSONEncoder(ensure_ascii=False).encode
_CUSTOMER_FIELDS = [column.feed_names[0] for column in CUSTOMER_COLUMNS]
_USER, _TAKEN, *_AXES = (column.feed_names for column in ACCELEROMETER.landing.columns)
_MEASURED, _SERIAL, _DISTANCE = (column.feed_names[0] for column in STEP_TRAINER.landing.columns)


@cache
def _spelled_strides() -> list[list[str]]:
    x, y, z = (names[0] for names in _AXES)
    return [
        [f'"{x}":{sway / 1000},"{y}":{bounce / 1000},"{z}":{swing / 1000}}}' for sway, bounce, swing in readings]
        for readings in strides()
    ]


def _customers(records: Sequence[Record], explicit_null: bool) -> list[str]:
    # Without consent the key is absent, as in the real feed; now and then it is there and null.
    named = (zip(_CUSTOMER_FIELDS, record, strict=True) for record in records)
    return [_as_json({name: value for name, value in one if explicit_null or value is not None}) for one in named]


def _motion(walks: Sequence[Walk], taken: str) -> list[str]:
    lines: list[str] = []
    spelled = _spelled_strides()
    for walk in walks:
        user = f'{{"{_USER[0]}":"{walk.email}","{taken}":'
        for ms, stride, times in walk.motion:
            start = f"{user}{ms},"
            for axes in spelled[stride][:times]:
                lines.append(start + axes)
    return lines


def _distances(walks: Sequence[Walk]) -> list[str]:
    lines: list[str] = []
    for walk in walks:
        device = f',"{_SERIAL}":"{walk.serial}","{_DISTANCE}":'
        lines += [f'{{"{_MEASURED}":{ms}{device}{centimetres}}}' for ms, centimetres in walk.distance]
    return lines


def spell(feed: Feed, household: Household, *, explicit_null: bool = False) -> list[str]:
    """The household's records of one feed, a line each."""
    if feed is CUSTOMER:
        return _customers(household.records, explicit_null)
    return _motion(household.walks, _TAKEN[0]) if feed is ACCELEROMETER else _distances(household.walks)


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
    if feed is CUSTOMER:
        # Nobody's: a customer of whom a record cannot be read is in doubt, and would share nothing, and so is whoever
        # has the serial number in it.
        line = re.sub(r'("email": ?)"[^"]*"', r'\1"nobody@example.com"', line)
        line = re.sub(r'("serialNumber": ?)"[^"]*"', r'\1"nobodys"', line)
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


class FeedFiles:
    """The files of one feed, filled one after the other.

    A household's records are never split between two files: equal readings are true ones only inside one.
    """

    def __init__(self, folder: Path, feed: Feed, customers: int, *, clean: bool) -> None:
        """Write into that folder what so many customers deliver; `clean`: without any defect or oddity."""
        self.feed = feed
        self.accepted = self.damaged = 0
        self._clean = clean
        self._folder = folder / feed.name / "landing"
        self._folder.mkdir(parents=True)
        self._names = (f"{feed.name}-{FIRST_FILE + 51 * index}.json" for index in range(10**9))
        self._records_per_file = RECORDS_PER_FILE * min(max(customers // REFERENCE_CUSTOMERS, 1), LARGEST_FILES)
        self._file: TextIO | None = None
        self._room = 0
        self._end = "\n"
        self._oldest = False
        self._good_line = ""

    def write(self, household: Household, customers: range) -> None:
        """Write the records of a household with these customers, and the damaged ones that come with them."""
        last = customers[-1]
        lines = spell(self.feed, household, explicit_null=last % 9 == 4 and not self._clean)
        self.accepted += len(lines)
        records = len(lines)
        if not self._clean:
            self._good_line = lines[-1] if lines else self._good_line
            lines = _oddly(lines, last)
            for number in customers:
                if _is_damaged(self.feed, number):
                    lines.append(_damaged(self.feed, self._good_line, self.damaged))
                    self.damaged += 1
                    records += 1
        if lines:
            self._deliver(lines, records)

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self._file is not None:
            self._file.close()

    def _deliver(self, lines: Sequence[str], records: int) -> None:
        if self._file is None or records > self._room:
            self._oldest = self._file is None
            self.close()
            self._file = (self._folder / next(self._names)).open("w", BUFFER, encoding="utf-8", newline="")
            self._room = RECORDS_IN_OLDEST_FILE if self._oldest else self._records_per_file
            self._end = "\r\n" if self._oldest and self.feed is STEP_TRAINER and not self._clean else "\n"
        self._room -= records
        text = self._end.join(lines) + self._end
        if self._oldest and self.feed is ACCELEROMETER and not self._clean:
            today, once = _TAKEN
            text = text.replace(f'"{today}"', f'"{once}"')
        self._file.write(text)
