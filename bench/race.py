"""Running the rows in turns, and holding every run to make the same tables.

Belongs here: the order of runs, and what is checked when. In the warm-up, all tables of all programs are compared,
value by value; no time is known before that. After each timed run the row counts are compared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.contestants import ROOT, Contestant, Lakehouse
from bench.measure import CommandFailedError, Measurement, measure
from bench.steps import Steps, steps_of
from bench.tables import TABLES, Digest, differences, digest, row_count

LARGE = 500 * 2**20
"""Bytes of the feeds from which on a run is long: there are fewer of them then."""

Counts = dict[str, int]


class UnequalTablesError(Exception):
    """The programs did not make the same tables, so their times say nothing."""


@dataclass
class Race:
    """All timed runs: of each program by its name, and of each run by its round."""

    runs: dict[str, dict[int, Measurement]] = field(default_factory=dict)
    steps: dict[str, dict[int, Steps]] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)


def default_rounds(feed_bytes: int) -> int:
    """Return how many timed runs there are, unless somebody says otherwise."""
    return 5 if feed_bytes < LARGE else 3


def rounds_of(contestant: Contestant, rounds: int, feed_bytes: int) -> int:
    """Return in how many of the rounds a program takes part: the naive one takes so long that it has fewer."""
    if contestant.name != "naive":
        return rounds
    return min(rounds, 3 if feed_bytes < LARGE else 1)


def race(contestants: Sequence[Contestant], rounds: int, feed_bytes: int) -> Race:
    """Warm up and compare all tables, and then let the programs take turns. UnequalTablesError, CommandFailedError."""
    result = Race(counts=_warm_up(contestants))
    for number in range(1, rounds + 1):
        taking_part = [one for one in contestants if number <= rounds_of(one, rounds, feed_bytes)]
        # Every other round in the opposite order: nobody always comes after the same one.
        for contestant in taking_part if number % 2 else reversed(taking_part):
            _say(f"round {number} of {rounds}: {contestant.title}")
            result.runs.setdefault(contestant.name, {})[number] = run = _run(contestant)
            _check_counts(contestant, result.counts)
            if isinstance(contestant, Lakehouse):
                result.steps.setdefault(contestant.name, {})[number] = steps_of(contestant.home, run)
            contestant.clear()
    return result


def _warm_up(contestants: Sequence[Contestant]) -> Counts:
    made: dict[str, dict[str, Digest]] = {}
    for contestant in contestants:
        _say(f"warm-up: {contestant.title}")
        _run(contestant)
        made[contestant.name] = {table: digest(contestant.files(table)) for table in TABLES}
        contestant.clear()
    if unequal := differences(made):
        clean = "All but the lakehouse read clean feeds only: one JSON object a line, spelled as feeds are today."
        raise UnequalTablesError("\n".join((*unequal, clean)))
    return {table: one.rows for table, one in next(iter(made.values())).items()}


def _run(contestant: Contestant) -> Measurement:
    def once() -> Measurement:
        try:
            return measure(contestant.command, ROOT, contestant.environment)
        except CommandFailedError as error:
            raise CommandFailedError(f"{contestant.title} failed: {error}") from error

    contestant.prepare(once)
    os.sync()  # what earlier runs wrote must not be written during this one
    return once()


def _check_counts(contestant: Contestant, expected: Counts) -> None:
    counts = {table: row_count(contestant.files(table)) for table in TABLES}
    if counts != expected:
        raise UnequalTablesError(f"{contestant.title} made {counts}, and in the warm-up it was {expected}.")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
