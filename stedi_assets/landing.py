"""The landing zone: the three feeds as they were delivered, and the records that were not accepted.

Belongs here: the landing assets and the quarantine tables. A landing asset is its raw files; beside them lies
`<feed>_records`, an internal table of the records as typed, which downstream tables read.
Does not belong here: how a delivery is taken (`intake.py`), a record is read (`reader.py`), or files are brought
(`resources/files/landing_zone.py`).
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.files import ndjson as lines
from resources.files.landing_zone import LandingZone
from resources.iceberg.lakehouse import Lakehouse
from resources.query import Query
from resources.settings import Settings
from stedi_assets.checks import consent as audits
from stedi_assets.checks import reconciliation as accounting
from stedi_assets.contracts import ACCELEROMETER, CUSTOMER, STEP_TRAINER, Feed
from stedi_assets.ingestion import delivery
from stedi_assets.ingestion import fast_path as usual
from stedi_assets.ingestion import parse as reader
from stedi_assets.ingestion.ingest import Intake
from stedi_assets.pipeline.publish import Tables
from stedi_assets.pipeline.schemas import dagster_schema, feed_ddl, tags
from stedi_assets.pipeline.table import OWNER, code_version, lakehouse_table
from stedi_assets.rules import Consent, quarantined

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@lakehouse_table(
    CUSTOMER.quarantine,
    account=lambda customer_records: accounting.quarantine(customer_records),
    audits=[audits.nothing_quarantined],
)
def customer_quarantine(customer_records: "DataFrame") -> "DataFrame":
    """Customer records that were not accepted, with their text and the reason."""
    return quarantined(customer_records, CUSTOMER.landing.name)


@lakehouse_table(
    ACCELEROMETER.quarantine,
    account=lambda accelerometer_records: accounting.quarantine(accelerometer_records),
    audits=[audits.nothing_quarantined],
)
def accelerometer_quarantine(accelerometer_records: "DataFrame") -> "DataFrame":
    """Accelerometer readings that were not accepted, with their text and the reason."""
    return quarantined(accelerometer_records, ACCELEROMETER.landing.name)


@lakehouse_table(
    STEP_TRAINER.quarantine,
    account=lambda step_trainer_records: accounting.quarantine(step_trainer_records),
    audits=[audits.nothing_quarantined],
)
def step_trainer_quarantine(step_trainer_records: "DataFrame") -> "DataFrame":
    """Distance readings that were not accepted, with their text and the reason."""
    return quarantined(step_trainer_records, STEP_TRAINER.landing.name)


_DESCRIPTIONS = {
    CUSTOMER.name: "What customers told the website about themselves and about whom they share data with.",
    ACCELEROMETER.name: "What the phone app measured: how the phone moved, many times a second.",
    STEP_TRAINER.name: "What the Step Trainer's motion sensor measured: how far away the foot was.",
}


def landing_asset(feed: Feed, settings: Settings, lakehouse: Lakehouse, zone: LandingZone) -> dg.AssetsDefinition:
    """The feed's landing zone as an asset. Nothing is opened: the resources only say where things will lie."""
    version = code_version(reader, usual, lines, feed_ddl, repr(feed))
    spec = dg.AssetSpec(
        feed.landing.name,
        description=f"{_DESCRIPTIONS[feed.name]} Raw JSON files, byte for byte as they were delivered.\n\n"
        f"**One row:** {feed.landing.grain}. A file that is delivered twice counts once.",
        group_name=feed.landing.zone.value,
        kinds={"json", "pyspark"},
        owners=[OWNER],
        tags=tags(feed.landing),
        code_version=version,
        metadata={
            "dagster/column_schema": dagster_schema(feed.landing),
            "dagster/table_name": lakehouse.identifier(feed.landing.name),
            "dagster/uri": zone.uri(feed.name),
        },
    )

    @dg.multi_asset(
        name=feed.landing.name,
        specs=[spec],
        check_specs=[check.spec(feed.landing.name) for check in delivery.CHECKS],
        can_subset=True,
    )
    def step(
        context: dg.AssetExecutionContext,
        spark: SparkEngine,
        lakehouse: Lakehouse,
        landing_zone: LandingZone,
        query: Query,
    ) -> Iterator[Any]:
        intake = Intake(
            feed, settings, version, Tables(spark, lakehouse, Consent(settings.consent)), landing_zone, query
        )
        with spark.at_work():
            if context.selected_asset_keys:
                yield from intake.take_delivery(context)
            else:
                yield from intake.audit_published(context).for_dagster(context)

    return step
