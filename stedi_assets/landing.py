"""The landing zone: the three feeds as they were delivered, and their records, accepted or not.

Belongs here: the assets of each feed. `<feed>_landing` is its raw files, byte for byte (on AWS with an external table
over them), `<feed>_records` every accepted record, `<feed>_quarantine` every other one. Does not belong here: how text
becomes records (`ingestion/`), or how files are synced (`resources/files/`).
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.errors import LakehouseError, quoting_no_row
from resources.files import content, ndjson
from resources.files.landing_zone import LandingZone
from resources.files.manifest import SyncResult
from resources.iceberg.lakehouse import Lakehouse
from resources.lazy import LazyModule
from resources.query import Query
from resources.settings import Settings
from stedi_assets.checks import ingestion
from stedi_assets.checks.ingestion import (
    FILES_AS_EXPECTED,
    accepted_are_sound,
    evaluate_files,
    nothing_quarantined,
    quarantine_within_limit,
    records_reconciled,
)
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, STEP_TRAINER, Feed
from stedi_assets.ingestion import parse, stats
from stedi_assets.ingestion.ingest import FeedStep, feed_lock, landed_files
from stedi_assets.ingestion.stats import named, refused
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.asset import RETRY, step_of
from stedi_assets.pipeline.inputs import Inputs
from stedi_assets.pipeline.sources import is_made_by
from stedi_assets.pipeline.table import LakehouseTable, lakehouse_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

DDL = Path(__file__).parents[1] / "sql"
LOCATION = "${location}"
"""The parameter in `sql/*_landing.sql` that stands for the landing zone's URI."""

_DESCRIPTIONS = {
    CUSTOMER.name: "What customers told the website about themselves and about whom they share data with.",
    ACCELEROMETER.name: "What the phone app measured: how the phone moved, many times a second.",
    STEP_TRAINER.name: "What the Step Trainer's motion sensor measured: how far away the foot was.",
}


def tables_of(feed: Feed, quarantine_limit: float) -> tuple[LakehouseTable, LakehouseTable]:
    """The feed's records and quarantine. `parsed` is what `ingestion/parse.py` makes of the text, and the run.

    Their checks count as code that makes them: what was measured of files that are read once must be what they ask for.
    """
    made_by = (parse, stats, ingestion, ndjson, content, repr(feed))

    @lakehouse_table(
        feed.records,
        checks=[records_reconciled(feed), accepted_are_sound(feed), quarantine_within_limit(feed, quarantine_limit)],
        made_by=made_by,
    )
    def records(parsed: "DataFrame") -> "DataFrame":
        """Every accepted record as it was delivered, typed, with the landed file that it came from."""
        return parsed.where("reason IS NULL").select(*feed.records.column_names)

    @lakehouse_table(feed.quarantine, checks=[records_reconciled(feed), nothing_quarantined], made_by=made_by)
    def quarantine(parsed: "DataFrame") -> "DataFrame":
        """Every record that was not accepted, with its file, its text, the reason, and the run that read it."""
        return parsed.where("reason IS NOT NULL").select(*feed.quarantine.column_names)

    return records, quarantine


def records_asset(feed: Feed, settings: Settings, lakehouse: Lakehouse) -> dg.AssetsDefinition:
    """The feed's records and quarantine as the assets of one step: its text is parsed once."""
    tables = tables_of(feed, settings.quarantine_limit)

    @dg.multi_asset(**step_of(f"{feed.name}_ingest", tables, {}, lakehouse, [feed.landing.name]))
    @quoting_no_row
    def step(
        context: dg.AssetExecutionContext, spark: SparkEngine, lakehouse: Lakehouse, landing_zone: LandingZone
    ) -> Iterator[Any]:
        inputs = Inputs(spark, lakehouse, {})
        limits = (settings.shrink_limit, settings.rebuild)
        yield from FeedStep(context, inputs, tables, *limits, feed=feed, zone=landing_zone).run()

    return step


def landing_asset(feed: Feed, zone: LandingZone, table_name: str | None) -> dg.AssetsDefinition:
    """The feed's raw files as an asset. Nothing is opened; `table_name` is that of an external table over them."""
    name = feed.landing.name

    @dg.multi_asset(
        name=name,
        specs=[_landing_spec(feed, zone, table_name)],
        check_specs=[FILES_AS_EXPECTED.spec(name)],
        can_subset=True,
        retry_policy=RETRY,
    )
    @quoting_no_row
    def step(context: dg.AssetExecutionContext, landing_zone: LandingZone, query: Query) -> Iterator[Any]:
        with feed_lock(context, landing_zone, feed):
            if not context.selected_asset_keys:
                yield FILES_AS_EXPECTED.named(name, evaluate_files(landed_files(context, landing_zone, feed), feed))
                return
            began = time.perf_counter()
            synced, why = _sync(context, landing_zone, feed)
            seconds = time.perf_counter() - began
        # Let people query the raw files, also those of a delivery that will not be accepted.
        done = query.ensure_table(name, (DDL / f"{name}.sql").read_text(), landing_zone.uri(feed.name))
        if done:
            context.log.info(done)
        found = FILES_AS_EXPECTED.named(name, evaluate_files(synced, feed, why))
        shown = {**_numbers(synced), "seconds: sync": round(seconds, 3), **({"refused": why} if why else {})}
        context.add_asset_metadata(shown)  # given with the result, Dagster would keep it twice
        yield dg.MaterializeResult(
            asset_key=name,
            data_version=dg.DataVersion(synced.fingerprint),
            check_results=[found] if context.selected_asset_check_keys else [],
        )

    return step


