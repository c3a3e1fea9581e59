"""Whatever was delivered, taken back, run in parts or killed before: every table is what a rebuild would make it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pyspark.sql import SparkSession

from tests.histories.machine import Lakehouse


@pytest.mark.slow
def test_after_any_history_every_table_is_what_a_rebuild_would_make_it(
    spark: SparkSession, rounds: Callable[[int, int], int]
) -> None:
    trained = []

    class Counted(Lakehouse):
        def teardown(self) -> None:
            super().teardown()
            trained.append(self.trained)

    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=rounds(5, 300),
            stateful_step_count=rounds(8, 14),
            derandomize=bool(rounds(1, 0)),
            # A history takes seconds: what fails is shown as it happened, to be made smaller by hand.
            phases=(Phase.generate,),
            database=None,
            print_blob=True,
        ),
    )
    assert sum(map(bool, trained)) > len(trained) / 2
