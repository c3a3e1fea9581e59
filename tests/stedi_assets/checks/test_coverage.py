"""Shares: one that is low warns, nothing at all stops, and where there could be nothing nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from stedi_assets.pipeline.checks import Facts
from tests.stedi_assets.checks.worlds import ALL_MEASURED, ALL_READ, ERROR, MANY, MATCHING, WARN, found, pair
from tests.stedi_assets.examples import customer, reading
from tests.support import MakeFrame

READ = {"accelerometer_records": ALL_READ}

CASES = {
    "readings_of_known_customers": (
        "accelerometer_trusted",
        {**READ, "customer_records": [*MANY[:8], customer("C8@x ", consent=None)]},
        {**READ, "customer_records": MANY[:8]},
        {**READ, "customer_records": [customer("ann@x")]},
        (8, 10, 0.9),
    ),
    "consenting_customers_with_readings": (
        "customers_curated",
        {"customer_trusted": MANY, "accelerometer_trusted": ALL_READ[:5]},
        {"customer_trusted": MANY, "accelerometer_trusted": ALL_READ[:4] * 3},
        {"customer_trusted": MANY, "accelerometer_trusted": [reading("nobody@x")]},
        (4, 10, 0.5),
    ),
    "curated_customers_with_distances": (
        "step_trainer_trusted",
        {"customers_curated": MANY, "rows": ALL_MEASURED[:5]},
        {"customers_curated": MANY, "rows": ALL_MEASURED[:4] * 3},
        {"customers_curated": MANY, "rows": []},
        (4, 10, 0.5),
    ),
    "distances_matched": (
        "machine_learning_curated",
        # A shared Step Trainer (S9) is no mismatch: its distances are dropped on purpose.
        {**MATCHING, "customer_trusted": [*MANY, customer("d@x", "S9")], "accelerometer_trusted": ALL_READ[:5]},
        {**MATCHING, "customer_trusted": [*MANY, customer("d@x", "S9")], "accelerometer_trusted": ALL_READ[:4] * 3},
        {**MATCHING, "accelerometer_trusted": [reading("c1@x", 2)]},
        (4, 9, 0.5),
    ),
    "accelerometer_readings_matched": (
        "machine_learning_curated",
        {**MATCHING, "rows": MATCHING["rows"][:5]},
        {**MATCHING, "rows": [*MATCHING["rows"][:4]] * 3},
        {**MATCHING, "rows": [pair("S1", 2)]},
        (4, 10, 0.5),
    ),
}
"""By check: its table, a world in which just enough is covered, one with too little, one with nothing, and what the
one with too little says: covered, of, warns below."""


@pytest.mark.parametrize("check", CASES)
def test_a_share_that_is_low_warns_with_its_numbers_and_nothing_at_all_stops(frame: MakeFrame, check: str) -> None:
    table, enough, low, nothing, (covered, of, least) = CASES[check]
    assert found(frame, table, check, enough).passed
    warned = found(frame, table, check, low)
    assert (warned.passed, warned.severity) == (False, WARN)
    assert warned.description == f"{covered} of {of} ({covered / of:.1%}); expected at least {least:.0%}."
    shown: dict[str, Any] = {name: entry.value for name, entry in warned.metadata.items()}
    assert shown == {"share": round(covered / of, 4), "covered": covered, "of": of, "warns below": least}
    stopped = found(frame, table, check, nothing)
    assert (stopped.passed, stopped.severity) == (False, ERROR)


@pytest.mark.parametrize("check", CASES)
def test_nothing_covered_only_warns_where_an_input_is_empty(frame: MakeFrame, check: str) -> None:
    table, _, _, nothing, _ = CASES[check]
    result = found(frame, table, check, nothing, Facts(rows_published=0, an_input_is_empty=True))
    assert (result.passed, result.severity) == (False, WARN)


@pytest.mark.parametrize("check", CASES)
def test_what_cannot_be_measured_passes_where_there_is_nothing_yet_and_stops_where_an_input_turned_empty(
    frame: MakeFrame, check: str
) -> None:
    nothing_yet, turned_empty = (
        found(frame, CASES[check][0], check, {}, Facts(an_input_is_empty=True, an_input_turned_empty=turned))
        for turned in (False, True)
    )
    assert (nothing_yet.passed, nothing_yet.description) == (True, "There is nothing to measure yet.")
    assert (turned_empty.passed, turned_empty.severity) == (False, ERROR)
    assert turned_empty.description == "Not to be measured: an input of the table has turned empty."


def test_nothing_covered_names_the_rule_that_dropped_most_rows(frame: MakeFrame) -> None:
    table, _, _, nothing, _ = CASES["curated_customers_with_distances"]
    facts = Facts(dropped={"a small rule": 1, "a large rule": 2_999})
    stopped = found(frame, table, "curated_customers_with_distances", nothing, facts)
    assert str(stopped.description).endswith(" Most rows were dropped for this reason: a large rule (2,999).")


def test_a_distance_that_meets_more_than_ten_readings_is_warned_of(frame: MakeFrame) -> None:
    per_match = "machine_learning_curated", "readings_per_match"
    ten = found(frame, *per_match, {**MATCHING, "accelerometer_trusted": [reading("c1@x")] * 10})
    assert (ten.passed, ten.description) == (
        True,
        "10.00 accelerometer readings per matched distance reading; expected at most 10.",
    )
    eleven = found(frame, *per_match, {**MATCHING, "accelerometer_trusted": [reading("c1@x")] * 11})
    assert (eleven.passed, eleven.severity) == (False, WARN)
    shown = {name: entry.value for name, entry in eleven.metadata.items()}
    assert shown == {"readings per match": 11.0, "distance readings matched": 1}
