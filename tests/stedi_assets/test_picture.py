"""Pictures of tables: every character is drawn as what it is, and everything has room."""

from __future__ import annotations

import io
import unicodedata

import pytest
from PIL import Image

from stedi_assets.picture import LINE, MARGIN, drawable, has_glyph, table_picture


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def drawn(text: str) -> str:
    """The pixels of a cell with that text that are rather dark than light."""
    png = table_picture("", [["a head that is broader than the text"]], [[[""]], [[text]]], "")
    image, top = Image.open(io.BytesIO(png)).convert("L"), MARGIN + 3 * LINE
    cell = image.crop((MARGIN, top, MARGIN + 48, top + LINE)).point(lambda grey: ord("#" if grey < 128 else "."))
    pixels = cell.tobytes().decode()
    return "\n".join(pixels[at : at + 48].rstrip(".") for at in range(0, len(pixels), 48)).strip("\n")


NUNEZ = """
...............#......#
.##.....#.....#......#.##
.###....#
.###....#
.####...#..#....#...######....####...#####
.##.#...#..#....#...##...#...##...#......#
.##.##..#..#....#...##...#...#....#.....#
.##..#..#..#....#...#....#...######....##
.##..##.#..#....#...#....#...#........##
.##...###..#....#...#....#...#........#
.##...###...#..##...#....#...##......#
.##....##...###.#...#....#....#####..#####
"""
MASKED = """
...##......##......##
..####....####....####
..####....####....####
..####....####....####
"""


@pytest.mark.parametrize(
    ("text", "pixels"),
    [("Núñez", NUNEZ), (unicodedata.normalize("NFD", "Núñez"), NUNEZ), ("•••", MASKED)],
    ids=["accents", "accents that are characters of their own", "masked"],
)
def test_accented_names_and_masked_values_are_drawn_as_what_they_are(text: str, pixels: str) -> None:
    """Who met it: "Hugo N☒☒ez, and ☒☒☒ where the README says that values are masked"."""
    assert drawn(text) == pixels.strip("\n")


def test_the_font_has_the_letters_of_many_languages() -> None:
    names = "Hugo Núñez, Łukasz Żak, Øyvind Ærø, Nguyễn Thị Hồng, Ğülşen, Štěpán Říha, Ωρίων, Пётр Ґанжа, «d’Été» …•€−"
    assert [one for one in names if not has_glyph(one)] == []
    assert drawable(names) == names


def test_what_the_font_has_no_picture_of_is_written_as_json_escapes_it() -> None:
    assert drawable("山 a\n\u200b") == r"\u5c71 a\n\u200b"


def test_a_table_has_room_for_each_row_and_for_its_longest_text() -> None:
    def size(*rows: list[str]) -> tuple[int, int]:
        return opened(
            table_picture("SELECT *", [["name"], ["number"]], [[[text] for text in row] for row in rows], "a footer")
        ).size

    width, height = size(["ada", "1"])
    assert size(["ada", "1"], ["bob", "2"])[1] > height
    assert size(["ada" * 40, "1"])[0] > width
    assert size() < (width, height)


def test_numbers_end_at_the_right_edge_of_their_column_and_text_begins_at_the_left() -> None:
    def edges(text: str) -> tuple[int, int]:
        """How far the last row's text begins and ends from where the heading does."""
        image = opened(table_picture("SELECT", [["a_rather_long_heading"]], [[[text]], [[text]]], ""))
        dark = [(x, y) for y in range(image.height) for x in range(image.width) if image.getpixel((x, y)) == (34,) * 3]
        below = [x for x, y in dark if y > max(y for _, y in dark) - 8]
        heading = [x for x, y in dark if y < min(y for _, y in dark) + 8]
        return min(below) - min(heading), max(heading) - max(below)

    assert edges("4711")[0] > 40 > 4 >= abs(edges("4711")[1])
    assert edges("ABCD")[1] > 40 > 4 >= abs(edges("ABCD")[0])
