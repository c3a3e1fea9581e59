"""Whatever was delivered, taken back, run in parts or killed before: every table is what a rebuild would make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from tests.histories.history import History, News, Run, histories
from tests.servers.ministack import Aws
from tests.stedi_on_aws import StediOnAws
from tests.support import Stedi

PHASES = (Phase.explicit, Phase.generate)
"""A history takes seconds: it is shown as it happened, and made smaller by hand."""
EVERYTHING: Run = ("everything",)
OF_EACH_KIND: list[tuple[list[News], Run]] = [
    ([("steps", "late.json", "ann", "ann", [4])], EVERYTHING),
    ([("says", "cleo", 4, "cleo")], ("part", "customers")),  # Cleo had readings before
    ([("moves", "2.json", [("bob", 3, 1), ("bob", 3, 1)])], ("killed_after", 3)),  # replaced, and twice in one file
    ([("other_rule",)], EVERYTHING),  # Ann and Cleo have readings from before they agreed
    ([("in_doubt", "bob", "bob", True), ("noise", "step_trainer")], ("part", "all but landing")),
    ([("says", "bob", 0, "pair"), ("says", "ann", 1, "pair")], EVERYTHING),  # of which nobody in particular is trained
    ([("again", 5, "1.json", True), ("says", "ann", None, "ann")], EVERYTHING),
    ([], ("maintained", True)),
    ([("vanishes", 1), ("taken_back", 4), ("steps", "1.json", "bob", "pair", [1, 2])], ("killed_after", 9)),
    ([], ("part", "curated")),
    ([("other_code",)], EVERYTHING),
]
"""Before hypothesis makes histories up."""
KILLED_BETWEEN_THE_TABLES_OF_A_FEED: list[tuple[list[News], Run]] = [
    ([("moves", "3.json", [("ann", 0, 1)])], ("killed_after", 1))
]
"""Its quarantine knew the new files, its records did not: they were never read."""


def live(
    days: list[tuple[list[News], Run]],
    *,
    made_before: bool = True,
    rebuild_above: float = 1,
    stedi: Stedi | None = None,
) -> History:
    """Let that happen to a new lakehouse. It is gone then; what was counted stays."""
    with History(rebuild_above, stedi) as history:
        if made_before:
            history.day()
        for news, run in days:
            history.day(news, run)
        if run != EVERYTHING:
            history.day()
        history.day(run=("nothing_new",))
        history.day(run=("rebuilt_alike",))
    return history


@pytest.mark.slow
def test_after_any_history_every_table_is_what_a_rebuild_would_make_it(
    spark: SparkSession, rounds: Callable[[int, int], int]
) -> None:
    lived: list[History] = []

    @settings(max_examples=rounds(1, 300), derandomize=bool(rounds(1, 0)), phases=PHASES)
    @given(
        days=histories(most_days=rounds(2, 6)),
        made_before=st.sampled_from([True, True, True, False]),
        rebuild_above=st.sampled_from([1 / 3, 1, 1]),
    )
    @example(days=KILLED_BETWEEN_THE_TABLES_OF_A_FEED, made_before=True, rebuild_above=1)
    @example(days=OF_EACH_KIND, made_before=True, rebuild_above=1)
    def hold(days: list[tuple[list[News], Run]], made_before: bool, rebuild_above: float) -> None:
        lived.append(live(days, made_before=made_before, rebuild_above=rebuild_above))

    hold()
    assert sum(history.trained > 0 for history in lived) > len(lived) / 2
    assert sum(history.world.made["by days"] > 0 for history in lived) > len(lived) / 2


@pytest.mark.slow
def test_a_history_of_each_kind_is_the_same_on_apache_spark(
    stedi: Stedi, apache_spark: SparkSession, rounds: Callable[[int, int], int]
) -> None:
    if not rounds(0, 1):
        pytest.skip("runs of each engine are compared in tests/conformance/ as well: --full")
    stedi.engine = "local"
    live(OF_EACH_KIND, stedi=stedi)


@pytest.mark.slow
def test_a_history_of_each_kind_is_the_same_in_s3_and_glue(
    tmp_path: Path, aws: Aws, spark: SparkSession, rounds: Callable[[int, int], int]
) -> None:
    if not rounds(0, 1):
        pytest.skip("commits of days in S3 and Glue are tested in tests/resources/iceberg/ as well: --full")
    live(OF_EACH_KIND, stedi=StediOnAws(tmp_path, aws=aws))
