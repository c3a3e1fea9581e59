"""What a delivery held: the records that were found, accepted, and not accepted, and fields that are new.

Belongs here: counting and telling them. Does not belong here: whether that is good enough (`checks/ingestion.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from resources.files.manifest import A_NAME, SyncResult
from resources.lazy import LazyModule
from stedi_assets.contracts import REASON, Feed
from stedi_assets.pipeline.checks import Numbers, Query, each_column

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

_REASON = "reason: "
MOST_NAMED = 10


@dataclass(frozen=True)
class IngestStats:
    """The records of all landed files: found in the text, accepted, and not accepted by reason.

    `unsound` are accepted records that the contract does not allow: there must be none.
    `first` and `last` are when the earliest and the latest reading were taken (epoch ms), where the feed says so.
    """

    found: int
    accepted: int
    reasons: dict[str, int]
    first: int | None = None
    last: int | None = None
    unsound: int = 0

    @classmethod
    def of(cls, numbers: Numbers) -> IngestStats:
        """From what `count_delivery` measured."""
        counts = {name: int(value) for name, value in numbers.items()}
        reasons = {name.removeprefix(_REASON): records for name, records in counts.items() if name.startswith(_REASON)}
        first, last = counts.get("first") or None, counts.get("last") or None
        return cls(counts["found"], counts["accepted"], reasons, first, last, counts["unsound"])

    @property
    def quarantined(self) -> int:
        """Records that were not accepted."""
        return sum(self.reasons.values())

    @property
    def share(self) -> float:
        """The share of the records that was quarantined."""
        return self.quarantined / self.found if self.found else 0.0

    @property
    def by_frequency(self) -> list[tuple[str, int]]:
        """The reasons, the most frequent ones first; in the order of the alphabet where engines differ in theirs."""
        return sorted(self.reasons.items(), key=lambda one: (-one[1], one[0]))


@cache  # one query for all checks that ask for it
def count_delivery(feed: Feed) -> Query:
    """The query that counts a delivery of the feed as (measure, value) rows; `text` is counted apart from the rest."""

    def query(records: DataFrame, quarantine: DataFrame, text: DataFrame) -> DataFrame:
        taken = F.col(feed.landing.taken) if feed.landing.taken else F.lit(None).cast("bigint")
        numbers = {
            "accepted": F.count("*"),
            "unsound": F.count(F.when(_unsound(feed), 1)),
            "first": F.min(taken),
            "last": F.max(taken),
        }
        accepted = records.agg(*(number.alias(name) for name, number in numbers.items()))
        found = text.agg(F.lit("found").alias("measure"), F.count("*").cast("double").alias("value"))
        reasons = quarantine.groupBy(REASON.name).agg(F.count("*").alias("value"))
        named = reasons.select(F.concat(F.lit(_REASON), REASON.name).alias("measure"), F.col("value").cast("double"))
        return each_column(accepted, list(numbers)).unionAll(found).unionAll(named)

    return query


def _unsound(feed: Feed) -> Column:
    """Whether a record lacks a required value, or has one that cannot be true: the contract read a second time."""
    wrong = F.lit(False)
    for column in feed.landing.columns:
        value = F.col(column.name)
        if column.required:
            wrong |= value.isNull()
        if column.minimum is not None:
            wrong |= F.coalesce(value < column.minimum, F.lit(False))
        if column.maximum is not None:
            wrong |= F.coalesce(value >= column.maximum, F.lit(False))
    return wrong


def unknown_fields(synced: SyncResult, feed: Feed) -> dict[str, int]:
    """The fields that the feed is not known to have, and in how many files a sample of the records showed each."""
    known = {name.lower() for column in feed.landing.columns for name in column.feed_names}
    return {name: files for name, files in sorted(synced.fields.items()) if name.lower() not in known}


def sentence_of(fields: Mapping[str, int]) -> str:
    """The fields as a sentence has them. What is no name, as where a record's keys are addresses, is only counted."""
    names = [f"{name} (files: {files:,})" for name, files in fields.items() if A_NAME.fullmatch(name)]
    return _first(names, len(fields))


def refused(unreadable: Mapping[str, str]) -> str:
    """The files that could not be read, and why; of many, the first."""
    return _first([f"{name} ({reason})" for name, reason in sorted(unreadable.items())], len(unreadable))


def named(files: Sequence[str]) -> str:
    """The files; of many, the first."""
    return _first(sorted(files), len(files))


def _first(named: Sequence[str], of: int) -> str:
    """As many of them as one reads, and how many there are beside."""
    shown = named[:MOST_NAMED]
    return ", ".join([*shown, *([f"and {of - len(shown):,} more"] if of > len(shown) else [])])
