"""Dagster runs of tables that a test has changed, beside the unchanged ones, in a lakehouse that exists.

Belongs here: the small code location for it. Runs of the real one are `Stedi.materialize`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import dagster as dg

from stedi_assets.definitions import TRUSTED_AND_CURATED, build_definitions
from stedi_assets.pipeline.asset import table_asset
from stedi_assets.pipeline.table import LakehouseTable
from stedi_assets.rules import Consent
from tests.support import Outcome, SharedSpark, Stedi

ASSETS = {table.name: table for table in TRUSTED_AND_CURATED}


def changed(name: str, **differences: object) -> LakehouseTable:
    """The table of that name, with another function or other checks."""
    return replace(ASSETS[name], **differences)  # type: ignore[arg-type]


def run(
    stedi: Stedi,
    tables: Iterable[LakehouseTable],
    consent: Consent = Consent.CUSTOMER,
    *,
    checks: bool = True,
) -> Outcome:
    """Make these tables in one run, whatever has changed, with or without their checks selected."""
    lakehouse = stedi.lakehouse
    definitions = dg.Definitions(
        assets=[table_asset(table, {"consent": consent}, lakehouse, rebuild=True) for table in tables],
        resources={"spark": SharedSpark(lender=stedi.engine), "lakehouse": lakehouse},
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = definitions.resolve_asset_graph().materializable_asset_keys
    selected: set[dg.AssetCheckKey] | None = None if checks else set()
    result = job.get_subset(asset_selection=keys, asset_check_selection=selected).execute_in_process(
        instance=stedi.instance, raise_on_error=False
    )
    evaluations = result.get_asset_check_evaluations()
    return Outcome(result, {(one.asset_key.to_user_string(), one.check_name): one for one in evaluations})


def failed(outcome: Outcome) -> set[str]:
    """The names of the checks that failed as errors."""
    errors = dg.AssetCheckSeverity.ERROR
    return {name for (_, name), one in outcome.checks.items() if not one.passed and one.severity is errors}


def data_folders(stedi: Stedi, table: str) -> list[str]:
    """The folders (and locks) among the table's data files: one for each version, where nothing is left behind."""
    return sorted(path.name for path in Path(stedi.location(table), "data").iterdir())


def snapshot(stedi: Stedi, table: str) -> int:
    """The id of the version that readers see."""
    version = stedi.lakehouse.version(table)
    assert version is not None
    return version.snapshot_id


def checks_of(stedi: Stedi, *assets: str) -> list[dg.AssetCheckKey]:
    """All checks of these assets."""
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    return sorted(graph.get_check_keys_for_assets({dg.AssetKey(name) for name in assets}))


def told(outcome: Outcome, table: str = "") -> dict[tuple[str, str], tuple[bool, str]]:
    """What the run's checks said, of one table or of all."""
    return {key: (check.passed, check.description) for key, check in outcome.checks.items() if table in ("", key[0])}
