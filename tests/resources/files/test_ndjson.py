"""Any JSON file becomes lines that an engine can read, and not a character of it is lost on the way."""

from __future__ import annotations

import gzip
import json
import random
import re
import tracemalloc
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.files import ndjson as lines
from resources.files.ndjson import (
    _TOKEN,
    CHUNK,
    CONTINUED,
    LONGEST_LINE,
    LONGEST_OBJECT,
    FileShape,
    inspect,
    ndjson_lines,
    object_lines,
)

SEPARATORS = "[], \t\r\n\ufeff"

# Text made of what JSON is made of, broken in every way: what a crashed writer or a careless tool leaves behind.
scraps = st.lists(
    st.sampled_from([*'{}[]":,\\ab1é ', "\n", "\n  {", "\r\n", "\\n", '{"a": 1}', '"x"', "\ufeff"]), max_size=40
)
torn_text = scraps.map("".join)

values = st.one_of(st.none(), st.integers(), st.text(st.sampled_from('ab{}[]",\\\n\u2028é'), max_size=8))
records = st.dictionaries(
    st.text(st.sampled_from('ab{"}'), min_size=1, max_size=4),
    st.one_of(values, st.lists(values, max_size=3), st.dictionaries(st.text(max_size=2), values, max_size=2)),
    max_size=4,
)


