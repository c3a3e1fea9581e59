"""A table of texts as a picture.

Belongs here: fonts, colours and pixels. Does not belong here: what is pictured (`evidence.py`). A plotting library
would take longer to import and draw than all tables together take to compute.
"""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONT = Path(__file__).parent / "fonts" / "DejaVuSansCondensed.ttf"
TEXT, FAINT, QUERY, STRIPE = "#222222", "#777777", "#1f4e79", "#f2f5f8"
LINE, MARGIN, GAP, SIZE, SMALL = 20, 20, 16, 15, 12  # pixels

Cell = Sequence[str]
"""The lines of a cell."""


def table_picture(statement: str, heads: Sequence[Cell], rows: Sequence[Sequence[Cell]], footer: str) -> bytes:
    """A PNG of a statement, the table that answers it, and a line below. Numbers end at the right, text does not.

    The second line of a row's cell is small and faint. A character that the font lacks is written as JSON escapes it.
    """
    from PIL import Image, ImageDraw

    above = [Line(line, fill=QUERY) for line in statement.splitlines()]
    below = Line(footer, fill=FAINT)
    head = [[Line(line, bold=True) for line in cell] for cell in heads]
    table = [head, *([_of_row(cell) for cell in row] for row in rows)]
    widths = [max(line.width for row in table for line in row[at]) for at in range(len(heads))]
    heights = [LINE * max(map(len, row)) for row in table]
    broadest = max(sum(widths) + GAP * (len(widths) - 1), *(line.width for line in (*above, below)))
    size = (broadest + 2 * MARGIN, LINE * (len(above) + 3) + sum(heights) + 2 * MARGIN)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    top = MARGIN
    for line in above:
        line.draw(pen, MARGIN, top)
        top += LINE
    top += LINE
    right = [all(_is_number(row[at][0].text) for row in table[1:]) for at in range(len(heads))]
    for number, (row, height) in enumerate(zip(table, heights, strict=True)):
        if number % 2:
            pen.rectangle((0, top - 1, image.width, top + height - 2), fill=STRIPE)
        left = MARGIN
        for cell, width, ends_right in zip(row, widths, right, strict=True):
            for at, line in enumerate(cell):
                line.draw(pen, left + (width - line.width if ends_right else 0), top + LINE * at)
            left += width + GAP
        top += height
    below.draw(pen, MARGIN, top + LINE)
    png = io.BytesIO()
    image.save(png, format="PNG")
    return png.getvalue()


@dataclass
class Line:
    """A text on one line, and how it is drawn."""

    text: str
    size: int = SIZE
    fill: str = TEXT
    bold: bool = False

    @property
    def width(self) -> int:
        """In pixels."""
        return int(_font(self.size).getlength(drawable(self.text)))

    def draw(self, pen: ImageDraw, left: int, top: int) -> None:
        """Draw it from there to the right."""
        stroke = 0.4 if self.bold else 0
        pen.text((left, top), drawable(self.text), fill=self.fill, font=_font(self.size), stroke_width=stroke)


def _of_row(cell: Cell) -> list[Line]:
    first, *others = cell
    return [Line(first), *(Line(line, SMALL, FAINT) for line in others)]


def drawable(text: str) -> str:
    """The text with every character that the font lacks written as JSON escapes it."""
    # Composed, because an accent that is a character of its own would stand beside its letter.
    return "".join(one if has_glyph(one) else json.dumps(one)[1:-1] for one in unicodedata.normalize("NFC", text))


@cache
def has_glyph(character: str) -> bool:
    """Whether the font has a picture of the character."""
    missing = "\U0010ffff"  # never a character, so what is drawn is what is drawn in place of one
    font = _font(SIZE)
    return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask(missing))


@cache
def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    # The basic layout is the same on every machine; the other one needs libraries that not every machine has.
    return ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)


def _is_number(text: str) -> bool:
    return not text or text.lstrip("-").replace(".", "", 1).isdigit()
