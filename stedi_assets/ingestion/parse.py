"""Raw JSON text as records: each record accepted with the contract's types, or not, with the reason.

Belongs here: cutting text into records, typing them, and naming what is wrong with those that cannot be trusted.
Does not belong here: where the files lie (`resources/files/landing_zone.py`). One bad record never stops or hides a
good one.

Only what all engines do alike is used, and where their parsers differ by nature (trailing text, odd numbers, depth),
the strictest one's answer is made everybody's. In regular expressions that means no lookaround, ASCII in place of
`\\s` and `\\d`, and `\\z` for the end.

Nearly all records are spelled just as a feed spells them today, and can be read in one way only: one anchored pattern
tells them, and on this fast path their values are cut out of the text and cast, which any engine does faster than
parsing JSON. Other records lose nothing but time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resources.files.ndjson import LONGEST_LINE
from resources.lazy import LazyModule
from stedi_assets.contracts import EPOCH_MS_MIN, FILE, REASON, TEXT, ColumnType, Feed
from stedi_assets.contracts import Column as ContractColumn

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F

    from resources.engines.engine import SparkEngine
    from resources.files.copies import TextFile
else:
    F = LazyModule("pyspark.sql.functions")

NOT_JSON = "the text is no JSON object"
NOT_UTF8 = "the text is not UTF-8"
TOO_DEEP = "the text is nested too deeply"
DEEPEST = 64  # levels of a record; the shallowest engine reads 128

_SPACE = r"[ \t\r\n\f\x0B]"
_BOUNDARY = r"\}[ \t\r\n\f\x0B,]*\{"  # where one object ends and the next begins
_STRING = r'"[^"\\]*(?:\\(?s:.)[^"\\]*)*"'
_FLAT = rf'\{{[^{{}}"]*(?:{_STRING}[^{{}}"]*)*\}}'
_NESTED = rf'\{{[^{{}}"]*(?:(?:{_STRING}|{_FLAT})[^{{}}"]*)*\}}'
_OBJECT = rf'\{{[^{{}}"]*(?:(?:{_STRING}|{_NESTED})[^{{}}"]*)*\}}'
_AROUND = " \t\r\n\f\x0b\ufeff"
_SEPARATORS = r"^[ \t\r\n\f\x0B,\[\]\x{FEFF}]+|[ \t\r\n\f\x0B,\[\]\x{FEFF}]+\z"

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_ANY_NUMBER = rf"^(?:{_NUMBER}|[+-]?(?:[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?))\z"
_NUMBER_VALUE = rf'([^\\]"{_SPACE}*:{_SPACE}*)(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)({_SPACE}*[,}}])'
_SURROGATES = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Half a character, or one whose four digits are none: Apache Spark takes some letters of other scripts for digits.
_BAD_ESCAPE = r"\\u(?:[dD][89a-fA-F]|[0-9a-fA-F]{0,3}[^0-9a-fA-F])"
_BLANKS = " \t\r\n\u00a0\u2007\u202f\u200b\ufeff"

# On the fast path: printable ASCII without escapes, and no blank at either end: nothing to decode, nothing to strip.
_PLAIN_TEXT = r'"[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?"'
_PLAIN_WHOLE = r"-?(?:0|[1-9][0-9]*)"
_PLAIN: dict[ColumnType, str] = {
    "string": _PLAIN_TEXT,
    "bigint": _PLAIN_WHOLE,
    "double": rf"{_PLAIN_WHOLE}(?:\.[0-9]+)?",  # JavaScript writes 1 for 1.0
}

# A last field is added to each record, and must be found: some parsers stop where the first object ends, and take
# what follows for nothing. Some give what they could read of a broken record, and say so in another field.
_END, _BROKEN = "end of the record", "text of a broken record"
_OUR_KEYS = "|".join(  # however a record spells them
    "".join(rf"(?:{letter}|(?i:\\u00{ord(letter):x}))" for letter in key) for key in (_END, _BROKEN)
)
_STRICT = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false", "columnNameOfCorruptRecord": _BROKEN}


def parse(text: DataFrame, feed: Feed) -> DataFrame:
    """Each record of the text as a row of `feed.records`, with a reason and its own text where it was not accepted.

    Columns: those of `feed.records`, reason (null: accepted), text.
    """
    return type_records(cut_records(text), feed)


def read_text(spark: SparkEngine, files: Sequence[TextFile]) -> DataFrame:
    """The files' lines. Columns: file, value."""
    session = spark.spark_session  # started before any expression is made: those are its own
    named = {one.path: one.file for one in files if one.file is not None}
    frames = []
    if copies := [one.path for one in files if one.file is None]:
        # Each line begins with the name of its file.
        parts = F.split("value", "\t", 2)
        lines = session.read.text(copies, lineSep="\n")
        frames.append(lines.select(parts[0].alias("file"), parts[1].alias("value")))
    if named:
        path, name = next(iter(named.items()))
        frames.append(spark.read_text(path.removesuffix(f"/{name}"), list(named.values())))
    if not frames:
        return session.createDataFrame([], "file string, value string")
    # Brought together before anything is computed: parsed one by one, 300 files took the embedded engine ten times as
    # long.
    return frames[0] if len(frames) == 1 else frames[0].unionAll(frames[1])


