"""What Dagster's pages say of a table: what was made of it, or which version is served where it was not made.

Belongs here: what is recorded of a version, and where a step fails. Without that, a table that is served as before
looks as if it had failed: Dagster shows each check that a failed run did not come to as one that failed. Does not
belong here: why a version is refused (`step.py`), or a contract in the words of the UI (`metadata.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from resources.errors import LakehouseError
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Version
from stedi_assets.contracts import TABLES, Table
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.changes import Changes
from stedi_assets.pipeline.inputs import WHAT, Inputs, sentence_of_outdated

ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}

Told = dg.AssetObservation | dg.AssetCheckEvaluation


def say_what_was_made(table: Table, changes: Changes, version: Version, lakehouse: Lakehouse) -> dict[str, Any]:
    """The version's size and some of its rows; what was made anew, and why; how much was written, and how much stayed.

    Nothing is scanned: the commit and the manifests say it.
    """
    shown: dict[str, Any] = {
        "dagster/row_count": version.rows,
        "size (bytes)": version.size,
        "snapshot id": str(version.snapshot_id),
        "preview": metadata.preview(
            table, lakehouse.preview(table.name, version.snapshot_id, table.column_names, metadata.PREVIEW_ROWS)
        ),
    }
    if changes.nothing:
        since = dg.MetadataValue.timestamp(version.committed_ms / 1000)
        return {**shown, "unchanged since": since, "made": version.properties.get(WHAT, "")}
    written = int(version.properties.get("added-records", 0))
    shown |= {"made": changes.why, "rows written": written, "rows retained": version.rows - written}
    if table.taken:
        days = lakehouse.rows_by_day(table.name).keys()
        made = len(days) if changes.days is None else len(days & changes.days)
        shown |= {"days written": made, "days retained": len(days) - made}
    return shown


def say_what_is_served(
    context: dg.AssetExecutionContext, lakehouse: Lakehouse, shown: Mapping[str, Any]
) -> Iterator[Told]:
    """Of each table that the run does not make because this step fails: what is served, and what checks found of that.

    `shown` is what the pages of the step's own tables show beside.
    """
    layer = context.job_def.asset_layer
    own = context.selected_asset_keys
    downstream = dg.AssetSelection.assets(*own).downstream(include_self=False).resolve(layer.asset_graph)
    failed = ", ".join(sorted(key.to_user_string() for key in own))
    for key in (*own, *sorted(downstream & set(layer.selected_asset_keys))):
        why = f"by run {context.run_id}, which says why" if key in own else f"{failed} was not made"
        served = _served(lakehouse, key.to_user_string())
        yield dg.AssetObservation(key, metadata={"not made": why, **served, **(shown if key in own else {})})
        for check in layer.asset_graph.get_check_keys_for_assets({key}):
            yield from _found_before(
                context, check, {"not run": dg.MetadataValue.text(f"{failed} was not made"), **served}
            )


def with_outdated(context: dg.AssetExecutionContext, inputs: Inputs, error: LakehouseError) -> LakehouseError:
    """The error and, where that is so, that the tables which are not made may hold somebody who has withdrawn."""
    layer, own = context.job_def.asset_layer, context.selected_asset_keys
    not_made = dg.AssetSelection.assets(*own).downstream().resolve(layer.asset_graph) if own else set()
    names = {key.to_user_string() for key in not_made & set(layer.selected_asset_keys)}
    with suppress(LakehouseError):  # a table that cannot be read: the error says so
        fresh = Inputs(inputs.spark, inputs.lakehouse, inputs.options)  # another run may have published meanwhile
        if outdated := [name for name in fresh.outdated_tables() if name in names]:
            said = f"{str(error.description).rstrip('.')}. {sentence_of_outdated(outdated)}."
            return LakehouseError(said, retry=bool(error.allow_retries))
    return error


def newest_evaluation(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """What the check found when it last came to an end: a run that broke off before it changed nothing."""
    newest = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=ENDED)
    event = newest[0].event.dagster_event if newest and newest[0].event else None
    return None if event is None else event.asset_check_evaluation_data


def _served(lakehouse: Lakehouse, name: str) -> dict[str, dg.MetadataValue[Any]]:
    version = None
    with suppress(LakehouseError):  # a table that cannot be read: the run says so
        version = lakehouse.version(name) if name in TABLES else None
    if version is None:
        return {"served": dg.MetadataValue.text("nothing yet")} if name in TABLES else {}
    return {
        "served": dg.MetadataValue.text(f"{version.rows:,} rows, snapshot {version.snapshot_id}"),
        "served since": dg.MetadataValue.timestamp(version.committed_ms / 1000),
    }


def _found_before(
    context: dg.AssetExecutionContext, key: dg.AssetCheckKey, told: Mapping[str, dg.MetadataValue[Any]]
) -> Iterator[Told]:
    """What a check that the run was to execute, and did not, found of the version that is still served."""
    newest = context.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    found = newest_evaluation(context.instance, key)
    if newest and newest[0].run_id == context.run_id and newest[0].status not in ENDED and found is not None:
        yield dg.AssetCheckEvaluation(
            asset_key=found.asset_key,
            check_name=found.check_name,
            passed=found.passed,
            metadata={**found.metadata, **told},
            target_materialization_data=found.target_materialization_data,
            severity=found.severity,
            description=found.description,
            blocking=found.blocking,
        )
