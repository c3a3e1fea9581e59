"""A delivery that is refused stops nobody else: consents of other feeds go through, and the run fails and says why."""

from __future__ import annotations

import json

import pytest

from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all, distance, reading
from tests.support import Outcome, Stedi

NAMES = ("ann", "bob")


@pytest.fixture
def outcome(stedi: Stedi) -> Outcome:
    """Two customers are served. One withdraws, while the Step Trainer's feed has changed the name of a field."""
    people = [customer(f"{name}@x.org", name, updated=T, consent=T) for name in NAMES]
    deliver_all(stedi, people, [reading(f"{name}@x.org", T) for name in NAMES], [distance(name, T) for name in NAMES])
    assert stedi.materialize().success
    withdrawn = [customer("ann@x.org", "ann", updated=T + 1, consent=None)]
    stedi.deliver("customer", as_delivered("customer", withdrawn), "2.json")
    renamed = {"sensorReadingTime": T, "serial": "bob", "distanceFromObject": 1}
    stedi.deliver("step_trainer", json.dumps(renamed) + "\n", "2.json")
    return stedi.materialize()


def test_who_withdrew_is_gone_from_every_table_although_another_feed_is_refused(stedi: Stedi, outcome: Outcome) -> None:
    counts = {name: stedi.counts()[name] for name in ("customer_trusted", "step_trainer_trusted")}
    assert counts == {"customer_trusted": 1, "step_trainer_trusted": 1}
    assert [row[1] for row in stedi.rows("machine_learning_curated")] == ["bob"]


def test_the_run_fails_and_says_why_once(outcome: Outcome) -> None:
    assert not outcome.success
    assert "step_trainer_records was not published, the previous version is still served" in outcome.failure
    assert "serialNumber is missing" in outcome.failure


def test_the_page_shows_what_is_served_and_since_when_and_one_red_check(outcome: Outcome) -> None:
    assert "serialNumber is missing" in outcome.metadata("step_trainer_records")["refused"]
    assert "served since" in outcome.metadata("step_trainer_records")
    red = {key for key, check in outcome.checks.items() if not check.passed and key[0].startswith("step_trainer_r")}
    assert red == {("step_trainer_records", "delivery_accepted")}


def test_the_next_delivery_that_is_mended_is_taken(stedi: Stedi, outcome: Outcome) -> None:
    stedi.deliver("step_trainer", as_delivered("step_trainer", [distance("bob", T + 1)]), "2.json")
    again = stedi.materialize()
    assert again.success
    assert again.checks["step_trainer_records", "delivery_accepted"].passed
    assert "refused" not in again.metadata("step_trainer_records")
