"""What a delivery of a feed held, and whether it can be used.

Belongs here: counting what was found, accepted and quarantined, and judging it. Does not belong here: bringing
files or reading records.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from resources.landing_zone import Landing
from resources.lazy import LazyModule
from stedi_assets.auditing import Check, Verdict
from stedi_assets.contracts import QUARANTINE_REASON, Feed

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")


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
    "Each file was delivered once, has records, and could be read as it is. Files that were not are named.",
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


def judge_limit(delivery: Delivery, limit: float) -> Verdict:
    """Whether few enough records were quarantined."""
    share = delivery.quarantined / delivery.found if delivery.found else 0.0
    reasons = sorted(delivery.reasons.items(), key=lambda pair: -pair[1])
    sentence = f"{share:.1%} of {delivery.found:,} records quarantined; at most {limit:.0%} may be."
    if reasons:
        sentence += " Reasons: " + ", ".join(f"{reason} ({records:,})" for reason, records in reasons) + "."
    return Verdict(share <= limit, True, sentence, {"share": share, "limit": limit, **dict(reasons)})


def judge_files(landing: Landing) -> Verdict:
    """Whether every file was delivered once, is not empty, and could be read as it is."""
    remarks = [
        *(f"{name} cannot be read ({reason})" for name, reason in sorted(landing.unreadable.items())),
        *(f"{name} was removed: STEDI_SOURCE names another source now" for name in landing.left_out),
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
    }
    # Whatever an unreadable file holds is in no table and in no quarantine: that is an error, not a remark.
    severe = bool(landing.unreadable)
    return Verdict(not remarks, severe, sentence if remarks else "All files are as expected.", numbers)
