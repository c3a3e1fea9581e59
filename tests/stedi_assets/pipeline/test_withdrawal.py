"""A customer withdraws: what is published breaks its promise from then on, until it is made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all
from tests.stedi_assets.runs import checks_of, failed, snapshot, told
from tests.support import Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONSENT_CHECKS = {
    "customer_trusted": "only_consenting_customers",
    "accelerometer_trusted": "only_readings_of_consenting_customers",
    "customers_curated": "only_consenting_customers",
    "step_trainer_trusted": "only_readings_of_consenting_holders",
    "machine_learning_curated": "only_readings_of_consenting_holders",
}
OUTDATED = "served_tables_know_the_latest_consents"


@pytest.fixture(scope="module")
def withdrawn(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Stedi, Outcome]:
    """A lakehouse after whose one full run Ann's withdrawal has landed. Tests only look, or try to publish in vain."""
    stedi = Stedi(tmp_path_factory.mktemp("withdrawn"))
    deliver_all(stedi)
    made = stedi.materialize()
    withdraw(stedi, " ANN@x.org")
    assert stedi.materialize("customer_landing", "customer_records").success
    return stedi, made


def withdraw(stedi: Stedi, email: str) -> None:
    stedi.deliver(
        "customer", as_delivered("customer", [customer(email, "ann", updated=T + 99, consent=None)]), "2.json"
    )


def test_a_withdrawal_fails_the_consent_checks_alone_until_the_tables_are_made_anew(
    withdrawn: tuple[Stedi, Outcome],
) -> None:
    stedi, made = withdrawn
    before = {table: snapshot(stedi, table) for table in CONSENT_CHECKS}
    alone = stedi.materialize(checks=checks_of(stedi, *CONSENT_CHECKS))
    assert not alone.success
    assert alone.materialized == set()
    assert {table: snapshot(stedi, table) for table in CONSENT_CHECKS} == before
    for table, consent_check in CONSENT_CHECKS.items():
        was, now = told(made, table), told(alone, table)
        assert not now.pop((table, consent_check))[0]
        if table == "customer_trusted":
            passed, sentence = now.pop((table, OUTDATED))
            assert not passed
            assert all(name in sentence for name in CONSENT_CHECKS)
        assert now == {key: was[key] for key in now}
        assert was.keys() - now.keys() <= {(table, consent_check), (table, OUTDATED)}


@pytest.mark.parametrize("table", ["accelerometer_trusted", "customers_curated", "machine_learning_curated"])
def test_a_table_is_not_made_from_upstream_tables_that_do_not_know_of_a_withdrawal(
    withdrawn: tuple[Stedi, Outcome], table: str
) -> None:
    stedi, _ = withdrawn
    before = snapshot(stedi, table)
    outcome = stedi.materialize(table)
    assert "was made before the latest consents, and may hold somebody who has withdrawn." in outcome.failure
    assert outcome.materialized == set()
    assert snapshot(stedi, table) == before


def test_the_rows_of_a_table_add_up_though_its_upstream_tables_were_made_anew(stedi: Stedi) -> None:
    deliver_all(stedi)
    upstream = ["customer_trusted", "accelerometer_trusted"]
    upstream += [f"{feed}_{kind}" for feed in ("customer", "accelerometer") for kind in ("landing", "records")]
    assert stedi.materialize(*upstream, "customers_curated").success
    withdraw(stedi, "ann@x.org")
    assert stedi.materialize(*upstream).success
    alone = stedi.materialize(checks=checks_of(stedi, "customers_curated"))
    assert failed(alone) == {"only_consenting_customers"}
    assert alone.checks["customers_curated", "rows_reconciled"].passed
