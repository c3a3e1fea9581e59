"""Names and values that look like statements, paths or patterns are only that: names and values."""

from __future__ import annotations

from typing import Any

from tests.oracle import expected_tables
from tests.stedi_assets.examples import T, as_delivered, customer, distance, reading
from tests.support import Stedi

NAMES = [
    "1'; DROP TABLE customer_trusted; --.json",
    '2" OR "1"="1.json',
    "$(touch out)`touch out`.json",
    "${location} %s {0} \\n.json",
    "*?[a-z]{1,2}.json",
    "line\nbreak\ttab.json",
    "…/‮evil.json",
]
HOSTILE = [
    "x'; DROP TABLE customer_trusted; --",
    '" OR 1=1',
    "`email`",
    "${location}",
    "../../x",
    "%s%n{0}",
    "a\\u0000b",
]


def test_hostile_names_and_values_are_brought_read_and_joined_like_any_other(stedi: Stedi) -> None:
    customers = [customer(f"{number}{text}@x.org", text, updated=T, consent=T) for number, text in enumerate(HOSTILE)]
    readings = [reading(str(one["email"]), T + 1, 0.5) for one in customers]
    distances = [distance(text, T + 1, 3) for text in HOSTILE]
    feeds: dict[str, list[dict[str, Any]]] = {
        "customer": customers,
        "accelerometer": readings,
        "step_trainer": distances,
    }
    for feed, rows in feeds.items():
        for name, row in zip(NAMES, as_delivered(feed, rows), strict=True):
            stedi.deliver(feed, [{**row, "a`b': STRING, c": 1, "');--": {"${x}": []}}], name)
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    expected = expected_tables(customers, readings, distances, "customer")
    assert len(expected["machine_learning_curated"]) == len(HOSTILE)
    assert {table: stedi.rows(table) for table in expected} == {
        table: sorted(rows, key=repr) for table, rows in expected.items()
    }
    assert not list(stedi.folder.rglob("out"))
