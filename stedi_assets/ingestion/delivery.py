"""What a delivery of a feed held, and whether it can be used.

Belongs here: counting what was found, accepted and quarantined, and judging it. Does not belong here: bringing
files or reading records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from resources.files.manifest import SyncResult
from resources.lazy import LazyModule
from stedi_assets.contracts import QUARANTINE_REASON, QUARANTINE_TEXT, Feed
from stedi_assets.pipeline.checks import Check, Verdict

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

MOST_NAMED = 10
_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


@dataclass(frozen=True)
class Delivery:
    """The records of all landed files: found in the text, accepted, and not accepted by reason.

    `unsound` are accepted records that the contract does not allow: there must be none.
    `first` and `last` are when the earliest and the latest reading were taken (epoch ms), where the feed says so.
    """

    found: int
    accepted: int
    reasons: dict[str, int] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    unsound: int = 0

    @property
    def quarantined(self) -> int:
        """Records that were not accepted."""
        return sum(self.reasons.values())

    @property
    def by_frequency(self) -> list[tuple[str, int]]:
        """The reasons, the most frequent ones first; in the order of the alphabet where engines differ in theirs."""
        return sorted(self.reasons.items(), key=lambda one: (-one[1], one[0]))

    def dump(self) -> str:
        """As a commit records it."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Delivery:
        """From what a commit recorded."""
        return cls(**json.loads(text))


def count(feed: Feed, records: DataFrame, found: int) -> Delivery:
    """Count the typed records; `found` was counted in the raw text, apart from them."""
    taken = F.col(feed.landing.taken) if feed.landing.taken else F.lit(None).cast("bigint")
    rows = (
        records.groupBy(QUARANTINE_REASON.name)
        .agg(
            F.count("*").alias("records"),
            F.min(taken).alias("first"),
            F.max(taken).alias("last"),
            F.count(F.when(_unsound(feed), 1)).alias("unsound"),
        )
        .collect()
    )
    accepted = next((row for row in rows if row[QUARANTINE_REASON.name] is None), None)
    return Delivery(
        found,
        accepted=accepted["records"] if accepted else 0,
        reasons={row[QUARANTINE_REASON.name]: row["records"] for row in rows if row is not accepted},
        first=accepted["first"] if accepted else None,
        last=accepted["last"] if accepted else None,
        unsound=accepted["unsound"] if accepted else 0,
    )


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


RECORDS_BALANCE = Check(
    "records_balance",
    "Records found in the files = records accepted + records quarantined. Nothing that was delivered is lost.",
)
ACCEPTED_ARE_SOUND = Check(
    "accepted_are_sound",
    "Every accepted record has all required values, and none that cannot be true. One that has not belongs in "
    "quarantine.",
)
QUARANTINE_WITHIN_LIMIT = Check(
    "quarantine_within_limit",
    "At most the share STEDI_QUARANTINE_LIMIT of the records is quarantined. More means that the feed has changed "
    "its shape: then nothing is published from it.",
)
FILES_AS_EXPECTED = Check(
    "files_as_expected",
    "Each file was delivered once, has records, could be read as it is, and has no fields but those that the feed is "
    "known to have, as far as a sample of the records shows. Files that were not, and such fields, are named.",
    blocking=False,
)
CHECKS = (RECORDS_BALANCE, ACCEPTED_ARE_SOUND, QUARANTINE_WITHIN_LIMIT, FILES_AS_EXPECTED)


def judge_balance(delivery: Delivery) -> Verdict:
    """Whether every record found is accepted or quarantined."""
    numbers = {"found": delivery.found, "accepted": delivery.accepted, "quarantined": delivery.quarantined}
    balanced = delivery.found == delivery.accepted + delivery.quarantined
    sentence = f"{delivery.found:,} records found = {delivery.accepted:,} accepted + {delivery.quarantined:,} "
    sentence += "quarantined." if balanced else "quarantined does not add up: records were lost or invented."
    return Verdict(balanced, True, sentence, numbers)