def cut_records(lines: DataFrame) -> DataFrame:
    """The text of each record. Columns: file, value.

    A line may hold one object, several, a part of an array around objects, or rubbish. Every text that is more
    than blanks, commas and brackets becomes a record, so that nothing is lost. Longer lines than LONGEST_LINE were
    cut into objects when they landed: one that is left is one object, or rubbish.
    """
    value = F.col("value")
    framed = value.startswith("{") & value.endswith("}")
    lines = lines.select("file", F.when(framed, value).otherwise(F.trim("value", F.lit(_AROUND))).alias("value"))
    lines = lines.where("value <> ''")
    # Most lines are one flat object, and a look at the first brace that closes is all that they need.
    flat = value.startswith("{") & (F.instr(value, "}") == F.length(value))
    one_object = F.when(flat, F.lit(True)).otherwise(framed & ~value.rlike(_BOUNDARY))
    objects = F.regexp_extract_all("value", F.lit(_OBJECT), F.lit(0))
    between = F.regexp_replace(F.regexp_replace("value", _OBJECT, " "), _SEPARATORS, "")
    # Quotes between objects are those of an object that is broken: what was found inside of it is no record.
    whole = one_object | (F.length("value") > LONGEST_LINE) | F.contains(between, F.lit('"'))
    pieces = F.when(whole, F.array("value")).otherwise(F.concat(objects, F.array(between)))
    return lines.select("file", F.explode(pieces).alias("value")).where("value <> ''")


def type_records(records: DataFrame, feed: Feed) -> DataFrame:
    """Each record's text, typed, or with the reason why not. Columns: see `parse`."""
    columns = feed.landing.columns
    numbers = [column for column in columns if column.type != "string"]
    texts = _fields(records, feed).select("*", *(_as_text(column).alias(column.name) for column in columns))
    typed = texts.select("*", *(_as_number(column).alias(_number(column)) for column in numbers))
    looked_at = typed.withColumn(REASON.name, _reason(columns))
    accepted = F.col(REASON.name).isNull()
    return looked_at.select(
        *(F.when(accepted, _typed(c)).alias(c.name) for c in columns),
        FILE.name,
        REASON.name,
        F.when(~accepted, F.col("value")).alias(TEXT.name),
    )


def _fields(records: DataFrame, feed: Feed) -> DataFrame:
    """Columns: file, value, newest (under the newest names), fast, record (another's fields, as text), unreadable."""
    newest = F.col("value")
    for older, name in _renamed(feed):
        newest = F.replace(newest, F.lit(f'"{older}":'), F.lit(f'"{name}":'))
    texts = records.select("*", newest.alias("newest"))
    texts = texts.select("*", F.col("newest").rlike(fast_record(feed.landing.columns)).alias("fast"))
    texts = texts.select("*", F.when(~F.col("fast"), _respelled(feed)).alias("respelled"))
    read = texts.select("*", _read_closely(feed).alias("record"))
    return read.select("*", F.when(~F.col("fast"), _unreadable()).alias("unreadable"))


