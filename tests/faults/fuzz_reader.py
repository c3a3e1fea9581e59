"""A coverage-guided search for files of which the record reader loses a character, or accepts what is no record.

The engine cannot be watched, so what guides the search is how the files are landed, and how Python reads their lines.
Many files are held to the promises at once, as a query takes much longer than the search takes to make a file up;
of those that break one, the few that suffice are written to /tmp/finding-*. Findings become cases of
`tests/conformance/hostile.py`. Run it in the project's folder, for ten minutes:

    pip install atheris
    PYTHONPATH=. python tests/faults/fuzz_reader.py -max_total_time=600 -max_len=1200 /tmp/corpus
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from io import BytesIO
from json import decoder, scanner
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["resources.files.ndjson"]):
    from resources.files import ndjson as lines
from stedi_assets.contracts import FEEDS, Feed
from tests.conformance import hostile
from tests.conformance.accounts import check
from tests.conformance.test_fuzz import LINES

AT_ONCE = 250

for function in (scanner.py_make_scanner, decoder.py_scanstring, decoder.JSONObject, decoder.JSONArray):
    atheris.instrument_func(function)
PYTHONS = json.JSONDecoder()
PYTHONS.parse_string = decoder.py_scanstring
PYTHONS.scan_once = scanner.py_make_scanner(PYTHONS)
waiting: dict[Feed, list[bytes]] = {feed: [] for feed in FEEDS}


@atheris.instrument_func
def look_at(content: bytes, feed: Feed) -> None:
    """What steers the search: the file's shape, and, of each line, whether it is JSON, and each field a value."""
    for line in lines.ndjson_lines(BytesIO(content), lines.inspect([content])):
        try:
            record = PYTHONS.decode(line)
        except (ValueError, RecursionError):
            continue
        for column in feed.landing.columns if isinstance(record, dict) else ():
            value = record.get(column.feed_names[0])
            if value is None:
                break
            if column.type != "string":
                float(value) if isinstance(value, float | int) else len(str(value))


def breaks(feed: Feed, files: list[bytes]) -> bool:
    with TemporaryDirectory(prefix="stedi-") as folder:
        try:
            # The first record ensures that the feed is there at all.
            check(Path(folder), feed, [LINES[feed][0].encode(), *files], engines=["embedded"])
        except Exception:
            traceback.print_exc()
            return True
    return False


def fewest(files: list[bytes], suffice: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Some of the files, of which none can be left out."""
    size = len(files) // 2
    while size:
        for start in range(0, len(files), size):
            without = files[:start] + files[start + size :]
            if suffice(without):
                files = without
                break
        else:
            size //= 2
    return files


def hold(feed: Feed, files: list[bytes]) -> None:
    """Hold the files to the promises, and keep those that break one."""
    if breaks(feed, files):
        for number, content in enumerate(fewest(files, lambda some: breaks(feed, some))):
            print(f"FINDING {feed.name}: {content!r}", flush=True)
            Path(f"/tmp/finding-{feed.name}-{abs(hash(content))}-{number}").write_bytes(content)


def test_one_input(data: bytes) -> None:
    feed, content = FEEDS[data[0] % len(FEEDS) if data else 0], data[1:]
    if "…" in content.decode(errors="replace"):  # the landing zone's own mark
        return
    look_at(content, feed)
    waiting[feed].append(content)
    if len(waiting[feed]) == AT_ONCE:
        hold(feed, waiting[feed])
        waiting[feed] = []


def write_seeds(folder: Path, words: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for place, feed in enumerate(FEEDS):
        for number, record in enumerate(dict.fromkeys(LINES[feed])):
            (folder / f"{feed.name}-{number}").write_bytes(bytes([place]) + record.encode("utf-8", "surrogatepass"))
    names = [f'"{name}":' for feed in FEEDS for column in feed.landing.columns for name in column.feed_names]
    known = {
        word.encode("utf-8", "surrogatepass") for word in [*hostile.NUMBERS, *hostile.TEXTS, *hostile.SCRAPS, *names]
    }
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in sorted(known) if len(word) < 60)
    words.write_text("".join(f'"{word}"\n' for word in quoted))


if __name__ == "__main__":
    corpus = next(Path(argument) for argument in sys.argv[1:] if not argument.startswith("-"))
    write_seeds(corpus, corpus.with_suffix(".words"))
    options = [f"-dict={corpus.with_suffix('.words')}", "-report_slow_units=600"]
    atheris.Setup([*sys.argv, *options], test_one_input)
    atheris.Fuzz()