def judge_accepted(delivery: Delivery) -> Verdict:
    """Whether quarantine was skipped for no record that belongs there."""
    sentence = (
        f"{delivery.unsound:,} of {delivery.accepted:,} accepted records lack a required value, or have one that "
    )
    sentence += "cannot be true."
    return Verdict(not delivery.unsound, True, sentence, {"unsound": delivery.unsound})


def share(delivery: Delivery) -> float:
    """The share of the records that was quarantined."""
    return delivery.quarantined / delivery.found if delivery.found else 0.0


def example(delivery: Delivery, records: DataFrame) -> tuple[str, str] | None:
    """The most frequent reason for which records were quarantined, and the text of one of them."""
    if not delivery.reasons:
        return None
    reason, _ = delivery.by_frequency[0]
    row = records.where(F.col(QUARANTINE_REASON.name) == reason).select(QUARANTINE_TEXT.name).first()
    return (reason, row[0]) if row else None


def judge_limit(delivery: Delivery, limit: float, hint: str = "") -> Verdict:
    """Whether few enough records were quarantined; `hint` helps where they were not."""
    reasons = delivery.by_frequency
    quarantined = share(delivery)
    sentence = f"{quarantined:.1%} of {delivery.found:,} records quarantined; at most {limit:.0%} may be."
    if reasons:
        sentence += " Reasons: " + ", ".join(f"{reason} ({records:,})" for reason, records in reasons) + "."
    return Verdict(quarantined <= limit, True, sentence + hint, {"share": quarantined, "limit": limit, **dict(reasons)})


def unknown_fields(landing: SyncResult, feed: Feed) -> dict[str, int]:
    """The fields that the feed is not known to have, and in how many files a sample of the records showed each."""
    known = {name for column in feed.landing.columns for name in column.feed_names}
    return {name: files for name, files in sorted(landing.fields.items()) if name not in known}


def told(fields: Mapping[str, int]) -> str:
    """The fields as a sentence has them. What is no name, as where a record's keys are addresses, is only counted."""
    names = [f"{name} (files: {files:,})" for name, files in fields.items() if _A_NAME.fullmatch(name)]
    return _first(names, len(fields))


def refused(unreadable: Mapping[str, str]) -> str:
    """The files that could not be read, and why; of many, the first."""
    return _first([f"{name} ({reason})" for name, reason in sorted(unreadable.items())], len(unreadable))


def _first(named: Sequence[str], of: int) -> str:
    """As many of them as one reads, and how many there are beside."""
    shown = named[:MOST_NAMED]
    return ", ".join([*shown, *([f"and {of - len(shown):,} more"] if of > len(shown) else [])])


def judge_files(landing: SyncResult, feed: Feed) -> Verdict:
    """Whether every file was delivered once, is not empty, could be read as it is, and has known fields alone."""
    unknown = unknown_fields(landing, feed)
    remarks = [
        *([f"fields that the feed has not had so far are ignored: {told(unknown)}"] if unknown else []),
        *(f"{name} cannot be read ({reason})" for name, reason in sorted(landing.unreadable.items())),
        *(f"{name} was removed: STEDI_SOURCE names another source now" for name in landing.dropped),
        *(f"{name} has the content of {twin}, counted once" for name, twin in sorted(landing.duplicates.items())),
        *(f"{name} is empty" for name in landing.empty),
        *(
            f"{name} is no UTF-8 text with an object a line, and was read from a rewritten copy"
            for name in landing.rewritten
        ),
    ]
    sentence = "; ".join(remarks[:10]) + (f"; and {len(remarks) - 10} more" if len(remarks) > 10 else "") + "."
    numbers = {
        "files": len(landing.files),
        "delivered twice": len(landing.duplicates),
        "empty": len(landing.empty),
        "unreadable": len(landing.unreadable),
        "rewritten": len(landing.rewritten),
        "unknown fields": len(unknown),
    }
    # Whatever an unreadable file holds is in no table and in no quarantine: that is an error, not a remark.
    severe = bool(landing.unreadable)
    return Verdict(not remarks, severe, sentence if remarks else "All files are as expected.", numbers)