def pieces(text: str, cuts: list[int]) -> list[str]:
    """The text, cut at these places."""
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def chunks_of(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def solid(text: str) -> str:
    """The text without separators: what must not be lost."""
    return "".join(character for character in text if character not in SEPARATORS)


def rewritten(content: bytes, shape: FileShape) -> str:
    return "".join(f"{line}\n" for line in ndjson_lines(BufferedReader(BytesIO(content)), shape))


@given(torn_text, st.lists(st.integers(0, 200), max_size=8))
def test_where_the_chunks_of_a_file_end_changes_no_line(text: str, cuts: list[int]) -> None:
    assert list(object_lines(pieces(text, cuts))) == list(object_lines([text]))


@given(torn_text)
def test_every_character_that_is_no_separator_is_in_the_lines_in_order(text: str) -> None:
    lines = list(object_lines([text]))
    assert solid("".join(lines)) == solid(text)
    assert all("\n" not in line and "\r" not in line and line.strip() for line in lines)


@given(st.lists(records, max_size=5), st.sampled_from([None, 0, 2]), st.sampled_from(["array", "arrays", "stacked"]))
def test_each_object_is_one_line_however_the_file_is_laid_out(
    objects: list[dict[str, Any]], indent: int | None, layout: str
) -> None:
    texts = [json.dumps(one, indent=indent, ensure_ascii=False) for one in objects]
    text = {
        "array": json.dumps(objects, indent=indent, ensure_ascii=False),
        "arrays": "\n".join(f"[{one}]" for one in texts),
        "stacked": "".join(texts),
    }[layout]
    assert [json.loads(line) for line in object_lines([text])] == objects


@pytest.mark.parametrize(
    "broken",
    [
        '{"serialNumber": "a", "distance',
        '{"serialNumber": "a", "distanceFromObject":',
        '{"serialNumber": "a", "nested": {"deep": [',
        '{"serialNumber": "a", "text": "it said \\"hi',
        "{",
    ],
)
def test_a_truncated_object_hides_none_of_those_behind_it(broken: str) -> None:
    good = [{"serialNumber": "b", "at": {"x": 1}}, {"serialNumber": "c"}, {"serialNumber": "d"}]
    text = broken + "\n" + "\n".join(json.dumps(one, indent=1) for one in good)
    lines = list(object_lines([text]))
    assert [json.loads(line) for line in lines[-len(good) :]] == good
    assert solid("".join(lines[: -len(good)])) == solid(broken)


def test_braces_and_escaped_quotes_inside_of_strings_do_not_count() -> None:
    text = '{\n"a": "}{", "b": "say \\"}\\" {", "c": "back\\\\"\n}\n{\n"a": "[,]"\n}'
    assert [json.loads(line) for line in object_lines([text])] == [
        {"a": "}{", "b": 'say "}" {', "c": "back\\"},
        {"a": "[,]"},
    ]


def test_text_between_objects_becomes_lines_of_its_own() -> None:
    text = 'header\n[{"a": 1},\noops\n{"b": 2}]\ntrailer'
    assert list(object_lines([text])) == ["header", '{"a": 1}', "oops", '{"b": 2}', "trailer"]


def test_an_object_that_never_ends_is_given_up_before_the_whole_file_is_in_memory() -> None:
    good = [f'{{"n": {number:020}}}' for number in range(100_000)]
    text = '{"never": {"ends": 1}\n' + "\n".join(good)
    chunks = chunks_of(text.encode(), 100_000)
    lines = object_lines(chunk.decode() for chunk in chunks)
    assert [next(lines), next(lines)] == ['{"never": {"ends": 1}', good[0]]
    unread = len(b"".join(chunks))
    assert len(text) - unread < LONGEST_OBJECT + 200_000
    assert unread > 0


def test_a_file_with_an_object_that_never_ends_keeps_all_the_others() -> None:
    good = [f'{{"n": {number:020}}}' for number in range(50_000)]
    text = '{"never": {"ends": 1}\n' + "\n".join(good)
    assert len(text) > LONGEST_OBJECT
    assert list(object_lines(pieces(text, list(range(0, len(text), 100_000)))))[1:] == good


def test_a_file_in_which_no_object_ends_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for the end of each object anew, to the end of the file, would take hours for a feed's file."""
    broken = [f'{{\n "n": {number},\n "of": {{"x": 1}}\n' for number in range(300)]
    looked_at = 0

    class Counted:
        def finditer(self, text: str, start: int) -> Iterator[re.Match[str]]:
            nonlocal looked_at
            for token in _TOKEN.finditer(text, start):
                looked_at += 1
                yield token

    monkeypatch.setattr(lines, "_TOKEN", Counted())
    found = list(object_lines(["".join(broken)]))
    assert len(found) == len(broken)
    assert solid("".join(found)) == solid("".join(broken))
    assert looked_at < 3 * len("".join(broken))


@pytest.mark.parametrize("before", ["", '{"good": 0}'], ids=["alone on its line", "behind other text"])
def test_an_object_inside_one_that_never_ends_is_no_record(before: str) -> None:
    """Else the history inside a broken customer record could bring back a consent that the record takes away."""
    text = before + '{"broken": [\n    {"inner": 1},\n    {"inner": 2}\n{"good": 1}\n'
    broken = '{"broken": [     {"inner": 1},     {"inner": 2}'
    assert list(object_lines([text])) == [*([before] if before else []), broken, '{"good": 1}']


def test_an_object_behind_a_broken_one_is_indented_no_deeper() -> None:
    text = '  {"broken": [\n    {"inner": 1}\n  {"good": 1}\n'
    assert list(object_lines([text])) == ['{"broken": [     {"inner": 1}', '{"good": 1}']


@pytest.fixture
def short_objects(monkeypatch: pytest.MonkeyPatch) -> int:
    """What happens to megabytes happens to kilobytes."""
    monkeypatch.setattr(lines, "LONGEST_OBJECT", 2_000)
    monkeypatch.setattr(lines, "LONGEST_SCRAP", 1_500)
    return 1_500


@pytest.mark.parametrize("between", [", ", "\n   "], ids=["on one line", "on lines of their own"])
@pytest.mark.parametrize("size", [2_000, 1_999, 777, 10_000])
def test_an_object_deep_inside_a_long_one_that_never_ends_is_no_record(
    short_objects: int, between: str, size: int
) -> None:
    """The broken object is given up before its end is in memory: what comes then is still a part of it."""
    text = '{"history": [' + between.join(['{"inner": 1}'] * 1_000) + '\n{"good": 1}\n'
    first, *others, last = object_lines(text[start : start + size] for start in range(0, len(text), size))
    assert last == '{"good": 1}'
    assert first.startswith('{"history"')
    assert all(line.startswith(CONTINUED) for line in others)
    assert solid("".join([first, *(line.removeprefix(CONTINUED) for line in others), last])) == solid(text)


@pytest.mark.parametrize("piece", ["x", "}", '{"x', '"', "{", "é😀", "[{"])
def test_no_line_is_longer_than_an_engine_can_hold_though_the_file_has_no_line_end(
    short_objects: int, piece: str
) -> None:
    text = piece * 10_000
    found = list(object_lines(text[start : start + 1_000] for start in range(0, len(text), 1_000)))
    assert len(found) > 2
    assert all(len(line.removeprefix(f"{CONTINUED} ")) <= short_objects for line in found[:-1])
    assert solid("".join(line.removeprefix(f"{CONTINUED} ") for line in found)) == solid(text)


def test_an_object_is_found_behind_one_that_never_ends_though_its_line_begins_a_chunk(short_objects: int) -> None:
    chunks = ['{"history": [' + "x" * 3_000 + "\n", '{"good": 1}\n']
    assert list(object_lines(chunks))[-1] == '{"good": 1}'


def test_text_without_any_object_is_not_gathered_to_its_end(short_objects: int) -> None:
    chunks = iter(["x" * 1_000] * 10)
    next(object_lines(chunks))
    assert len(list(chunks)) == 8


LINES, SPANNING, NOT_UTF8, EMPTY = FileShape.LINES, FileShape.SPANNING, FileShape.NOT_UTF8, FileShape.EMPTY
LONG_LINES = FileShape.LONG_LINES
RECORD = '{"user": "é", "x": 1}\n'
SHAPES = {
    "one object a line": (RECORD * 3, LINES),
    "no line end at the end": (RECORD.strip(), LINES),
    "a byte order mark": ("\ufeff" + RECORD * 2, LINES),
    "Windows line ends": (RECORD.replace("\n", "\r\n") * 2, LINES),
    "blank lines first": ("\n  \r\n\n" + RECORD, LINES),
    "an array, one object a line": ('[\n{"a": 1},\n{"a": 2}\n]', LINES),
    "an array that opens on the first object's line": ('[{"a": 1},\n{"a": 2}]\n', LINES),
    "objects stacked on one line": ('{"a": 1}{"a": 2}\n', LINES),
    "a truncated first line": ('{"a": 1, "b"\n' + RECORD * 2, LINES),
    "a truncated first line, Windows line ends": ('{"a": 1, "b"\r\n\r\n{"a": 2}\r\n', LINES),
    "only a truncated line": ('{"a": 1, "b"', LINES),
    "no JSON at all": ("user,x,y\nann,1,2\n", LINES),
    "pretty-printed objects": ('{\n  "a": 1\n}\n{\n  "a": 2\n}\n', SPANNING),
    "a pretty-printed array": ('[\n  {\n    "a": 1\n  }\n]\n', SPANNING),
    "a byte order mark and a pretty-printed array": ('\ufeff[\r\n  {\r\n    "a": 1\r\n  }\r\n]\r\n', SPANNING),
    "an object that breaks after its first field": ('{"a": 1,\n "b": 2}\n', SPANNING),
    "pretty-printed objects behind compact ones": (RECORD + '{\n  "a": 1\n}\n{\n  "a": 2\n}\n', SPANNING),
    "a pretty-printed object behind many compact ones": (RECORD * 99 + '{\r\n  "a": 1\r\n}\r\n', SPANNING),
    "objects that close and open on one line": (RECORD + '{"a": 1}, {\n "a": 2\n}\n', SPANNING),
    "an object that goes on behind a nested one": ('{"a": {"b": 1},\n "c": 2}\n', SPANNING),
    "commas that lead": (RECORD + '{"a": 1\n, "b": 2\n}\n', SPANNING),
    "truncated lines anywhere": ((RECORD + '{"a": "{", "b"\n') * 3, LINES),
    "rubbish between": (RECORD + "oops, 1\n" + RECORD + '"b": 2}\n' + RECORD, LINES),
    "nothing": ("", EMPTY),
    "blanks only": (" \t\r\n\n ", EMPTY),
    "a byte order mark only": ("\ufeff\n", EMPTY),
}


@pytest.mark.parametrize("size", [1, 2, 7, CHUNK])
@pytest.mark.parametrize(("text", "shape"), SHAPES.values(), ids=SHAPES)
def test_the_shape_of_a_file_is_told_from_its_decompressed_bytes(text: str, shape: FileShape, size: int) -> None:
    assert inspect(chunks_of(text.encode(), size)) is shape


@pytest.mark.parametrize("size", [1, 2, 3, CHUNK])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3(", b"\xe2\x82", b"\xf0\x9f\x91"])
@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_bytes_that_are_no_utf8_are_noticed_anywhere_also_split_across_chunks(
    wrong: bytes, where: str, size: int
) -> None:
    line = RECORD.encode()
    content = {"first": wrong + line * 2, "between": line + wrong + line, "last": line * 2 + wrong}[where]
    assert inspect(chunks_of(content, size)) is NOT_UTF8


@pytest.mark.parametrize("size", [1, CHUNK])
@pytest.mark.parametrize("part", [b"\xef", b"\xbb\xbf", b"\xbb\xef", b"\xef\xbb\xbf\xef\xbb"])
def test_parts_of_a_byte_order_mark_are_no_blanks(part: bytes, size: int) -> None:
    assert inspect(chunks_of(part, size)) is NOT_UTF8


@given(st.binary(max_size=60), st.integers(1, 5))
def test_where_the_chunks_of_a_file_end_changes_no_shape(content: bytes, size: int) -> None:
    assert inspect(chunks_of(content, size)) is inspect([content])


def test_only_what_no_engine_reads_line_by_line_is_rewritten() -> None:
    assert {shape for shape in FileShape if shape.needs_rewriting} == {SPANNING, LONG_LINES, NOT_UTF8}


def test_a_line_too_long_for_an_engine_is_cut_into_its_objects() -> None:
    objects = [{"sensorReadingTime": 1_655_564_444_103 + number, "serialNumber": "a" * 40} for number in range(16_000)]
    content = json.dumps(objects).encode()
    assert len(content) > CHUNK
    assert inspect(chunks_of(content, CHUNK)) is LONG_LINES
    assert [json.loads(line) for line in rewritten(content, LONG_LINES).splitlines()] == objects


lengths = st.one_of(st.integers(0, 200), st.integers(LONGEST_LINE - 2, LONGEST_LINE + 2))


@given(st.lists(lengths, min_size=1, max_size=30), st.integers(1, 3 * LONGEST_LINE), st.booleans())
def test_one_long_line_makes_a_file_of_long_lines_wherever_it_lies_and_its_chunks_end(
    lengths: list[int], size: int, ends: bool
) -> None:
    content = b"{}\n" + b"\n".join(b"a" * length for length in lengths) + b"\n" * ends
    assert inspect(chunks_of(content, size)) is (LONG_LINES if max(lengths) > LONGEST_LINE else FileShape.LINES)


def test_a_feed_on_one_line_is_never_in_memory_whole(tmp_path: Path) -> None:
    content = json.dumps([{"name": "x" * 300_000}] * 60).encode()
    source, target = tmp_path / "one line.json", tmp_path / "lines.json"
    source.write_bytes(content)
    tracemalloc.start()
    with source.open("rb") as raw, target.open("w") as out:
        out.writelines(f"{line}\n" for line in ndjson_lines(raw, LONG_LINES))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(content) / 2
    assert len(target.read_text().splitlines()) == 60


def test_a_broken_long_line_hides_no_other_line() -> None:
    torn = '{"n": [' + '{"inner": 1}, ' * 100
    content = f'{{"n": 1}}\n{torn}\n{{"n": 2}}\n'.encode()
    assert inspect([content]) is LONG_LINES
    assert rewritten(content, LONG_LINES).splitlines() == ['{"n": 1}', torn.rstrip(", "), '{"n": 2}']


@settings(max_examples=60)
@given(
    st.one_of(st.binary(max_size=40), torn_text.map(lambda text: text.encode() + b"\xe2\x82")),
    st.sampled_from([SPANNING, LONG_LINES, NOT_UTF8]),
)
def test_a_rewritten_file_has_every_character_with_a_mark_where_bytes_are_no_text(
    content: bytes, shape: FileShape
) -> None:
    assert solid(rewritten(content, shape)) == solid(content.decode(errors="replace"))


def test_a_file_that_is_no_utf8_keeps_its_lines_when_it_is_rewritten() -> None:
    content = b'{"a": "\xff"}\r\n\r\n{"b": [1, {"c": 2}]}\n{"d\n'
    assert rewritten(content, NOT_UTF8) == '{"a": "\ufffd"}\r\n\r\n{"b": [1, {"c": 2}]}\n{"d\n'


def test_characters_split_between_chunks_survive_rewriting() -> None:
    generator = random.Random(1)
    names = ["".join(generator.choices("aé€👟", k=1000)) for _ in range(450)]
    content = "\n".join(json.dumps({"name": name}, indent=1, ensure_ascii=False) for name in names).encode()
    assert len(content) > CHUNK
    lines = rewritten(content, SPANNING).splitlines()
    assert [json.loads(line)["name"] for line in lines] == names


def test_a_rewrite_that_breaks_off_is_an_error() -> None:
    torn = BytesIO(gzip.compress(random.Random(1).randbytes(5 * CHUNK // 2))[:-CHUNK])
    with pytest.raises(EOFError):
        list(ndjson_lines(BufferedReader(torn), NOT_UTF8))
