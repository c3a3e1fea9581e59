"""What the lakehouse holds, as a short table for the terminal: `python -m stedi_assets.summary`.

Belongs here: the tables' rows as the lakehouse has them, and what their checks found last, as Dagster remembers it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from typing import TYPE_CHECKING

import click
import dagster as dg
from dagster._core.errors import DagsterHomeNotSetError
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from resources.iceberg.lakehouse import Lakehouse
from resources.settings import Settings
from stedi_assets.contracts import TABLES
from stedi_assets.definitions import build_definitions, build_resources
from stedi_assets.pipeline.publish import published_rows
from stedi_assets.sql import told_alone

if TYPE_CHECKING:
    from rich.table import Table

VERDICTS = ("passed", "warned", "failed", "not run")
ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@click.command()
def main() -> None:
    """Print the table for the lakehouse that the environment's settings name."""
    from rich.console import Console

    settings = Settings.from_environment()
    # Wide enough for the paths, whatever the terminal: they are there to be copied.
    console = Console(width=max(Console().width, 80 + len(settings.lakehouse) + 40), highlight=False)
    try:
        instance = dg.DagsterInstance.get()
    except DagsterHomeNotSetError as error:
        raise click.ClickException("DAGSTER_HOME is not set: export DAGSTER_HOME=$PWD/.dagster") from error
    with instance, told_alone():
        console.print(summary(instance, settings))


def summary(instance: dg.DagsterInstance, settings: Settings) -> Table:
    """Each table: its rows, its checks, and where it lies."""
    from rich.table import Table

    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    lakehouse: Lakehouse = build_resources(settings)["lakehouse"]
    table = Table("table", "rows", "checks", "where", title="The STEDI lakehouse", title_justify="left")
    table.columns[1].justify = "right"
    for name in TABLES:
        key = dg.AssetKey(name)
        rows = published_rows(lakehouse, name)
        checks = _checks(instance, graph.get_check_keys_for_assets({key})) if rows is not None else ""
        shown = "not made yet" if rows is None else f"{rows:,}"
        table.add_row(name, shown, checks, str(graph.get(key).metadata["dagster/uri"]))
    return table


def _checks(instance: dg.DagsterInstance, keys: Set[dg.AssetCheckKey]) -> str:
    verdicts = Counter(_verdict(instance, key) for key in keys)
    return ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])


def _verdict(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> str:
    """What the check found when it last came to an end: a run that broke off before it changed nothing."""
    newest = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=ENDED)
    event = newest[0].event.dagster_event if newest and newest[0].event else None
    if event is None:
        return "not run"
    evaluation = event.asset_check_evaluation_data
    if evaluation.passed:
        return "passed"
    return "warned" if evaluation.severity is dg.AssetCheckSeverity.WARN else "failed"


if __name__ == "__main__":
    main()
