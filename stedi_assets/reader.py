"""Reading raw JSON text as records: each record accepted with the contract's types, or quarantined with a reason.

Belongs here: cutting text into records, typing them, and naming what is wrong with those that cannot be trusted.
Does not belong here: where the files lie (`landing.py`). One bad record never stops or hides a good one, and only
what all engines do alike is used: `from_json` on text, no lookaround in regular expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from resources.lines import LONGEST_LINE
from stedi_assets.contracts import EPOCH_MS_MIN, QUARANTINE_REASON, QUARANTINE_TEXT, Feed
from stedi_assets.contracts import Column as ContractColumn
from stedi_assets.schemas import feed_ddl

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

NOT_JSON = "the text is no JSON object"
NOT_UTF8 = "the text is not UTF-8"

_BOUNDARY = r"\}[\s,]*\{"  # where one object ends and the next begins
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_FLAT = rf'\{{[^{{}}"]*(?:{_STRING}[^{{}}"]*)*\}}'
_NESTED = rf'\{{[^{{}}"]*(?:(?:{_STRING}|{_FLAT})[^{{}}"]*)*\}}'
_OBJECT = rf'\{{[^{{}}"]*(?:(?:{_STRING}|{_NESTED})[^{{}}"]*)*\}}'
# A number that an engine's JSON parser would round, or refuse as too large, and where such a one may be.
_NUMBER = r'([^\\]"\s*:\s*)(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(\s*[,}])'
_LONG_NUMBER = r"[\d.]{17}|\d[eE][+-]?\d"
_BLANKS = " \t\r\n\u00a0\u2007\u202f\u200b\ufeff"
_SEPARATORS = r"^[\s,\[\]\x{FEFF}]+|[\s,\[\]\x{FEFF}]+$"


def read_text(spark: SparkSession, files: Sequence[str]) -> DataFrame:
    """The files' lines. Columns: value."""
    # Plain and compressed files are read apart: the embedded engine takes one kind at a time.
    kinds = [[file for file in files if file.endswith(".gz") is zipped] for zipped in (False, True)]
    frames = [spark.read.text(kind) for kind in kinds if kind]
    if not frames:
        return spark.createDataFrame([], "value string")
    return frames[0] if len(frames) == 1 else frames[0].unionByName(frames[1])


def cut_records(lines: DataFrame) -> DataFrame:
    """The text of each record. Columns: value.

    A line may hold one object, several, a part of an array around objects, or rubbish. Every text that is more
    than blanks, commas and brackets becomes a record, so that nothing is lost. Longer lines than LONGEST_LINE were
    cut into objects when they landed: one that is left is one object, or rubbish.
    """
    value = F.regexp_replace("value", r"^[\s\x{FEFF}]+|\s+$", "")
    lines = lines.select(value.alias("value")).where("value <> ''")
    one_object = F.col("value").startswith("{") & F.col("value").endswith("}") & ~F.col("value").rlike(_BOUNDARY)
    objects = F.regexp_extract_all("value", F.lit(_OBJECT), F.lit(0))
    between = F.regexp_replace(F.regexp_replace("value", _OBJECT, " "), _SEPARATORS, "")
    # Quotes between objects are those of an object that is broken: what was found inside of it is no record.
    whole = one_object | (F.length("value") > LONGEST_LINE) | F.contains(between, F.lit('"'))
    pieces = F.when(whole, F.array("value")).otherwise(F.concat(objects, F.array(between)))
    return lines.select(F.explode(pieces).alias("value")).where("value <> ''")


def type_records(records: DataFrame, feed: Feed, run: str) -> DataFrame:
    """Each record's text as a row of `feed.records`: typed, or with the reason why not and the text itself."""
    columns = feed.landing.columns
    text = F.col("value")
    for column in columns:
        for older in column.feed_names[1:]:
            text = F.replace(text, F.lit(f'"{older}"'), F.lit(f'"{column.feed_names[0]}"'))
    parsed = records.select("value", F.from_json(_numbers_as_text(text), feed_ddl(feed)).alias("parsed"))
    raw = parsed.select("value", *(_stripped(f"parsed.{c.feed_names[0]}").alias(c.name) for c in columns))
    numbers = raw.select(
        "value",
        *(c.name for c in columns),
        *(F.col(c.name).try_cast("double").alias(_number(c)) for c in columns if c.type != "string"),
    )
    judged = numbers.withColumn(QUARANTINE_REASON.name, _reason(columns))
    accepted = F.col(QUARANTINE_REASON.name).isNull()
    return judged.select(
        *(F.when(accepted, _typed(c)).alias(c.name) for c in columns),
        QUARANTINE_REASON.name,
        F.when(~accepted, F.col("value")).alias(QUARANTINE_TEXT.name),
        F.when(~accepted, F.lit(run)).alias("run"),
    )


def _numbers_as_text(text: Column) -> Column:
    """The record with its numbers in quotes, where they are long: casting text to a number is exact, JSON is not."""
    return F.when(text.rlike(_LONG_NUMBER), F.regexp_replace(text, _NUMBER, '$1"$2"$3')).otherwise(text)


def _stripped(path: str) -> Column:
    """The text without the blanks around it, of whatever kind; null where nothing is left."""
    text = F.trim(F.col(path), F.lit(_BLANKS))
    return F.when(text != "", text)


def _number(column: ContractColumn) -> str:
    return f"{column.name}_as_number"


def _typed(column: ContractColumn) -> Column:
    return F.col(column.name) if column.type == "string" else F.col(_number(column)).cast(column.type)


def _reason(columns: Sequence[ContractColumn]) -> Column:
    """The first thing that is wrong with a record, or null. It never quotes the record."""
    nothing_read = F.lit(True)
    for column in columns:
        nothing_read = nothing_read & F.col(column.name).isNull()
    is_object = F.from_json("value", "map<string,string>").isNotNull()
    reasons = [
        F.when(nothing_read & ~F.coalesce(is_object, F.lit(False)), NOT_JSON),
        F.when(F.contains(F.col("value"), F.lit("\ufffd")), NOT_UTF8),
        *(F.when(F.col(c.name).isNull(), f"{c.feed_names[0]} is missing") for c in columns if c.required),
        *(_wrong_value(column) for column in columns),
    ]
    return F.coalesce(*reasons)


def _wrong_value(column: ContractColumn) -> Column:
    present, name = F.col(column.name).isNotNull(), column.feed_names[0]
    if column.type == "string":
        # Engines give a nested value as its text; the record tells it from a text that begins with a bracket.
        nested = F.col(column.name).rlike(r"^[{\[]") & F.col("value").rlike(rf'"{name}"\s*:\s*[{{\[]')
        return F.when(present & nested, f"{name} is not text")
    number = F.col(_number(column))
    wrong = F.when(present & number.isNull(), f"{name} is not a number")
    wrong = wrong.when(F.isnan(number) | (F.abs(number) > 1e300), f"{name} is not a finite number")
    if column.type == "bigint":
        wrong = wrong.when(number != F.floor(number), f"{name} is not a whole number")
    unit = ": epoch milliseconds expected" if column.maximum and column.maximum > EPOCH_MS_MIN else ""
    low = F.lit(False) if column.minimum is None else number < column.minimum
    high = F.lit(False) if column.maximum is None else number >= column.maximum
    too_small = F.lit(False) if column.minimum is not None else (number > 0) & (number < EPOCH_MS_MIN)
    return wrong.when(low | high | too_small, f"{name} is out of range{unit}")
