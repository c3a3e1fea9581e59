"""The usual record: spelled just as a feed spells it today.

Belongs here: the one pattern that tells a usual record from all others. Its values can be typed by any engine's own
JSON parser, because none of them can be read in two ways. Nearly all records are usual, so that is what makes reading
fast. Does not belong here: what happens to the others (`reader.py`); they lose nothing but time.
"""

from __future__ import annotations

from collections.abc import Sequence

from stedi_assets.contracts import Column, ColumnType

# Printable ASCII without escapes, and no blank at either end: nothing to decode, nothing to strip.
_TEXT = r'"[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?"'
# Up to 15 digits, which a double holds exactly. A fraction is then divided by a power of ten, which rounds once, as
# reading it should; that the engines' parsers do so is tested.
_WHOLE_NUMBER = r"(?:0|-?[1-9][0-9]{0,14})"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,5})\.[0-9]{1,8}"
_VALUES: dict[ColumnType, str] = {"string": _TEXT, "bigint": _WHOLE_NUMBER, "double": _NUMBER}


def usual_record(columns: Sequence[Column]) -> str:
    """A regular expression, anchored, for a record of these columns in their order under their newest names.

    Every column of it has a value; those that are not required may be left out, but for the first.
    """
    first, *rest = (rf'"{column.feed_names[0]}": ?{_VALUES[column.type]}' for column in columns)
    others = (
        rf", ?{field}" if column.required else rf"(?:, ?{field})?"
        for column, field in zip(columns[1:], rest, strict=True)
    )
    return rf"^\{{{first}{''.join(others)}\}}\z"
