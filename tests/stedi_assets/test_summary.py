"""The table that the command line ends with says what there is, and what its checks found."""

from __future__ import annotations

import json

from rich.console import Console

from stedi_assets.summary import summary
from tests.stedi_assets.examples import CUSTOMERS, DISTANCES, READINGS, as_delivered
from tests.support import Stedi


def line_of(table: str, stedi: Stedi) -> str:
    console = Console(width=300)
    with console.capture() as shown:
        console.print(summary(stedi.instance, stedi.settings))
    return next(line for line in shown.get().splitlines() if f" {table} " in line)


def test_a_run_that_does_not_come_to_a_table_takes_nothing_from_what_its_checks_found(stedi: Stedi) -> None:
    assert "not made yet" in line_of("customer_trusted", stedi)
    for feed, rows in {"customer": CUSTOMERS, "accelerometer": READINGS, "step_trainer": DISTANCES}.items():
        stedi.deliver(feed, "\n".join(map(json.dumps, as_delivered(feed, rows))))
    assert stedi.materialize().success
    before = line_of("customer_trusted", stedi)
    assert "passed" in before
    stedi.deliver("customer", "no record", "2.json")
    assert not stedi.materialize().success
    assert "1 failed" in line_of("customer_landing", stedi)
    assert line_of("customer_trusted", stedi) == before
