"""Whatever bytes a file holds, both engines read it alike, and each character is in a record, accepted or quarantined.

Many lines are read with each query, because a query on Apache Spark takes a third of a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import FEEDS, Feed
from tests.conformance import hostile
from tests.conformance.reconciliation import reconcile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def both_engines(spark: SparkSession, apache_spark: SparkSession) -> None:
    """Both engines are needed."""


edits = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from([None, *hostile.SCRAPS, *hostile.NUMBERS, *hostile.TEXTS])),
    max_size=3,
)


def damage(text: str, changes: list[tuple[int, str | None]]) -> str:
    """The text with scraps thrown in, and characters removed."""
    for place, scrap in changes:
        at = place % (len(text) + 1)
        text = text[:at] + (scrap or "") + text[at + (scrap is None) :]
    return text


def files_of(feed: Feed) -> st.SearchStrategy[list[bytes]]:
    """A few files, each of damaged records in some layout and encoding."""
    line = st.builds(damage, st.sampled_from(hostile.LINES[feed.name]), edits)
    separator = st.sampled_from(["\n", "\r\n", ",\n", "", ", ", "\r", "\n  ", "\n\n"])
    text = st.builds(lambda between, lines: between.join(lines), separator, st.lists(line, min_size=1, max_size=25))
    encoding = st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16", "cp037"])
    content = st.builds(lambda one, name: one.encode(name, "replace"), text, encoding)
    # The first record ensures that the feed is there at all.
    return st.lists(content, min_size=1, max_size=12).map(lambda files: [hostile.LINES[feed.name][0].encode(), *files])


def test_both_engines_find_every_character_of_any_files(
    tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]
) -> None:
    @settings(max_examples=rounds(4, 150), deadline=None, derandomize=True)
    @given(st.data())
    def examples(data: st.DataObject) -> None:
        feed = data.draw(st.sampled_from(FEEDS))
        reconcile(tmp_path_factory.mktemp("files"), feed, data.draw(files_of(feed)))

    examples()


def test_both_engines_find_every_character_of_many_damaged_lines(
    tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]
) -> None:
    for number in range(rounds(2, 120)):
        feed = FEEDS[number % len(FEEDS)]
        rng = random.Random(number)
        lines = list(hostile.damaged(hostile.LINES[feed.name], 2_000, seed=number))
        files = [
            "\n".join(lines[start : start + 250]).encode("utf-8", "surrogatepass") for start in range(0, 2_000, 250)
        ]
        # Bytes are damaged too: a flipped bit makes text that is no UTF-8, and another file of the same lines.
        flipped = bytearray(files[0])
        for _ in range(20):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        reconcile(tmp_path_factory.mktemp("lines"), feed, [*files, bytes(flipped)])
