"""That every delivered record was read, or is in quarantine with the reason.

Belongs here: the checks of raw files, of records and of quarantine. Does not belong here: counting
(`ingestion/stats.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from resources.files.manifest import SyncResult
from stedi_assets.contracts import Feed
from stedi_assets.ingestion.stats import MOST_NAMED, IngestStats, count_delivery, named, sentence_of, unknown_fields
from stedi_assets.pipeline.checks import Check, Facts, Numbers, TableCheck, result, warning_check

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


# Records and quarantine ---------------------------------------------------------------------------------------------


def records_reconciled(feed: Feed) -> TableCheck:
    """The check that both tables of a feed have: records found = accepted + quarantined."""

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        stats = IngestStats.of(numbers)
        counts = {"found": stats.found, "accepted": stats.accepted, "quarantined": stats.quarantined}
        balanced = stats.found == stats.accepted + stats.quarantined
        sentence = f"{stats.found:,} records found = {stats.accepted:,} accepted + {stats.quarantined:,} quarantined"
        return result(balanced, f"{sentence}." if balanced else f"{sentence} does not add up: {_LOST}.", counts)

    return _of_delivery(
        feed,
        "rows_reconciled",
        "Records found in the files = records accepted + records quarantined. Nothing that was delivered is lost.",
        evaluate,
    )


_LOST = "records were lost or invented"


def accepted_are_sound(feed: Feed) -> TableCheck:
    """The check that quarantine was skipped for no record that belongs there."""

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        stats = IngestStats.of(numbers)
        sentence = f"{stats.unsound:,} of {stats.accepted:,} accepted records lack a required value, or have one that "
        return result(not stats.unsound, f"{sentence}cannot be true.", {"unsound": stats.unsound})

    return _of_delivery(
        feed,
        "accepted_are_sound",
        "Every accepted record has all required values, and none that cannot be true. One that has not belongs in "
        "quarantine.",
        evaluate,
    )


def quarantine_within_limit(feed: Feed, limit: float) -> TableCheck:
    """The check that few enough records were quarantined; what to do about it where they were not."""

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        stats = IngestStats.of(numbers)
        passed = stats.share <= limit
        sentence = f"{stats.share:.1%} of {stats.found:,} records quarantined; at most {limit:.0%} may be."
        if stats.reasons:
            reasons = (f"{reason} ({records:,})" for reason, records in stats.by_frequency)
            sentence += f" Reasons: {', '.join(reasons)}."
        metadata = {"share": stats.share, "limit": limit, **dict(stats.by_frequency)}
        return result(passed, sentence if passed else sentence + facts.hint(numbers), metadata)

    return _of_delivery(
        feed,
        "quarantine_within_limit",
        "At most the share STEDI_QUARANTINE_LIMIT of the records is quarantined. More means that the feed has changed "
        "its shape: then nothing is published from it.",
        evaluate,
    )


def _of_delivery(
    feed: Feed, name: str, description: str, evaluate: Callable[[Numbers, Facts], dg.AssetCheckResult]
) -> TableCheck:
    return TableCheck(name, description, query=count_delivery(feed), measure=_as_it_is, evaluate=evaluate)


def _as_it_is(frame: DataFrame) -> DataFrame:
    return frame


@warning_check("records were not accepted")
def nothing_quarantined(rows: DataFrame) -> DataFrame:
    """Records that no rule could read are kept here with their text and the reason, until the feed is mended."""
    return rows


# Raw files ----------------------------------------------------------------------------------------------------------

FILES_AS_EXPECTED = Check(
    "files_as_expected",
    "Each file of the feed's folders was read, once, as it is, has records, has not lost most of its bytes, and has no "
    "fields but those that the feed is known to have, as far as a sample of the records shows. What is otherwise is "
    "named.",
    blocking=False,
)


def evaluate_files(synced: SyncResult, feed: Feed, refused: str = "") -> dg.AssetCheckResult:
    """Whether every file was read, once, as it is, is not empty, has not shrunk, and has known fields alone.

    `refused` says why nothing was synced, where that is so.
    """
    unknown = unknown_fields(synced, feed)
    remarks = [
        *([refused.rstrip(".")] if refused else []),
        *([f"fields that the feed has not had so far are ignored: {sentence_of(unknown)}"] if unknown else []),
        *(f"{name} cannot be read ({reason})" for name, reason in sorted(synced.unreadable.items())),
        *(f"{name} is not read ({reason})" for name, reason in sorted(synced.ignored.items())),
        *(f"{file.name} has {file.size:,} bytes, and had {file.most:,}" for file in synced.shrunk),
        *(f"{name} was removed: STEDI_SOURCE names another source now" for name in synced.dropped),
        *(f"{name} has the content of {twin}, counted once" for name, twin in sorted(synced.duplicates.items())),
        *(f"{name} is empty" for name in synced.empty),
        *(
            f"{name} is no UTF-8 text with an object a line, and was read from a rewritten copy"
            for name in synced.rewritten
        ),
    ]
    more = f"; and {len(remarks) - MOST_NAMED} more" if len(remarks) > MOST_NAMED else ""
    sentence = f"{'; '.join(remarks[:MOST_NAMED])}{more}." if remarks else "All files are as expected."
    if synced.taken_back:
        sentence += f" Taken back, and in the tables no more: {named(synced.taken_back)}."
    numbers = {
        "files": len(synced.files),
        "delivered twice": len(synced.duplicates),
        "empty": len(synced.empty),
        "shrunk": len(synced.shrunk),
        "unreadable": len(synced.unreadable),
        "not read": len(synced.ignored),
        "rewritten": len(synced.rewritten),
        "unknown fields": len(unknown),
        "taken back": len(synced.taken_back),
    }
    # Whatever an unreadable file holds is in no table and in no quarantine: that is an error, not a remark.
    return result(not remarks, sentence, numbers, error=bool(synced.unreadable or refused))
