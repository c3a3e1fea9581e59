"""What a mistake in the reader would look like: functions that stand in place of `reader.type_records`.

Belongs here: the functions. What notices each is listed in `mutations.py`, or in `misreadings.py` where the landing
table cannot know.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.contracts import Feed
from stedi_assets.ingestion import parse as reader
from tests.stedi_assets.accidents import Happens, with_one

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

type_records = reader.type_records


def accept_everything(records: DataFrame, feed: Feed, run: str) -> DataFrame:
    nothing = F.lit(None).cast("string")
    typed = type_records(records, feed, run)
    return typed.withColumns(dict.fromkeys(("quarantine_reason", "quarantine_text", "run"), nothing))


def drop_what_cannot_be_read(records: DataFrame, feed: Feed, run: str) -> DataFrame:
    return type_records(records, feed, run).where("quarantine_reason is null")


def read_with(happens: Happens, records: DataFrame, feed: Feed, run: str) -> DataFrame:
    return with_one(type_records(records, feed, run), happens, seed=feed.name)


def look_for_other_fields(records: DataFrame, feed: Feed, run: str) -> DataFrame:
    columns = tuple(replace(column, feed_names=(f"{column.name}_2",)) for column in feed.landing.columns)
    return type_records(records, replace(feed, landing=replace(feed.landing, columns=columns)), run)
