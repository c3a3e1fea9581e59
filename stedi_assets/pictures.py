"""Small pictures as PNG files, drawn with Pillow: a table of text, and bars side by side.

Belongs here: ink on a canvas. Does not belong here: what is shown, or whether it may be (`report.py`, `evidence.py`).
A plotting library would take longer to import and draw than all tables together take to compute.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

TEXT, FAINT, QUERY, STRIPE = "#222222", "#777777", "#1f4e79", "#f2f5f8"
LINE, MARGIN, GAP = 26, 22, 26  # pixels
FONT_SIZE = 16


def table_picture(statement: str, columns: Sequence[str], rows: Sequence[Sequence[str]], footer: str) -> bytes:
    """A statement, the table that answers it, and a line below. Numbers end at the right, text begins at the left."""
    _, pen = _canvas(1, 1)
    cells = [list(columns), *map(list, rows)]
    widths = [max(int(pen.textlength(row[column])) for row in cells) for column in range(len(columns))]
    right = [
        all(row[column].lstrip("-").replace(".", "", 1).isdigit() or not row[column] for row in rows)
        for column in range(len(columns))
    ]
    lines = statement.splitlines()
    broadest = max(sum(widths) + GAP * (len(widths) - 1), *(int(pen.textlength(line)) for line in (*lines, footer)))
    image, pen = _canvas(broadest + 2 * MARGIN, LINE * (len(lines) + len(cells) + 3) + 2 * MARGIN)
    top = MARGIN
    for line in lines:
        pen.text((MARGIN, top), line, fill=QUERY)
        top += LINE
    top += LINE
    for number, row in enumerate(cells):
        if number % 2:
            pen.rectangle((0, top - 3, image.width, top + LINE - 4), fill=STRIPE)
        left = MARGIN
        for text, width, ends_right in zip(row, widths, right, strict=True):
            shift = width - pen.textlength(text) if ends_right else 0
            pen.text((left + shift, top), text, fill=TEXT, stroke_width=0 if number else 0.4)
            left += width + GAP
        top += LINE
    pen.text((MARGIN, top + LINE), footer, fill=FAINT)
    return _png(image)


@dataclass(frozen=True)
class Bars:
    """One chart: its title, the bars' heights from left to right, and labels spread evenly below them."""

    title: str
    heights: Sequence[int]
    labels: Sequence[str]
    colour: str


def bars_picture(*charts: Bars, width: int = 1080, height: int = 290) -> bytes:
    """The charts side by side, each with its own scale from zero to its highest bar."""
    image, pen = _canvas(width, height)
    room = width // len(charts)
    for number, chart in enumerate(charts):
        highest = max(chart.heights)
        scale = f"{highest:,}"
        left, right = number * room + MARGIN + int(pen.textlength(scale)), (number + 1) * room - MARGIN
        top, bottom = MARGIN + LINE, height - MARGIN - LINE
        pen.text((left, MARGIN - 8), chart.title, fill=TEXT)
        pen.text((left - 6, top), scale, fill=FAINT, anchor="rt")
        pen.text((left - 6, bottom), "0", fill=FAINT, anchor="rb")
        step = (right - left) / len(chart.heights)
        for place, value in enumerate(chart.heights):
            if value:
                edges = (left + step * place, left + step * (place + 1) - 1)
                pen.rectangle(
                    (edges[0], bottom - (bottom - top) * value / highest, max(edges), bottom), fill=chart.colour
                )
        pen.line((left, bottom, right, bottom), fill=FAINT)
        for place, label in enumerate(chart.labels):
            share = place / max(len(chart.labels) - 1, 1)
            anchor = "l" if share == 0 else "r" if share == 1 else "m"
            pen.text((left + (right - left) * share, bottom + 8), label, fill=FAINT, anchor=f"{anchor}t")
    return _png(image)


def _canvas(width: int, height: int) -> tuple[Image, ImageDraw]:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    pen.font = ImageFont.load_default(FONT_SIZE)
    return image, pen


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
