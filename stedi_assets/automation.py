"""What runs by itself: jobs and schedules.

Belongs here: when tables are made. Does not belong here: how (`pipeline/`).
"""

from __future__ import annotations

import dagster as dg

LAKEHOUSE_JOB = dg.define_asset_job(
    "stedi_lakehouse",
    selection=dg.AssetSelection.all(),
    description="Sync the feeds and make every table of the lakehouse from them.",
)

EVERY_NIGHT = dg.ScheduleDefinition(
    name="every_night",
    job=LAKEHOUSE_JOB,
    cron_schedule="0 3 * * *",
    description="Sync what is new and make all tables anew: a withdrawn consent counts from then on. Stopped until "
    "somebody starts it in the UI.",
)
