"""The asset that keeps the lakehouse small: what it did is on its page, and what it refused to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stedi_assets import maintenance
from stedi_assets.automation import EVERY_MORNING, LAKEHOUSE_JOB
from stedi_assets.contracts import ASSETS, TABLES
from stedi_assets.definitions import build_definitions
from tests.stedi_assets.examples import CUSTOMERS, deliver_all
from tests.support import Stedi


@pytest.fixture
def yesterday(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was replaced today was replaced seven days ago."""
    maintain = maintenance.maintain

    def later(lakehouse: Any, table: Any, history: timedelta) -> Any:
        return maintain(lakehouse, table, history - timedelta(days=7))

    monkeypatch.setattr(maintenance, "maintain", later)


@pytest.mark.usefixtures("yesterday")
def test_who_has_withdrawn_is_in_no_file_once_history_has_expired_and_nobody_notices(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize(*ASSETS).success
    stedi.deliver("customer", CUSTOMERS[1:])
    assert stedi.materialize(*ASSETS).success
    before = {name: stedi.rows(name) for name in TABLES}
    outcome = stedi.materialize("maintenance")
    assert outcome.success
    shown = outcome.metadata("maintenance")
    assert shown["versions expired"] >= 3
    assert shown["versions retained"] == len(TABLES)
    assert shown["files deleted"] > shown["versions expired"]
    assert shown["bytes deleted"] > 0
    assert [record.data["table"] for record in shown["tables"].records] == list(TABLES)
    assert outcome.checks["maintenance", "all_maintained"].passed
    assert {name: stedi.rows(name) for name in TABLES} == before
    assert stedi.materialize(*ASSETS).success
    assert {name: stedi.lakehouse.version(name) for name in TABLES} == {
        name: stedi.lakehouse.history(name)[-1] for name in TABLES
    }


def test_where_it_is_in_doubt_its_page_says_of_which_table_and_why(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize(*ASSETS).success
    next(Path(stedi.lakehouse.root, "stedi", "customer_trusted", "data").rglob("*.parquet")).unlink()
    outcome = stedi.materialize("maintenance")
    assert outcome.success
    found = outcome.checks["maintenance", "all_maintained"]
    assert (found.passed, found.severity.value) == (False, "WARN")
    assert found.description.startswith("customer_trusted: The listing of ")
    assert outcome.metadata("maintenance")["versions retained"] == len(TABLES)


def test_it_has_a_schedule_of_its_own_and_is_no_part_of_the_run_that_makes_tables(stedi: Stedi) -> None:
    definitions = build_definitions(stedi.settings)
    made = definitions.resolve_job_def(LAKEHOUSE_JOB.name).asset_layer.executable_asset_keys
    assert "maintenance" not in {key.to_user_string() for key in made}
    kept = definitions.resolve_job_def(EVERY_MORNING.job_name).asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in kept} == {"maintenance"}
