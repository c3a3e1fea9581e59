"""Feeds whose every personal value is marked, and the search for the marks.

Belongs here: the marked values, where a feed may have them, and looking for them in files and texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.stedi_assets.examples import Row, T, as_delivered, customer, distance, reading
from tests.support import Stedi

# In lower case. Long enough that no picture's or key's letters are one by chance. A serial number may be shown by its
# last four characters, so its mark is its beginning.
MARKS = {
    "name": ("nemomarked", "wortmarked"),
    "e-mail address": ("marked.mail", "marked.example"),
    "phone number": ("8005550",),
    "birthday": ("1234-05-",),
    "serial number": ("0badcafe-0000",),
}


def someone(number: int, **others: object) -> Row:
    """A customer, all of whose personal values are marked."""
    personal = {
        "customername": f"Nemomarked Wortmarked{number}",
        "phone": f"8005550{number:03}",
        "birthday": f"1234-05-{number:02}",
    }
    return customer(address(number), serial(number), **{"updated": T, "consent": T, **personal, **others})


def address(number: int) -> str:
    return f"{number}.Marked.Mail@marked.example"


def serial(number: int) -> str:
    return f"0badcafe-0000-4000-8000-{number:08}cafe"


def deliver_marked(stedi: Stedi) -> None:
    """Feeds with customers of every kind, and their personal values wherever a broken feed may have them."""
    feeds: dict[str, list[Row]] = {
        "customer": [
            someone(1),
            {**someone(1, updated=T + 1), "email": address(1).upper()},
            someone(2, consent=None),
            someone(3),
            {**someone(4), "serialnumber": serial(3)},
        ],
        "accelerometer": [reading(address(who), T + at, 0.5) for who in (1, 2, 3, 4, 7, 9) for at in (0, 0, 2)],
        "step_trainer": [distance(serial(who), T + at) for who in (1, 2, 3, 7, 9) for at in (0, 2)],
    }
    for feed, rows in feeds.items():
        sent = as_delivered(feed, rows)
        wrong = [{**row, key: value} for row in sent for key, value in _mistakes(feed).items()]
        stedi.deliver(feed, [*sent, *wrong], name="1.json")
        stedi.deliver(feed, "\n".join(_rubbish(sent)), name="rubbish.json")
        stedi.deliver(feed, json.dumps(sent, indent=2), name="pretty.json")
        stedi.deliver(feed, json.dumps([*sent, *sent[:1]] * 20), name="long line.json")
        stedi.deliver(feed, json.dumps(sent[0]).encode().replace(b" Wort", b" \xff\xfeWort"), name="latin.json")
        stedi.deliver(feed, json.dumps(sent), name="no gzip.json.gz")
    # Of whom no record is broken: all others are in doubt.
    stedi.deliver("customer", as_delivered("customer", [someone(7), someone(8, consent=None)]), name="sound.json")


def _mistakes(feed: str) -> Mapping[str, object]:
    """Personal values where none belong: in numbers, in nested values, in names of fields."""
    mine = {"email": address(5), "phone": "8005550005"}
    number = {"customer": "lastUpdateDate", "accelerometer": "timestamp", "step_trainer": "sensorReadingTime"}[feed]
    required = {"customer": "email", "accelerometer": "user", "step_trainer": "serialNumber"}[feed]
    return {number: address(5), required: mine, address(5): serial(5), "x": "Nemomarked", "distanceFromObject": mine}


def _rubbish(sent: list[Row]) -> Iterable[str]:
    """Texts that are no records, with personal values in them."""
    whole = json.dumps(sent[0])
    yield from (whole[:-20], whole[1:], whole.replace('"', "'"), f"{whole}{whole[:40]}", f"{whole} {address(6)}")
    yield from (f"{address(6)} {serial(6)}", f"Nemomarked;{serial(6)};1234-05-06", f'"{address(6)}"', f"[{whole[:50]}")
    yield "{" * 99 + f'"{address(6)}"' + "}" * 99
    yield json.dumps({"Nemomarked Wortmarked": [sent[0], {"deeper": sent}]})


def marks_in(content: bytes) -> set[str]:
    """Which kinds of personal values are in there."""
    low = content.lower()
    return {
        kind
        for kind, marks in MARKS.items()
        for mark in marks
        if mark.encode() in low or mark.encode("utf-16-le") in low
    }


def found_in(folder: Path, secrets: Iterable[str] = ()) -> dict[str, set[str]]:
    """What is found in the bytes of every file below the folder, and in the files' names: by file."""
    found = {}
    for path in (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()):
        content = path.read_bytes() + path.name.encode()
        seen = marks_in(content) | {"a secret" for secret in secrets if secret.encode() in content}
        if seen:
            found[path.relative_to(folder).as_posix()] = seen
    return found
