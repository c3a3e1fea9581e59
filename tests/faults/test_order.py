"""In whatever files and order the records of the feeds arrive, the tables become the same in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sample.feeds import write_feeds
from stedi_assets.contracts import FEEDS, TABLES
from tests.support import Stedi

pytestmark = pytest.mark.slow

CUSTOMERS = 8


def lines_of(folder: Path) -> dict[str, list[str]]:
    """The lines of each feed's files, equal ones as one: in two files, a record would be delivered again."""
    lines = {
        feed.name: Counter(
            line
            for path in sorted((folder / feed.name / "landing").glob("*.json"))
            for line in path.read_text().splitlines()
        )
        for feed in FEEDS
    }
    return {feed: ["\n".join([line] * times) for line, times in counted.items()] for feed, counted in lines.items()}


def deliveries(lines: dict[str, list[str]], rng: random.Random, most: int) -> list[list[tuple[str, str]]]:
    """The lines shuffled into files of (feed, content), those shuffled into batches; the first has each feed."""
    batches: list[list[tuple[str, str]]] = [[] for _ in range(rng.randint(2, most))]
    for feed, of_feed in lines.items():
        shuffled = rng.sample(of_feed, len(of_feed))
        # Files of several lines: two files of one equal line each would be one file that is delivered twice.
        places = range(3, len(shuffled) - 2, 3)
        cuts = sorted(rng.sample(places, min(rng.randint(1, 6), len(places))))
        files = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
        for number, file in enumerate(files):
            batch = batches[0] if number == 0 else rng.choice(batches)
            batch.append((feed, rng.choice(["\n", "\r\n", ",\n"]).join(file)))
    return [rng.sample(batch, len(batch)) for batch in batches if batch]


def tables(stedi: Stedi) -> dict[str, Counter[tuple[Any, ...]]]:
    """The rows of every table, without the file and the run that brought them."""
    frames = {name: stedi.inputs.frame(name) for name in TABLES}
    return {name: Counter(map(tuple, frame.drop("file", "run").collect())) for name, frame in frames.items()}


def test_the_end_state_is_that_of_one_delivery_whatever_the_files_and_their_order(
    tmp_path: Path, spark: Any, rounds: Callable[[int, int], int]
) -> None:
    write_feeds(tmp_path / "sample", customers=CUSTOMERS)
    # A small delivery may consist of what is wrong with the sample.
    environment = {"STEDI_QUARANTINE_LIMIT": "1"}
    at_once = Stedi(tmp_path / "at once", {**environment, "STEDI_SOURCE": str(tmp_path / "sample")})
    assert at_once.materialize().success
    expected = tables(at_once)
    assert all(expected[name] for name in TABLES if not name.endswith("_quarantine"))
    lines = lines_of(tmp_path / "sample")
    for seed in range(rounds(1, 100)):
        rng = random.Random(seed)
        stedi = Stedi(tmp_path / str(seed), environment)
        for number, batch in enumerate(deliveries(lines, rng, rounds(2, 4))):
            for place, (feed, content) in enumerate(batch):
                stedi.deliver(feed, content, f"{rng.randrange(10**6)}-{number}-{place}.json")
            # A check may stop what is made of a part of the feeds, as where nothing joins yet.
            outcome = stedi.materialize()
        assert outcome.success, f"seed {seed}: {outcome.failure}"
        found = tables(stedi)
        assert {name for name in TABLES if found[name] != expected[name]} == set(), f"seed {seed}"
