"""What people run in a shell: `python -m stedi_assets.cli --help`.

Belongs here: a summary of the lakehouse, SQL over it, and the DDL made from the contracts. Does not belong here: making
tables, which is Dagster's own command.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click
import dagster as dg

from resources.engines.engine import SparkEngine, analysing
from resources.errors import LakehouseError, as_failure, query_error
from resources.files.landing_zone import LandingZone
from resources.history import report_what_dagster_cannot_record
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Version
from resources.settings import Settings
from sample.feeds import deliver_next_day
from stedi_assets.checks.consent import TABLES_KNOW_LATEST_CONSENTS, evaluate_served
from stedi_assets.checks.reconciliation import IN_DOUBT
from stedi_assets.contracts import ASSETS, CUSTOMER_TRUSTED, FEEDS, TABLES
from stedi_assets.definitions import build_definitions, build_resources, options
from stedi_assets.evidence import views
from stedi_assets.landing import DDL, landing_ddl
from stedi_assets.pipeline.inputs import INPUTS, MEASURED, RUN_ID, WHAT, Inputs
from stedi_assets.pipeline.reconciliation import dropped
from stedi_assets.pipeline.report import newest_evaluation

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from rich.table import Table

FOUND = ("passed", "warned", "failed", "not run")
LONGEST = 1_500  # characters of a check's sentence that the summary shows


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The STEDI lakehouse in a shell, for the settings in the environment."""


@main.command("summary")
def show_summary() -> None:
    """What the lakehouse holds, and what its checks found last."""
    from rich.console import Console

    settings = Settings.from_environment()
    # Wide enough for the paths, whatever the terminal: they are there to be copied.
    console = Console(width=max(Console().width, 80 + len(settings.lakehouse) + 40), highlight=False)
    with _instance() as instance, _errors_as_sentences():
        console.print(summary(instance, settings))
        for remark in remarks(instance, settings):
            console.print(remark, style="yellow", soft_wrap=True)  # commands in it are there to be copied


@main.command("changes")
def show_changes() -> None:
    """What the latest run retained, wrote and dropped of each asset, and why."""
    from rich.console import Console

    settings = Settings.from_environment()
    with _instance() as instance, _errors_as_sentences():
        Console(width=max(Console().width, 150), highlight=False).print(changes(instance, settings))


@main.command("sql", context_settings={"ignore_unknown_options": True})  # a statement may start with a comment
@click.argument("statement")
def run_sql(statement: str) -> None:
    """Run one SQL statement over the lakehouse's tables, and print its rows."""
    from pyspark.errors import PySparkException

    with _errors_as_sentences(), lakehouse() as spark:
        try:
            # A column of whole numbers and nulls would be one of floats, and a moment 1.655564e+12.
            frame = spark.sql(statement)
            with analysing(frame):
                rows = frame.toArrow().to_pandas(integer_object_nulls=True)
            click.echo(rows.to_string(index=False))
        except LakehouseError as error:
            raise click.ClickException(f"The statement cannot be run: {error.description}") from None
        except PySparkException as error:
            raise click.ClickException(f"The statement cannot be run: {query_error(error).description}") from None


@main.command("ddl")
def write_ddl() -> None:
    """Write `sql/*_landing.sql` from the contracts."""
    for feed in FEEDS:
        path = DDL / f"{feed.landing.name}.sql"
        path.write_text(landing_ddl(feed))
        click.echo(path)


@main.command("next-day")
def next_day() -> None:
    """Deliver one more day of the sample into its source, where the next run finds it."""
    settings = Settings.from_environment()
    if settings.source != "sample":
        raise click.ClickException(
            f"There is a next day of the sample alone, and STEDI_SOURCE is {settings.source}. Unset it, and name a "
            "lakehouse of the sample's own with STEDI_LAKEHOUSE."
        )
    with _errors_as_sentences():
        zone: LandingZone = build_resources(settings)["landing_zone"]
        for feed in FEEDS:
            if (origin := zone.landed(feed.name).origin) not in (None, zone.origin):
                raise click.ClickException(f"{settings.lakehouse} has the feeds of {origin}, and no sample.")
        click.echo(deliver_next_day(Path(zone.source)).explained)


@contextmanager
def lakehouse(settings: Settings | None = None) -> Iterator[SparkSession]:
    """A session of the engine that the settings (default: the environment's) name, with the tables as views."""
    settings = settings or Settings.from_environment()
    resources = build_resources(settings)
    spark: SparkEngine = resources["spark"]
    store: Lakehouse = resources["lakehouse"]
    records = {feed.landing.name: feed.records.name for feed in FEEDS}
    try:
        for name, read in views(Inputs(spark, store, options(settings))).items():
            if store.version(records.get(name, name)) is not None:
                read().createOrReplaceTempView(name)
        yield spark.spark_session
    finally:
        spark.close()


def _instance() -> dg.DagsterInstance:
    """What Dagster remembers of runs."""
    if not os.environ.get("DAGSTER_HOME"):
        raise click.ClickException("DAGSTER_HOME is not set: export DAGSTER_HOME=$PWD/.dagster")
    if not Path(os.environ["DAGSTER_HOME"]).is_dir():
        raise click.ClickException(
            f"DAGSTER_HOME is {os.environ['DAGSTER_HOME']}, and there is no such folder. Make it, with a copy of "
            "the project's .dagster/dagster.yaml."
        )
    report_what_dagster_cannot_record()
    return dg.DagsterInstance.get()


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    """End the command with the sentence of what failed, and no traceback, which may quote rows."""
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        raise click.ClickException(as_failure(error).description or "") from None


