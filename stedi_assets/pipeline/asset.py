"""A table as a Dagster asset: what the UI knows of it before its first run, and the step that makes it.

Belongs here: what all tables have in common as assets, and what of them is tried again. Does not belong here: how a
version is made (`step.py`).
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.iceberg.lakehouse import Lakehouse
from stedi_assets.contracts import ASSETS
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.inputs import Inputs
from stedi_assets.pipeline.step import Step
from stedi_assets.pipeline.table import LakehouseTable


class RetryPolicy(dg.RetryPolicy):
    """Dagster's, which also tries again what was interrupted: a step went on after Ctrl-C. This one lets it end."""

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds until the next attempt; what Dagster is about to try again is the error that it handles now."""
        error = sys.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return super().calculate_delay(attempt_num)


RETRY = RetryPolicy(max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL)
"""For what passes by itself: throttling, a lost connection or session, another run's commit. Other errors forbid it."""


def table_asset(
    table: LakehouseTable,
    options: Mapping[str, str],
    lakehouse: Lakehouse,
    shrink_limit: float = 1.0,
    rebuild: bool = False,
    source: str = "",
) -> dg.AssetsDefinition:
    """The asset and its checks. Nothing is opened: `lakehouse` only says where the table will lie.

    `source` is the one that the feeds are read from; empty: any.
    """

    @dg.multi_asset(**step_of(table.name, [table], options, lakehouse, table.inputs))
    def step(context: dg.AssetExecutionContext, spark: SparkEngine, lakehouse: Lakehouse) -> Iterator[Any]:
        yield from Step(context, Inputs(spark, lakehouse, options), [table], shrink_limit, rebuild, source).run()

    return step


def step_of(
    name: str, tables: Sequence[LakehouseTable], options: Mapping[str, str], lakehouse: Lakehouse, deps: Sequence[str]
) -> dict[str, Any]:
    """The arguments of `dg.multi_asset` for one step that makes these tables from the assets `deps`."""
    return {
        "name": name,
        "specs": [spec(table, options, lakehouse, deps) for table in tables],
        "check_specs": [check.spec(table.name) for table in tables for check in table.all_checks],
        "can_subset": True,
        "retry_policy": RETRY,
    }


def spec(table: LakehouseTable, options: Mapping[str, str], lakehouse: Lakehouse, deps: Sequence[str]) -> dg.AssetSpec:
    """What the UI knows of a table before its first run."""
    contract = table.contract
    return dg.AssetSpec(
        contract.name,
        deps=deps,
        description=f"{inspect.getdoc(table.function)}\n\n**One row:** {contract.grain}.",
        group_name=contract.zone.value,
        kinds={"pyspark", "iceberg"},
        owners=[metadata.OWNER],
        tags=metadata.tags(contract),
        code_version=table.code_version(options),
        metadata={
            "dagster/column_schema": metadata.schema(contract),
            "dagster/column_lineage": metadata.column_lineage(contract, map(ASSETS.__getitem__, deps)),
            "dagster/table_name": lakehouse.identifier(contract.name),
            "dagster/uri": lakehouse.uri(contract.name),
        },
    )