def fast_record(columns: Sequence[ContractColumn]) -> str:
    """A regular expression, anchored, for a record of these columns in their order under their newest names.

    Every column of it has a value; those that are not required may be absent, but for the first.
    """
    first, *rest = (rf'"{column.feed_names[0]}": ?{_PLAIN[column.type]}' for column in columns)
    others = (
        rf", ?{field}" if column.required else rf"(?:, ?{field})?"
        for column, field in zip(columns[1:], rest, strict=True)
    )
    return rf"^\{{{first}{''.join(others)}\}}\z"


def _fast_value(column: ContractColumn) -> Column:
    """The column's value in the text of a record on the fast path, as text; null where it is absent."""
    # No text has a quote in it, so the key stands nowhere but before its value.
    key = f'"{column.feed_names[0]}":'
    after = F.substring_index("newest", key, -1)
    if column.type == "string":
        # Cast, because the embedded engine cuts into another kind of text, which PyArrow cannot filter.
        value = F.substring_index(F.substring_index(after, '"', 2), '"', -1).cast("string")
    else:
        value = F.trim(F.substring_index(F.substring_index(after, ",", 1), "}", 1))
    return value if column.required else F.when(F.contains("newest", F.lit(key)), value)


def _renamed(feed: Feed) -> list[tuple[str, str]]:
    """Fields' older names, each with the newest."""
    return [(older, column.feed_names[0]) for column in feed.landing.columns for older in column.feed_names[1:]]


def _read_closely(feed: Feed) -> Column:
    """The fields of a record off the fast path, all as text; null for one on it."""
    text = F.col("respelled")
    # Casting text to a number is exact, an engine's JSON parser is not.
    exact = F.regexp_replace(text, _NUMBER_VALUE, '$1"$2"$3')
    # Also of an empty text, which is no record: engines may look at one before they drop it.
    opened = F.substring(exact, F.lit(1), F.greatest(F.length(exact) - 1, F.lit(0)))
    comma = F.when(text.rlike(r"^\{[ \t\r\n]*\}\z"), "").otherwise(",")
    record = F.from_json(
        F.concat(opened, comma, F.lit(f'"{_END}":"{_END}"}}')),
        ", ".join(f"`{name}` STRING" for name in (*(c.feed_names[0] for c in feed.landing.columns), _END, _BROKEN)),
        _STRICT,
    )
    return F.when(~F.col("fast"), record)


def _respelled(feed: Feed) -> Column:
    """The text with its fields under their newest names, however they are spelled."""
    text = others = F.col("newest")
    for column in feed.landing.columns:
        newest = column.feed_names[0]
        others = F.replace(others, F.lit(f'"{newest}":'), F.lit(""))
        text = F.regexp_replace(text, rf'"{_in_any_case(column)}"({_SPACE}*:)', f'"{newest}"$1')
    # Looked for at first: hardly any record needs it, and to replace each name took half as long as all else.
    any_other = others.rlike(rf'"(?:{"|".join(map(_in_any_case, feed.landing.columns))})"{_SPACE}*:')
    return F.when(any_other, text).otherwise(F.col("newest"))


def _in_any_case(column: ContractColumn) -> str:
    """A field's names in any letter case, as external tables read them. Of ASCII: engines differ in other letters."""
    return f"(?i-u:{'|'.join(column.feed_names)})"


