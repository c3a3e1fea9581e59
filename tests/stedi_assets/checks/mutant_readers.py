"""What a mistake in the reader would look like: functions that stand in place of `parse.type_records`.

Belongs here: what a feed's own tables notice, in real runs of one of the feeds, which are read alike. Does not belong
here: what they cannot know (`misreadings.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.contracts import CUSTOMER, Feed
from stedi_assets.ingestion import parse
from tests.stedi_assets.checks.accidents import LOST, REPEATED, Function, accident, lose, repeat

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

type_records = parse.type_records


def accept_everything(records: DataFrame, feed: Feed) -> DataFrame:
    nothing = F.lit(None).cast("string")
    return type_records(records, feed).withColumns({"reason": nothing, "text": nothing})


def drop_what_cannot_be_read(records: DataFrame, feed: Feed) -> DataFrame:
    return type_records(records, feed).where("reason is null")


def look_for_other_fields(records: DataFrame, feed: Feed) -> DataFrame:
    columns = tuple(replace(column, feed_names=(f"{column.name}_2",)) for column in feed.landing.columns)
    return type_records(records, replace(feed, landing=replace(feed.landing, columns=columns)))


def forget_the_file(records: DataFrame, feed: Feed) -> DataFrame:
    return type_records(records, feed).withColumn("file", F.lit(None).cast("string"))


@dataclass(frozen=True)
class MutantReader:
    """A rule of reading, the function in place of `parse.type_records`, and the (table, check) pairs that fail."""

    rule: str
    function: Function
    caught_by: frozenset[tuple[str, str]]
    quarantine_limit: str = "1"

    def __str__(self) -> str:
        return self.rule


RECORDS, QUARANTINE = CUSTOMER.records.name, CUSTOMER.quarantine.name


def caught(table: str, *checks: str) -> frozenset[tuple[str, str]]:
    return frozenset((table, check) for check in checks)


FILLED = "required_columns_filled"
BOTH_SUMS = caught(RECORDS, "rows_reconciled") | caught(QUARANTINE, "rows_reconciled")

MUTANT_READERS = (
    MutantReader(
        "quarantine is skipped: what cannot be read is accepted",
        accept_everything,
        caught(RECORDS, "accepted_are_sound", FILLED),
    ),
    MutantReader("what cannot be read is dropped", drop_what_cannot_be_read, BOTH_SUMS),
    MutantReader(
        "no record is understood: the fields are looked for under other names",
        look_for_other_fields,
        caught(RECORDS, "quarantine_within_limit", "kept_its_rows"),
        quarantine_limit="0.5",
    ),
    MutantReader(LOST, accident(type_records, lose), BOTH_SUMS),
    MutantReader(REPEATED, accident(type_records, repeat), BOTH_SUMS),
    MutantReader(
        "the file of a record is lost",
        forget_the_file,
        caught(RECORDS, FILLED) | caught(QUARANTINE, FILLED),
    ),
)
"""A feed's two tables are published together, or not at all."""
