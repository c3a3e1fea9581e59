"""What runs by itself: jobs and schedules.

Belongs here: when tables are made. Does not belong here: how (`pipeline/`).
"""

from __future__ import annotations

import dagster as dg

from stedi_assets.maintenance import NAME as MAINTENANCE

LAKEHOUSE_JOB = dg.define_asset_job(
    "stedi_lakehouse",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(MAINTENANCE),
    description="Sync the feeds and make every table of the lakehouse from them.",
)

FULL_AUDIT_JOB = dg.define_asset_job(
    "full_audit",
    selection=dg.AssetSelection.all_asset_checks() - dg.AssetSelection.checks_for_assets(MAINTENANCE),
    description="Execute every check on what is published, each on the whole table. Makes nothing anew: a run that "
    "makes some days of a table holds those days to most checks, and all of it to those of consent, privacy and keys.",
)

EVERY_NIGHT = dg.ScheduleDefinition(
    name="every_night",
    job=LAKEHOUSE_JOB,
    cron_schedule="0 3 * * *",
    description="Sync what is new and make again what has changed: a withdrawn consent counts from then on. Stopped "
    "until somebody starts it in the UI.",
)

MAINTENANCE_JOB = dg.define_asset_job(
    "stedi_maintenance",
    selection=dg.AssetSelection.assets(MAINTENANCE),
    description="Expire old versions of the tables, and remove the files that nobody needs any more. No engine starts.",
)

EVERY_MORNING = dg.ScheduleDefinition(
    name="every_morning",
    job=MAINTENANCE_JOB,
    cron_schedule="0 5 * * *",
    description="Keep the lakehouse small, and rows that were withdrawn out of its past. It may run beside a run that "
    "makes tables: who publishes first wins. Stopped until somebody starts it in the UI.",
)
