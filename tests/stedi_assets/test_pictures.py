"""Pictures show what they are given: bars to scale, and every row of a table."""

from __future__ import annotations

import io
from itertools import pairwise

from PIL import Image

from stedi_assets.pictures import Bars, bars_picture, table_picture

BLUE, TEXT = (0x4F, 0x7C, 0xAC), (0x22, 0x22, 0x22)


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def inked(image: Image.Image, colour: tuple[int, int, int], column: int) -> int:
    """How many pixels of that colour a column of the picture has."""
    return sum(image.getpixel((column, row)) == colour for row in range(image.height))


def test_bars_are_as_high_as_their_values_and_nothing_is_drawn_for_zero() -> None:
    image = opened(bars_picture(Bars("readings", [100, 0, 50, 100], ["first", "last"], "#4f7cac")))
    heights = [inked(image, BLUE, column) for column in range(image.width)]
    runs = [height for before, height in pairwise(heights) if height != before]
    highest = max(heights)
    assert [round(height / highest, 1) for height in runs if height] == [1.0, 0.5, 1.0]
    assert runs.count(0) >= 2


def test_charts_stand_side_by_side_on_their_own_scales() -> None:
    low, high = Bars("low", [1], [], "#4f7cac"), Bars("high", [1_000_000], [], "#4f7cac")
    image = opened(bars_picture(low, high))
    left, right = (max(inked(image, BLUE, c) for c in half) for half in (range(540), range(540, 1080)))
    assert left == right > 100


def test_a_table_has_room_for_each_row_and_for_its_longest_text() -> None:
    def size(*rows: list[str]) -> tuple[int, int]:
        return opened(table_picture("SELECT *", ["name", "number"], rows, "a footer")).size

    width, height = size(["ada", "1"])
    assert size(["ada", "1"], ["bob", "2"])[1] > height
    assert size(["ada" * 40, "1"])[0] > width
    assert size() < (width, height)


def test_numbers_end_at_the_right_edge_of_their_column_and_text_begins_at_the_left() -> None:
    def edges(text: str) -> tuple[int, int]:
        image = opened(table_picture("SELECT", ["a_rather_long_heading"], [[text], [text]], ""))
        inked = [(x, y) for y in range(image.height) for x in range(image.width) if image.getpixel((x, y)) == TEXT]
        below = [x for x, y in inked if y > max(y for _, y in inked) - 8]  # the last row's own pixels
        heading = [x for x, y in inked if y < min(y for _, y in inked) + 8]
        return min(below) - min(heading), max(heading) - max(below)

    assert abs(edges("4711")[1]) <= 4
    assert edges("4711")[0] > 40
    assert abs(edges("ABCD")[0]) <= 4
    assert edges("ABCD")[1] > 40