def _unreadable() -> Column:
    """Why a text is no record at all, or null."""
    value = F.col("value")
    bad_escape = F.regexp_replace(value, _SURROGATES, "").rlike(_BAD_ESCAPE)
    framed = value.startswith("{") & value.endswith("}") & ~value.rlike(rf'"(?:{_OUR_KEYS})"{_SPACE}*:')
    complete = framed & F.col(f"record.`{_END}`").isNotNull() & F.col(f"record.`{_BROKEN}`").isNull()
    return (
        F.when(_too_deep(), TOO_DEEP)
        .when(bad_escape | ~complete, NOT_JSON)
        .when(F.contains(value, F.lit("\ufffd")), NOT_UTF8)
    )


def _too_deep() -> Column:
    """Whether brackets are still there when those that enclose nothing were removed, level by level."""
    # Without strings, so that a bracket in one does not count.
    strings = F.regexp_replace(F.regexp_replace("value", r"\\(?s:.)", ""), '"[^"]*"', "")
    # All of one kind, so that each pass removes one level.
    brackets = F.translate(F.regexp_replace(strings, r"[^\[\]{}]", ""), "{}", "[]")
    left = F.aggregate(
        F.sequence(F.lit(1), F.lit(DEEPEST)),
        brackets,
        lambda text, _: F.replace(text, F.lit("[]"), F.lit("")),
    )
    return F.when(F.length(brackets) > 2 * DEEPEST, left != "").otherwise(F.lit(False))


def _as_text(column: ContractColumn) -> Column:
    """The field's text without the blanks around it, of whatever kind; null where nothing is left."""
    text = F.trim(F.col(f"record.{column.feed_names[0]}"), F.lit(_BLANKS))
    read = F.when(text != "", text)
    return F.when(F.col("fast"), _fast_value(column)).otherwise(read)


def _number(column: ContractColumn) -> str:
    return f"{column.name}_as_number"


def _as_number(column: ContractColumn) -> Column:
    # Java takes 1d and 0x1p3 for numbers. A record on the fast path has none, and need not be searched.
    is_one = F.col("fast") | F.col(column.name).rlike(_ANY_NUMBER)
    return F.when(is_one, F.col(column.name).try_cast("double"))


def _typed(column: ContractColumn) -> Column:
    return F.col(column.name) if column.type == "string" else F.col(_number(column)).cast(column.type)


def _reason(columns: Sequence[ContractColumn]) -> Column:
    """The first thing that is wrong with a record, or null. It never quotes the record."""
    missing = (F.when(F.col(c.name).isNull(), f"{c.feed_names[0]} is missing") for c in columns if c.required)
    return F.coalesce(F.col("unreadable"), *missing, *map(_wrong_value, columns))


def _wrong_value(column: ContractColumn) -> Column:
    name = column.feed_names[0]
    if column.type == "string":
        # Engines give a nested value, or a fraction, as a text of their own spelling; the record tells whether it
        # was one, unless it spells its keys in escapes.
        maybe = F.col(column.name).rlike(r"^(?:[{\[]|-?[0-9]+[.eE])")
        is_one = F.contains(F.col("value"), F.lit("\\u")) | F.col("value").rlike(
            rf'"{_in_any_case(column)}"{_SPACE}*:{_SPACE}*(?:[{{\[]|-?[0-9]+[.eE])'
        )
        return F.when(~F.col("fast"), F.when(maybe & is_one, f"{name} is not text"))
    number = F.col(_number(column))
    wrong = F.when(F.col(column.name).isNotNull() & number.isNull(), f"{name} is not a number")
    wrong = wrong.when(F.isnan(number) | (F.abs(number) > 1e300), f"{name} is not a finite number")
    if column.type == "bigint":
        wrong = wrong.when(number != F.floor(number), f"{name} is not a whole number")
    unit = ": epoch milliseconds expected" if column.is_moment else ""
    low = F.lit(False) if column.minimum is None else number < column.minimum
    high = F.lit(False) if column.maximum is None else number >= column.maximum
    too_small = F.lit(False) if column.minimum is not None else (number > 0) & (number < EPOCH_MS_MIN)
    return wrong.when(low | high | too_small, f"{name} is out of range{unit}")