def _sync(context: dg.AssetExecutionContext, zone: LandingZone, feed: Feed) -> tuple[SyncResult, str]:
    """What is landed now, and why it is no more than before, where the source could not be synced.

    A consent that another feed brings must not wait until this one is mended: the step `deliveries` fails the run when
    all tables are made. Where nothing of this source was landed before, this one does.
    """
    try:
        synced = zone.sync(feed.name)
    except LakehouseError as error:
        landed = zone.landed(feed.name)
        again = error.allow_retries and context.retry_number < RETRY.max_retries
        # Only a run that makes the records has the step that says so at its end.
        alone = not is_made_by(context, feed.records.name)
        if again or alone or not landed.files or landed.origin != zone.origin:
            raise
        why = f"{error.description} What was landed before stays, and the tables are made of it."
        context.log.error(f"{feed.landing.name}: {why}")
        return landed, why
    _log(context, feed, synced, zone.source)
    return synced, ""


def _landing_spec(feed: Feed, zone: LandingZone, table_name: str | None) -> dg.AssetSpec:
    return dg.AssetSpec(
        feed.landing.name,
        description=f"{_DESCRIPTIONS[feed.name]} Raw JSON files, byte for byte as they were delivered.\n\n"
        f"**One row:** {feed.landing.grain}. A file that is delivered twice counts once.",
        group_name=feed.landing.zone.value,
        kinds={"json"},
        owners=[metadata.OWNER],
        tags=metadata.tags(feed.landing),
        metadata={
            "dagster/column_schema": metadata.schema(feed.landing),
            "dagster/uri": zone.uri(feed.name),
            **({"dagster/table_name": table_name} if table_name else {}),
        },
    )


def _log(context: dg.AssetExecutionContext, feed: Feed, synced: SyncResult, source: str) -> None:
    name = feed.landing.name
    if synced.dropped:
        context.log.warning(
            f"{name}: the source is now {source}; {len(synced.dropped)} files of the source before were removed from "
            "the landing zone"
        )
    if synced.unreadable:
        context.log.warning(
            f"{name}: not everything was synced: {refused(synced.unreadable)}. What was landed before stays; the next "
            "run tries again"
        )
    if synced.taken_back:
        context.log.info(
            f"{name}: taken back from the source and the landing zone, so that the tables are made without: "
            f"{named(synced.taken_back)}"
        )
    if synced.ignored:
        context.log.warning(f"{name}: not read: {refused(synced.ignored)}")
    shrunk = {file.name: f"{file.size:,} bytes, after {file.most:,}" for file in synced.shrunk}
    if thin := dict.fromkeys(synced.empty, "empty") | shrunk:
        context.log.warning(f"{name}: empty, or without most of their bytes: {refused(thin)}")
    context.log.info(
        f"{name}: {len(synced.files)} files ({len(synced.new)} new, {len(synced.replaced)} replaced), "
        f"{synced.size:,} bytes"
    )


def _numbers(synced: SyncResult) -> dict[str, int]:
    return {
        "files": len(synced.files),
        "size (bytes)": synced.size,
        "files new": len(synced.new),
        "files unchanged": len(synced.unchanged),
        "files replaced": len(synced.replaced),
        "files delivered twice": len(synced.duplicates),
    }


def landing_ddl(feed: Feed) -> str:
    """`CREATE EXTERNAL TABLE` for Athena and Glue over the feed's raw JSON files: to look at them, not to count.

    OpenX, though AWS advises the Hive SerDe where rows must be exact: that one fails every query of a feed in which one
    line is malformed, and exact are the records' tables. A record that is no JSON is left out, and a value of another
    type is null. Case-insensitive: the feeds spell a column timestamp and timeStamp, serialNumber and so on.
    """
    name, records, grain = feed.landing.name, feed.records.name, feed.landing.grain
    columns = ",\n".join(
        f"  `{column.name}` {column.type} COMMENT '{column.meaning}'" for column in feed.landing.columns
    )
    properties = {"ignore.malformed.json": "TRUE", "use.null.for.invalid.data": "TRUE", "case.insensitive": "TRUE"}
    serde = ",\n".join(f"  '{key}' = '{value}'" for key, value in properties.items())
    return (
        f"-- {name}: {grain}. Generated from stedi_assets/contracts.py: make ddl\n"
        "-- To look at what was delivered. AWS documents that this SerDe may show more rows than there are, fewer, or\n"
        f"-- nulls in place of values: count {records}, and what could not be read in {feed.quarantine.name}.\n"
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{name}` (\n{columns}\n)\n"
        f"COMMENT '{grain}. To look at what was delivered, not to count: see {records}'\n"
        f"ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        f"WITH SERDEPROPERTIES (\n{serde}\n)\n"
        f"STORED AS TEXTFILE\n"
        f"LOCATION '{LOCATION}';\n"
    )
