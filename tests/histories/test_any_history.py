"""Whatever was delivered, taken back, run in parts or killed before: every table is what a rebuild would make it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from tests.histories.history import History, News, Run, histories


def live(days: list[tuple[list[News], Run]], *, made_before: bool, rebuild_above: float) -> History:
    """Let that happen to a new lakehouse. It is gone then; what was counted stays."""
    with History(rebuild_above) as history:
        if made_before:
            history.day()
        for news, run in days:
            history.day(news, run)
        if run != ("everything",):
            history.day()
        history.day(run=("nothing_new",))
    return history


@pytest.mark.slow
def test_after_any_history_every_table_is_what_a_rebuild_would_make_it(
    spark: SparkSession, rounds: Callable[[int, int], int]
) -> None:
    lived: list[History] = []

    # A history takes seconds: it is shown as it happened, and made smaller by hand.
    @settings(max_examples=rounds(4, 300), derandomize=bool(rounds(1, 0)), database=None, phases=(Phase.generate,))
    @given(
        days=histories(most_days=rounds(3, 6)),
        made_before=st.sampled_from([True, True, True, False]),
        rebuild_above=st.sampled_from([1 / 3, 1, 1]),
    )
    def hold(days: list[tuple[list[News], Run]], made_before: bool, rebuild_above: float) -> None:
        lived.append(live(days, made_before=made_before, rebuild_above=rebuild_above))

    hold()
    assert sum(history.trained > 0 for history in lived) > len(lived) / 2
    assert sum(history.world.made["by days"] > 0 for history in lived) > len(lived) / 2
