"""STEDI's lakehouse: what its tables mean, as Dagster assets.

Read `landing.py`, `trusted.py`, `curated.py`, in this order. `defs` is what `dagster -m stedi_assets` loads.
"""

from functools import cache

import dagster as dg


@dg.definitions
@cache  # Dagster asks several times for one command
def defs() -> dg.Definitions:
    """The code location, for the settings in the environment."""
    from resources.history import keep_event_log_open, report_what_dagster_cannot_record
    from resources.settings import Settings
    from stedi_assets.definitions import build_definitions

    keep_event_log_open()
    report_what_dagster_cannot_record()
    return build_definitions(Settings.from_environment())
