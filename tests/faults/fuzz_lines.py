"""A coverage-guided search for text that the landing zone's line cutter loses, invents, or stops at.

Atheris is no dependency of the project: it is for whoever runs this search. Findings become cases of
`tests/resources/files/test_ndjson.py`. Run it in the project's folder, for ten minutes:

    pip install atheris
    PYTHONPATH=. python tests/faults/fuzz_lines.py -max_total_time=600 -max_len=400 /tmp/corpus
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["resources.files.ndjson", "resources.files.manifest"]):
    from resources.files import ndjson as lines
    from resources.files.manifest import FieldSample
from tests.conformance import hostile

SEPARATORS = "[], \t\r\n\ufeff"
USUAL = (lines.CHUNK, lines.LONGEST_LINE, lines.LONGEST_OBJECT, lines.LONGEST_SCRAP)
SMALL = (16, 40, 64, 30)  # so that what happens to megabytes happens to what fits in an input


def solid(text: str) -> str:
    return "".join(character for character in text if character not in SEPARATORS)


def limits(values: tuple[int, int, int, int]) -> None:
    lines.CHUNK, lines.LONGEST_LINE, lines.LONGEST_OBJECT, lines.LONGEST_SCRAP = values


def chunks(content: Any, size: int) -> Iterator[Any]:
    return (content[start : start + size] for start in range(0, len(content), size))


def objects(found: list[str]) -> list[Any]:
    parsed = []
    for line in found:
        try:
            parsed.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [one for one in parsed if isinstance(one, dict)]


def check_file(content: bytes, text: str, size: int) -> None:
    """Whatever a file is taken for, rewriting loses no character of it."""
    found = lines.inspect([content])
    assert lines.inspect(chunks(content, size)) is found
    assert found is not lines.FileShape.EMPTY or not solid(text)
    for shape in lines.FileShape:
        if not shape.needs_rewriting:
            continue
        kept = "\n".join(lines.ndjson_lines(BytesIO(content), shape))
        assert solid(kept.replace(f"{lines.CONTINUED} ", "")) == solid(text), shape


def check_lines(text: str, size: int) -> None:
    """The lines hold the text in order, whatever the chunks; a whole object is a line, and no part of one is."""
    limits(USUAL)
    found = list(lines.object_lines(chunks(text, size)))
    assert found == list(lines.object_lines([text]))
    assert solid("".join(found)) == solid(text)
    assert all(line.strip(SEPARATORS) and "\n" not in line and "\r" not in line for line in found)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    rows = [whole] if isinstance(whole, dict) else whole
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        assert [json.loads(line) for line in found] == rows
    limits(SMALL)
    given_up = list(lines.object_lines(chunks(text, size)))
    assert solid("".join(given_up).replace(f"{lines.CONTINUED} ", "")) == solid(text)
    if "\n" not in text:
        # On one line, giving up an object for its length must bring no other to light.
        seen = objects(found)
        assert all(one in seen or one != one for one in objects(given_up))


def test_one_input(data: bytes) -> None:
    size, content = 1 + data[0] % 32 if data else 1, data[1:]
    text = content.decode(errors="replace")
    if "…" in text:
        return
    sample = FieldSample()
    for chunk in chunks(content, 64 + size):
        sample.feed(chunk)
    assert all(isinstance(name, str) for name in sample.names)
    for values in (USUAL, SMALL):
        limits(values)
        check_file(content, text, size)
    check_lines(text, size)


def write_seeds(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, record in enumerate([*hostile.RECORDS, json.dumps([hostile.STEP] * 2, indent=1)]):
        (folder / f"seed-{number}").write_bytes(b"\x07" + record.encode("utf-8", "surrogatepass")[:400])


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            write_seeds(Path(argument))
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
