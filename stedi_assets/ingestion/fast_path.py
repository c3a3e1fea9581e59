"""The usual record: spelled just as a feed spells it today.

Belongs here: the one pattern that tells a usual record from all others, and where its values stand. None of them can
be read in two ways, so they are cut out of the text and cast, which any engine does faster than parsing JSON. Nearly
all records are usual, so that is what makes reading fast. Does not belong here: what happens to the others
(`reader.py`); they lose nothing but time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.contracts import Column as ContractColumn
from stedi_assets.contracts import ColumnType

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

# Printable ASCII without escapes, and no blank at either end: nothing to decode, nothing to strip.
_TEXT = r'"[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?"'
_WHOLE_NUMBER = r"-?(?:0|[1-9][0-9]*)"
_NUMBER = rf"{_WHOLE_NUMBER}(?:\.[0-9]+)?"  # JavaScript writes 1 for 1.0
_VALUES: dict[ColumnType, str] = {"string": _TEXT, "bigint": _WHOLE_NUMBER, "double": _NUMBER}


def usual_record(columns: Sequence[ContractColumn]) -> str:
    """A regular expression, anchored, for a record of these columns in their order under their newest names.

    Every column of it has a value; those that are not required may be left out, but for the first.
    """
    first, *rest = (rf'"{column.feed_names[0]}": ?{_VALUES[column.type]}' for column in columns)
    others = (
        rf", ?{field}" if column.required else rf"(?:, ?{field})?"
        for column, field in zip(columns[1:], rest, strict=True)
    )
    return rf"^\{{{first}{''.join(others)}\}}\z"


def usual_value(record: Column, column: ContractColumn) -> Column:
    """The column's value in the text of a usual record, as text; null where it was left out."""
    # No text has a quote in it, so the key stands nowhere but before its value.
    key = f'"{column.feed_names[0]}":'
    after = F.substring_index(record, key, -1)
    if column.type == "string":
        # Cast, because the embedded engine cuts into another kind of text, which PyArrow cannot filter.
        value = F.substring_index(F.substring_index(after, '"', 2), '"', -1).cast("string")
    else:
        value = F.trim(F.substring_index(F.substring_index(after, ",", 1), "}", 1))
    return value if column.required else F.when(F.contains(record, F.lit(key)), value)
