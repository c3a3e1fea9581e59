"""The generated JSON as a plain reader of its own sees it, which never asks the generator."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stedi_assets.contracts import FEEDS, Column, Feed
from tests.oracle import consented, latest_records, person

Row = dict[str, Any]
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

    record: Row
    history: list[Row] = field(default_factory=list)
    motion: list[int] = field(default_factory=list)
    distance: list[int] = field(default_factory=list)
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


class Feeds:
    """The three feeds of a folder: accepted records by column name, and what had to be rejected and why."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rejected: dict[str, list[tuple[str, ...]]] = {feed.name: [] for feed in FEEDS}
        self.customer, self.accelerometer, self.step_trainer = (list(self._read(feed)) for feed in FEEDS)
        self.customers = {who: Customer(dict(record)) for who, record in latest_records(self.customer).items()}
        self.motion: dict[str, list[int]] = defaultdict(list)
        self.steps: dict[str, list[int]] = defaultdict(list)
        for reading in self.accelerometer:
            self.motion[reading["user"]].append(reading["timestamp"])
        for reading in self.step_trainer:
            self.steps[reading["serialnumber"]].append(reading["sensorreadingtime"])
        holders: dict[str, list[Customer]] = defaultdict(list)
        for who, customer in self.customers.items():
            customer.motion = self.motion.get(who, [])
            customer.distance = self.steps.get(customer.record["serialnumber"], [])
            customer.fellows = holders[customer.record["serialnumber"]]
            customer.fellows.append(customer)
        for record in self.customer:
            self.customers[person(record["email"])].history.append(record)

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
