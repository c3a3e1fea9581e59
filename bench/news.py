"""The feeds in two deliveries: all but some records, and then those.

Belongs here: which records come last, and having them come, or not yet. What both deliveries hold together are the
feeds as they were, so that a lakehouse that reads one after the other makes the same tables as one that reads all at
once. Does not belong here: the feeds themselves (`sample/`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.delivered import FEEDS

NAME = "news.json"
Late = Mapping[str, Callable[[bytes], bool]]
"""Which records of a feed come last, by the line that a record is."""

_TAKEN = re.compile(rb'"(?:timestamp|timeStamp|sensorReadingTime)": ?(\d+)')
_DAY_MS = 86_400_000


def one_day(source: Path) -> Late:
    """Both sensors' readings of the day of the first accelerometer reading."""

    def day(line: bytes) -> int:
        found = _TAKEN.search(line)
        return int(found[1]) // _DAY_MS if found else 0

    wanted = day(next(_lines(source, "accelerometer")))
    return dict.fromkeys(("accelerometer", "step_trainer"), lambda line: day(line) == wanted)


def one_withdrawal(source: Path) -> Late:
    """The record by which somebody withdraws who consented in the one before."""
    records: dict[str, list[tuple[int, bool, bytes]]] = {}
    for line in _lines(source, "customer"):
        record = json.loads(line)
        agreed = bool(record.get("shareWithResearchAsOfDate"))
        records.setdefault(record["email"], []).append((record["lastUpdateDate"], agreed, line))
    for theirs in map(sorted, records.values()):
        if [agreed for _, agreed, _ in theirs] == [True, False]:
            return {"customer": theirs[1][2].__eq__}
    raise ValueError(f"nobody withdraws in {source}")


def hold_back(source: Path, early: Path, news: Path, late: Late) -> None:
    """Write the feeds without their late records into `early`, and those into `news`, a file a feed."""
    for feed in FEEDS:
        landing = early / feed / "landing"
        landing.mkdir(parents=True)
        for path in _files(source, feed):
            if feed not in late:
                shutil.copy(path, landing)
                continue
            held_back = news / feed / NAME
            held_back.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as lines, (landing / path.name).open("wb") as out, held_back.open("ab") as after:
                for line in lines:
                    (after if late[feed](line) else out).write(line)


def deliver(news: Path, early: Path) -> None:
    """Have the late records come."""
    for feed in (folder.name for folder in news.iterdir()):
        shutil.copy(news / feed / NAME, early / feed / "landing")


def take_back(early: Path, tables: Path) -> None:
    """Have them not come yet, as README «Taking data back» says: neither to the source nor to the landing zone."""
    for feed in FEEDS:
        for folder in (early / feed / "landing", tables / f"{feed}_landing"):
            (folder / NAME).unlink(missing_ok=True)


def _files(source: Path, feed: str) -> list[Path]:
    return sorted((source / feed / "landing").glob("*.json"))


def _lines(source: Path, feed: str) -> Iterator[bytes]:
    for path in _files(source, feed):
        with path.open("rb") as lines:
            yield from lines
