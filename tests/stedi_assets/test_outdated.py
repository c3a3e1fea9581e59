"""A partial run never leaves a withdrawn customer served in silence."""

from __future__ import annotations

import re

import pytest

from stedi_assets.cli import remarks
from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all, distance, reading
from tests.support import Stedi

CHECK = "served_tables_know_the_latest_consents"
OUTDATED = "accelerometer_trusted, customers_curated, step_trainer_trusted, machine_learning_curated"


@pytest.fixture
def withdrawn(stedi: Stedi) -> Stedi:
    """Two customers agreed and are served; then one of them withdraws."""
    people = [customer(f"{name}@x.org", name, updated=T, consent=T) for name in ("ann", "bob")]
    deliver_all(
        stedi,
        people,
        [reading(f"{name}@x.org", T) for name in ("ann", "bob")],
        [distance("ann", T), distance("bob", T)],
    )
    assert stedi.materialize().success
    assert remarks(stedi.instance, stedi.settings) == []
    stedi.deliver(
        "customer", as_delivered("customer", [customer("ann@x.org", "ann", updated=T + 1, consent=None)]), "2.json"
    )
    return stedi


def test_a_run_that_stops_at_the_customers_names_the_tables_that_were_made_before(withdrawn: Stedi) -> None:
    outcome = withdrawn.materialize("customer_landing", "customer_records", "customer_quarantine", "customer_trusted")
    assert outcome.success
    found = outcome.checks["customer_trusted", CHECK]
    assert not found.passed
    assert found.description.startswith(f"Made before the latest consents: {OUTDATED}. ")
    (remark,) = remarks(withdrawn.instance, withdrawn.settings)
    assert remark == f"warned: customer_trusted, {CHECK}: {found.description}"
    wanted = re.findall(r"key:(\w+)", remark)
    assert withdrawn.materialize(*wanted).success
    assert remarks(withdrawn.instance, withdrawn.settings) == []


def test_a_table_is_not_made_of_one_that_was_made_before_the_latest_consents(withdrawn: Stedi) -> None:
    withdrawn.materialize("customer_landing", "customer_records", "customer_quarantine", "customer_trusted")
    outcome = withdrawn.materialize("machine_learning_curated")
    assert not outcome.success
    assert "step_trainer_trusted was made before the latest consents" in outcome.failure
    assert "--select '+key:step_trainer_trusted'" in outcome.failure
    assert "lost or invented" not in outcome.failure


def test_a_whole_run_leaves_nothing_outdated(withdrawn: Stedi) -> None:
    outcome = withdrawn.materialize()
    assert outcome.checks["customer_trusted", CHECK].passed
    assert remarks(withdrawn.instance, withdrawn.settings) == []
    assert withdrawn.counts()["machine_learning_curated"] == 1


def test_a_customer_in_doubt_is_counted_in_the_summary(withdrawn: Stedi) -> None:
    withdrawn.environment["STEDI_QUARANTINE_LIMIT"] = "1"
    withdrawn.deliver("customer", '{"email":"bob@x.org","lastUpdateDate":NaN}\n', "3.json")
    assert withdrawn.materialize().success
    assert remarks(withdrawn.instance, withdrawn.settings)[-1].startswith("In doubt, and dropped: 1 customers")


def test_a_run_in_which_a_table_is_refused_names_what_it_has_left_outdated(withdrawn: Stedi) -> None:
    """The run was to make them: what counts is what is served when it ends."""
    withdrawn.deliver("accelerometer", as_delivered("accelerometer", [reading("nobody@x.org", T)]))
    outcome = withdrawn.materialize()
    assert "accelerometer_trusted was not published" in outcome.failure
    found = outcome.checks["customer_trusted", CHECK]
    assert found.description.startswith(f"Made before the latest consents: {OUTDATED}. ")
