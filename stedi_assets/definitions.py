"""The code location: which assets there are, and the resources they run with.

Belongs here: putting the pieces together for given settings. Loading it opens no connection, starts no engine and
touches no file of the lakehouse. Does not belong here: an asset or a resource itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.engines.embedded import EmbeddedSpark
from resources.engines.engine import SparkEngine
from resources.engines.local import LocalSpark
from resources.files.landing_zone import LandingZone
from resources.iceberg.catalogs import LocalLakehouse
from resources.iceberg.lakehouse import Lakehouse
from resources.query import EngineQuery, Query
from resources.settings import Settings, cache_folder
from sample.zone import SampleZone
from stedi_assets import automation, curated, trusted
from stedi_assets.contracts import FEEDS
from stedi_assets.deliveries import deliveries
from stedi_assets.evidence import query_evidence
from stedi_assets.landing import landing_asset, records_asset
from stedi_assets.maintenance import maintenance_asset
from stedi_assets.pipeline.asset import table_asset
from stedi_assets.pipeline.table import LakehouseTable, code_version
from stedi_assets.rules import Consent

TRUSTED_AND_CURATED: tuple[LakehouseTable, ...] = (
    trusted.customer_trusted,
    trusted.accelerometer_trusted,
    curated.customers_curated,
    trusted.step_trainer_trusted,
    curated.machine_learning_curated,
)
"""The tables of the trusted and curated zones, in the order in which they are made."""


def build_definitions(settings: Settings, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The code location for these settings. `resources` replaces some: how tests and deployments swap a part."""
    built = {**build_resources(settings), **(resources or {})}
    lakehouse, zone = built["lakehouse"], built["landing_zone"]
    external = {feed.name: lakehouse.identifier(feed.landing.name) if settings.on_aws else None for feed in FEEDS}
    return dg.Definitions(
        assets=[
            *(landing_asset(feed, zone, external[feed.name]) for feed in FEEDS),
            *(records_asset(feed, settings, lakehouse) for feed in FEEDS),
            *(
                table_asset(table, options(settings), lakehouse, settings.shrink_limit, settings.rebuild, zone.origin)
                for table in TRUSTED_AND_CURATED
            ),
            query_evidence,
            maintenance_asset(settings.history_days),
        ],
        asset_checks=[deliveries],
        resources=built,
        jobs=[automation.LAKEHOUSE_JOB, automation.FULL_AUDIT_JOB, automation.MAINTENANCE_JOB],
        schedules=[automation.EVERY_NIGHT, automation.EVERY_MORNING],
        # One process and one engine session for a whole run: starting an engine takes longer than most tables.
        executor=dg.in_process_executor,
    )


def options(settings: Settings) -> dict[str, str]:
    """What table functions may ask for beside tables."""
    return {"consent": Consent(settings.consent)}


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources that the settings ask for."""
    return {
        "spark": _engine(settings),
        "lakehouse": _lakehouse(settings),
        "landing_zone": _landing_zone(settings),
        "query": _query(settings),
    }


def _engine(settings: Settings) -> SparkEngine:
    if settings.emr is None and settings.glue is None:
        return LocalSpark(conf=settings.spark_conf) if settings.spark == "local" else EmbeddedSpark()
    from resources.engines.emr_serverless import EmrServerlessSpark
    from resources.engines.glue import GlueSpark

    versions = (table.code_version(options(settings)) for table in TRUSTED_AND_CURATED)
    shared: dict[str, Any] = {"conf": settings.spark_conf, "code_version": code_version(*versions)}
    if settings.glue is not None:
        return GlueSpark(database=settings.database, **dict(settings.glue), **shared)
    return EmrServerlessSpark(**dict(settings.emr or ()), **shared)


def _query(settings: Settings) -> Query:
    if not settings.on_aws:
        return EngineQuery()
    from resources.athena import AthenaQuery

    return AthenaQuery(workgroup=settings.athena_workgroup, database=settings.database)


def _landing_zone(settings: Settings) -> LandingZone:
    if settings.source == "sample":
        asked_for = "source" in settings.model_fields_set
        return SampleZone(root=settings.lakehouse, source=str(_sample_folder(settings)), asked_for=asked_for)
    return LandingZone(root=settings.lakehouse, source=settings.source, source_access=settings.source_access)


def _sample_folder(settings: Settings) -> Path:
    """Where the sample feeds are generated: in the lakehouse, or, where that is in S3, in this machine's cache."""
    return cache_folder() / "sample" if settings.on_aws else Path(settings.lakehouse) / "sample"


def _lakehouse(settings: Settings) -> Lakehouse:
    if settings.on_aws:
        from resources.iceberg.catalogs import GlueLakehouse

        return GlueLakehouse(root=settings.lakehouse, namespace=settings.database)
    return LocalLakehouse(root=settings.lakehouse, namespace=settings.database)