def summary(instance: dg.DagsterInstance, settings: Settings) -> Table:
    """Each asset: its rows or files, its checks, and where it lies."""
    from rich.table import Table

    graph = build_definitions(settings).resolve_asset_graph()
    resources = build_resources(settings)
    table = Table("asset", "holds", "checks", "where", title="The STEDI lakehouse", title_justify="left")
    table.columns[1].justify = "right"
    for name in ASSETS:
        key = dg.AssetKey(name)
        holds = _made(resources, name)
        checks = _checks(instance, resources, graph.get_check_keys_for_assets({key})) if holds else ""
        table.add_row(name, holds or "not made yet", checks, str(graph.get(key).metadata["dagster/uri"]))
    return table


def _made(resources: Mapping[str, Any], name: str) -> str | None:
    """What the asset holds; None where it was not made yet."""
    for feed in FEEDS:
        if name == feed.landing.name:
            landed = resources["landing_zone"].landed(feed.name)
            return _files(len(landed.files)) if landed.synced else None
    version = resources["lakehouse"].version(name)
    return f"{version.rows:,} rows" if version else None


def changes(instance: dg.DagsterInstance, settings: Settings) -> Table:
    """Each asset that was made: the rows (files) that its latest run retained and wrote, how many are dropped of all
    that there is, and why.

    What was written is said by Iceberg's own commits, what is dropped by what was measured of the version.
    """
    from rich.table import Table

    store: Lakehouse = build_resources(settings)["lakehouse"]
    columns = ("asset", "retained", "written", "dropped in all", "why")
    table = Table(*columns, title="What the latest run of each asset did", title_justify="left")
    for column in table.columns[1:3]:
        column.justify = "right"
    for name in ASSETS:
        made = instance.get_latest_materialization_event(dg.AssetKey(name))
        version = store.version(name)
        # A table that is there no more was removed with its lakehouse, of which Dagster does not know.
        if made is not None and made.asset_materialization is not None and (version or name not in TABLES):
            *row, why = _rows_of_run(version, made.run_id) if version else _files_of_run(made.asset_materialization)
            refused = made.asset_materialization.metadata.get("refused")
            table.add_row(name, *row, f"refused: {refused.value}" if refused else why)
    return table


def _rows_of_run(version: Version, run_id: str) -> tuple[str, str, str, str]:
    rules = dropped(json.loads(version.properties.get(MEASURED, "{}")).get("rows_reconciled", {}))
    lines = "\n".join(f"{rows:,} {rule}" for rule, rows in rules.items() if INPUTS in version.properties)
    if version.properties.get(RUN_ID) != run_id:
        since = datetime.fromtimestamp(version.committed_ms / 1000).strftime("%Y-%m-%d %H:%M")
        return f"{version.rows:,}", "0", lines, f"unchanged since {since}"
    written = int(version.properties.get("added-records", 0))
    return f"{version.rows - written:,}", f"{written:,}", lines, version.properties.get(WHAT, "")


def _files_of_run(made: dg.AssetMaterialization) -> tuple[str, str, str, str]:
    new, replaced, unchanged, twice = (
        int(str(made.metadata[f"files {what}"].value)) for what in ("new", "replaced", "unchanged", "delivered twice")
    )
    again = f"{twice:,} delivered twice" if twice else ""
    return _files(unchanged), _files(new + replaced), again, f"{new:,} new, {replaced:,} replaced"


def _files(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"


def remarks(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """What a reader of the tables must know: which checks warn or fail, and how many customers are in doubt."""
    graph, resources = build_definitions(settings).resolve_asset_graph(), build_resources(settings)
    keys = graph.get_check_keys_for_assets({*map(dg.AssetKey, ASSETS)})
    found = {key: _newest(instance, resources, key) for key in sorted(keys)}
    not_made = {dg.AssetKey(name) for name in ASSETS if not _made(resources, name)}
    # Of an asset that is not made yet, what failed says why. Dagster may remember more, of a lakehouse that is gone.
    found = {key: one for key, one in found.items() if key.asset_key not in not_made or _word(one) == "failed"}
    trusted = resources["lakehouse"].version(CUSTOMER_TRUSTED.name)
    measured = json.loads(trusted.properties.get(MEASURED, "{}")) if trusted else {}
    doubted = int(measured.get("rows_reconciled", {}).get(IN_DOUBT, 0))
    return [
        *(
            f"{_word(one)}: {key.asset_key.to_user_string()}, {key.name}: {shorten(one.description or '', LONGEST)}"
            for key, one in found.items()
            if one is not None and not one.passed
        ),
        *([f"In doubt, and dropped: {doubted:,} customers ({IN_DOUBT}; see customer_quarantine)"] if doubted else []),
    ]


def _checks(instance: dg.DagsterInstance, resources: Mapping[str, Any], keys: Set[dg.AssetCheckKey]) -> str:
    found = Counter(_word(_newest(instance, resources, key)) for key in keys)
    return ", ".join(f"{found[kind]} {kind}" for kind in FOUND if found[kind])


def _newest(
    instance: dg.DagsterInstance, resources: Mapping[str, Any], key: dg.AssetCheckKey
) -> dg.AssetCheckEvaluation | dg.AssetCheckResult | None:
    """What the check found last; what it says of all tables, now: another table's run may have changed it."""
    if key.name == TABLES_KNOW_LATEST_CONSENTS.name:
        return evaluate_served(Inputs(resources["spark"], resources["lakehouse"], {}))
    return newest_evaluation(instance, key)


def _word(found: dg.AssetCheckEvaluation | dg.AssetCheckResult | None) -> str:
    if found is None:
        return "not run"
    if found.passed:
        return "passed"
    return "warned" if found.severity is dg.AssetCheckSeverity.WARN else "failed"


if __name__ == "__main__":
    main()
