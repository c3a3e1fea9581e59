"""What a run ends with: whether all that the source has is in the tables, and whether they know the latest consents.

Belongs here: the step that fails a run whose tables are made, where they are made without something that nobody could
read: it may have been a withdrawal. Does not belong here: the checks of one step's own tables (`checks/`).
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
from collections.abc import Iterator
from typing import Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.errors import LakehouseError, quoting_no_row
from resources.files.landing_zone import LandingZone
from resources.iceberg.lakehouse import Lakehouse
from stedi_assets.checks.consent import TABLES_KNOW_LATEST_CONSENTS, evaluate_served
from stedi_assets.contracts import CUSTOMER_TRUSTED, FEEDS, Feed
from stedi_assets.ingestion.ingest import FILES, landed_files
from stedi_assets.ingestion.stats import refused
from stedi_assets.pipeline.asset import RETRY
from stedi_assets.pipeline.checks import Check, result
from stedi_assets.pipeline.inputs import Inputs

DELIVERY_ACCEPTED = Check(
    "delivery_accepted",
    "All that was delivered is in the table. Where a delivery was refused, or something cannot be read, what was "
    "accepted before is served, and this says why.",
    blocking=False,
)


@dg.multi_asset_check(
    name="deliveries",
    specs=[
        *(DELIVERY_ACCEPTED.spec(feed.records.name) for feed in FEEDS),
        TABLES_KNOW_LATEST_CONSENTS.spec(CUSTOMER_TRUSTED.name),
    ],
    can_subset=True,
    retry_policy=RETRY,
    # After every step that can still run: one that waited for all tables would be skipped where one of them fails.
    op_tags={"dagster/priority": "-1"},
)
@quoting_no_row
def deliveries(
    context: dg.AssetCheckExecutionContext, spark: SparkEngine, lakehouse: Lakehouse, landing_zone: LandingZone
) -> Iterator[Any]:
    """Fail the run where a delivery was refused, once all other tables were made. One step: each costs a run time."""
    asked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
    if CUSTOMER_TRUSTED.name in asked:
        found = evaluate_served(Inputs(spark, lakehouse, {}))
        yield TABLES_KNOW_LATEST_CONSENTS.named(CUSTOMER_TRUSTED.name, found)
    whys = []
    for feed in (feed for feed in FEEDS if feed.records.name in asked):
        whys += (why := _not_accepted(context, lakehouse, landing_zone, feed))
        found = result(not why, " ".join(why) or "All that was delivered is in the table.", {})
        yield DELIVERY_ACCEPTED.named(feed.records.name, found)
    if whys:
        raise LakehouseError(" ".join(whys))


def _not_accepted(
    context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse, zone: LandingZone, feed: Feed
) -> list[str]:
    """Why the feed's records are not made of all that the source has of it; nothing where they are."""
    name, landed, version = feed.landing.name, landed_files(context, zone, feed), lakehouse.version(feed.records.name)
    whys = [_refused(context.instance, name)]
    if landed.unreadable:
        whys.append(
            f"{name}: not everything can be read: {refused(landed.unreadable)}. What it holds is in no table, and "
            f"may be a withdrawal. Deliver it anew under its name, or remove it from {zone.source}, and run again."
        )
    if version is None or version.properties.get(FILES) != landed.fingerprint:
        newer = f"{name} is newer: materialize {feed.records.name}."
        whys.append(_refused(context.instance, feed.records.name) or newer)
    return list(filter(None, whys))


def _refused(instance: dg.DagsterInstance, asset: str) -> str:
    """Why the asset's step last refused what was delivered, if it did."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    noted = event.asset_materialization.metadata.get("refused") if event and event.asset_materialization else None
    return str(noted.value) if noted else ""
