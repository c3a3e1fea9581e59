"""Keeping the lakehouse small, and what is withdrawn from staying in its past: the one asset that does it.

Belongs here: for which tables, how long, and what people see of it. Does not belong here: what may be removed, and when
that is in doubt (`resources/iceberg/maintenance.py`, and of runs `resources/history.py`).
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any

import dagster as dg

from resources.errors import quoting_no_row
from resources.history import Instance
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.maintenance import Maintained, maintain
from stedi_assets.contracts import TABLES, Pii
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.asset import RETRY
from stedi_assets.pipeline.checks import Check, result

NAME = "maintenance"
ALL_MAINTAINED = Check(
    "all_maintained",
    "All of it was done, for every table. Where anything is in doubt nothing is removed, and this says why.",
    blocking=False,
)
_COUNTED = [field.name for field in fields(Maintained) if type(field.default) is int]


def maintenance_asset(history_days: int) -> dg.AssetsDefinition:
    """The asset. Nothing is opened; versions that were replaced so many days ago expire."""

    @dg.multi_asset(
        name=NAME,
        specs=[
            dg.AssetSpec(
                NAME,
                description="Of every table: versions expire that were replaced "
                f"{history_days} days ago (`STEDI_HISTORY_DAYS`), with the files that no other version needs; files "
                "that nobody needs any more after three days are removed; and days of many small files get one, with "
                "the same rows. What a tag or a branch holds stays, and readers of the tables notice nothing. Of runs "
                "that ended as long ago, what an asset's page shows stays in the history, and no more.",
                group_name=NAME,
                kinds={"iceberg"},
                owners=[metadata.OWNER],
                tags={"zone": NAME, "pii": metadata.PII[Pii.NONE]},
                code_version="1",
            )
        ],
        check_specs=[ALL_MAINTAINED.spec(NAME)],
        retry_policy=RETRY,
    )
    @quoting_no_row
    def step(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[Any]:
        done = [maintain(lakehouse, table, timedelta(days=history_days)) for table in TABLES.values()]
        for one in done:
            if one.refused:
                context.log.warning(f"{one.table}: {one.refused}")
        shown = _sums(done)
        if isinstance(context.instance, Instance):  # no other one is this lakehouse's alone
            shown["runs forgotten"] = context.instance.forget_runs(timedelta(days=history_days))
        context.log.info(", ".join(f"{what}: {number:,}" for what, number in shown.items()))
        context.add_asset_metadata({**shown, "tables": _as_table(done)})  # given with the result, it is kept twice
        yield dg.MaterializeResult(asset_key=NAME, check_results=[ALL_MAINTAINED.named(NAME, _evaluate(done))])

    return step


def _evaluate(done: Sequence[Maintained]) -> dg.AssetCheckResult:
    refused = [one for one in done if one.refused]
    sentence = " ".join(f"{one.table}: {one.refused}" for one in refused) or "All of it was done, for every table."
    return result(not refused, sentence, {"tables refused": len(refused)}, error=False)


def _sums(done: Sequence[Maintained]) -> dict[str, int]:
    return {name.replace("_", " "): sum(getattr(one, name) for one in done) for name in _COUNTED}


def _as_table(done: Sequence[Maintained]) -> dg.TableMetadataValue:
    columns = [dg.TableColumn("table"), *(dg.TableColumn(name, "int") for name in _COUNTED), dg.TableColumn("refused")]
    return dg.MetadataValue.table([dg.TableRecord(asdict(one)) for one in done], dg.TableSchema(columns))
