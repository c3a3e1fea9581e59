"""What a run leaves in DAGSTER_HOME: little more than Dagster's own rows, and for as long as tables have a history."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy

from resources.history import Instance, keep_event_log_open
from stedi_assets.contracts import ASSETS, FEEDS
from stedi_assets.definitions import build_definitions
from stedi_assets.pipeline.report import newest_evaluation
from tests.stedi_assets.examples import CUSTOMERS, deliver_all
from tests.support import ROOT, Stedi

MOST = 1.25
"""How much a run may leave, of what Dagster leaves of the same assets and checks where nothing is said of them."""


@pytest.fixture
def recorded(stedi: Stedi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stedi]:
    """A lakehouse whose runs are recorded in a home like the project's."""
    home = stedi.folder / "home"
    home.mkdir()
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    keep_event_log_open()
    deliver_all(stedi)
    with dg.DagsterInstance.get() as stedi.instance:
        yield stedi


def bare(definition: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """A step of the same assets and checks that says nothing of them."""
    specs = [dg.AssetSpec(spec.key, deps=spec.deps) for spec in definition.specs]
    checks = [
        dg.AssetCheckSpec(spec.name, asset=spec.asset_key, blocking=spec.blocking) for spec in definition.check_specs
    ]

    @dg.multi_asset(name=definition.op.name, specs=specs, check_specs=checks, can_subset=True)
    def step() -> Iterator[Any]:
        for spec in specs:
            found = [
                dg.AssetCheckResult(passed=True, asset_key=check.asset_key, check_name=check.name)
                for check in checks
                if check.asset_key == spec.key
            ]
            yield dg.MaterializeResult(asset_key=spec.key, check_results=found)

    return step


def size(instance: dg.DagsterInstance) -> int:
    """Of the database of all events, in bytes, with what is in its journal."""
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        return sum(connection.execute(sqlalchemy.text("PRAGMA page_count")).scalars()) * 4096


def test_a_run_leaves_little_more_than_dagster_does_where_nothing_is_said(recorded: Stedi) -> None:
    steps = [one for one in build_definitions(recorded.settings).assets or () if isinstance(one, dg.AssetsDefinition)]
    ours = [bare(step) for step in steps if {key.to_user_string() for key in step.keys} <= ASSETS.keys()]
    left = dict[str, int]()
    assert recorded.materialize(*ASSETS).success
    assert dg.materialize(ours, instance=recorded.instance).success
    for name in ("bare", "nothing new", "somebody has withdrawn"):
        if name == "somebody has withdrawn":
            recorded.deliver("customer", CUSTOMERS[1:])
        before = size(recorded.instance)
        made = dg.materialize(ours, instance=recorded.instance) if name == "bare" else recorded.materialize(*ASSETS)
        assert made.success
        left[name] = size(recorded.instance) - before
    assert max(left.values()) <= MOST * left["bare"]


def test_maintenance_forgets_runs_as_old_as_the_versions_that_expire_and_no_page_loses_anything(
    recorded: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = Instance.forget_runs
    monkeypatch.setattr(Instance, "forget_runs", lambda self, old: forget(self, old - timedelta(days=8)))
    instance = recorded.instance
    keys = [dg.AssetKey(name) for name in ASSETS]
    graph = build_definitions(recorded.settings).resolve_asset_graph()
    checks = graph.get_check_keys_for_assets(set(keys))

    def pages() -> list[Any]:
        made = [instance.get_latest_materialization_event(key) for key in keys]
        return [*made, *(newest_evaluation(instance, key) for key in checks)]

    old = [recorded.materialize(*ASSETS).result.run_id for _ in range(2)]
    newest = recorded.materialize(*ASSETS).result.run_id
    shown = pages()
    outcome = recorded.materialize("maintenance")
    assert outcome.metadata("maintenance")["runs forgotten"] == len(old)
    assert {run.run_id for run in instance.get_runs()} == {newest, outcome.result.run_id}
    assert pages() == shown
    assert shown.count(None) < len(FEEDS) + 2  # what is checked at the end of a whole run alone
