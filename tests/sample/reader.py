"""The generated JSON as a plain reader of its own sees it, which never asks the generator."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from stedi_assets.contracts import FEEDS, Column, Feed
from tests.oracle import Record, consented, latest_records, person

Row = dict[str, Any]
Key = TypeVar("Key")
Value = TypeVar("Value")
NEVER = sys.maxsize


def accept(text: str, feed: Feed) -> Row:
    """The record in the text, by column name; ValueError names everything that is wrong with it."""
    given, row = json.loads(text), Row()
    wrong = []
    for column in feed.landing.columns:
        value = next((given[name] for name in column.feed_names if given.get(name) is not None), None)
        try:
            row[column.name] = value if value is None or column.type == "string" else number(value, column)
        except ValueError as error:
            wrong.append(f"{error}: {column.name}")
        if value is None and column.required:
            wrong.append(f"missing: {column.name}")
    if wrong:
        raise ValueError(*wrong)
    return row


def number(value: Any, column: Column) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError("text") from None
    if not math.isfinite(number):
        raise ValueError("not finite")
    low, high = column.minimum, column.maximum
    if (low is not None and number < low) or (high is not None and number >= high):
        raise ValueError("out of range")
    return int(number) if column.type == "bigint" else number


@dataclass
class Customer:
    """A customer's record that counts, all of them as they came, and their readings, by when they were taken."""

    record: Record
    history: list[Row]
    motion: list[int]
    distance: list[int]
    fellows: list[Customer] = field(default_factory=list)

    @property
    def consents(self) -> bool:
        return consented(self.record)

    @property
    def since(self) -> int:
        return int(self.record["sharewithresearchasofdate"]) if self.consents else NEVER

    @property
    def changes(self) -> list[Row]:
        """The records of different moments, oldest first."""
        records = {record["lastupdatedate"]: record for record in self.history}
        return [records[moment] for moment in sorted(records)]


def grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    groups: dict[Key, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


class Feeds:
    """The three feeds of a folder: accepted records by column name, and what had to be rejected and why."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rejected: dict[str, list[tuple[str, ...]]] = {feed.name: [] for feed in FEEDS}
        self.customer, self.accelerometer, self.step_trainer = (list(self._read(feed)) for feed in FEEDS)
        self.motion = grouped((reading["user"], reading["timestamp"]) for reading in self.accelerometer)
        self.steps = grouped((reading["serialnumber"], reading["sensorreadingtime"]) for reading in self.step_trainer)
        history = grouped((person(record["email"]), record) for record in self.customer)
        self.customers = {
            who: Customer(record, history[who], self.motion.get(who, []), self.steps.get(record["serialnumber"], []))
            for who, record in latest_records(self.customer).items()
        }
        holders = grouped((who.record["serialnumber"], who) for who in self.customers.values())
        for who in self.customers.values():
            who.fellows = holders[who.record["serialnumber"]]

    def files(self, feed: Feed) -> list[Path]:
        return sorted((self.folder / feed.name / "landing").iterdir())

    def lines(self, feed: Feed) -> list[str]:
        return [line for file in self.files(feed) for line in file.read_text(encoding="utf-8").splitlines()]

    def _read(self, feed: Feed) -> Iterator[Row]:
        for line in self.lines(feed):
            for text in re.findall(r"\{[^{}]*\}", line) or [line]:
                try:
                    yield accept(text, feed)
                except json.JSONDecodeError:
                    self.rejected[feed.name].append(("truncated" if text.startswith("{") else "garbage",))
                except ValueError as error:
                    self.rejected[feed.name].append(error.args)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its name from there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
