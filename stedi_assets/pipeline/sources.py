"""Two runs in one lakehouse, each on a source of its own: the one that cannot go on says who is in its way.

Belongs here: noticing that what this run has made was made anew from another source since. Does not belong here: that
feeds of two sources never mix (`inputs.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg

from resources.errors import LakehouseError
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Version
from stedi_assets.contracts import TABLES
from stedi_assets.pipeline.inputs import SOURCE

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


def is_made_by(context: Context, asset: str) -> bool:
    """Whether this run makes the asset: downstream of it, it has."""
    return dg.AssetKey(asset) in context.job_def.asset_layer.selected_asset_keys


def made_on_the_way(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[tuple[str, Version]]:
    """The tables that this run has made and that this step is downstream of, as they are now."""
    layer, own = context.job_def.asset_layer, context.selected_asset_keys
    upstream = dg.AssetSelection.assets(*own).upstream(include_self=False).resolve(layer.asset_graph) if own else set()
    for name in (key.to_user_string() for key in upstream & set(layer.selected_asset_keys)):
        if name in TABLES and (version := lakehouse.version(name)):
            yield name, version


def refuse_other_source(context: dg.AssetExecutionContext, own: str, versions: Mapping[str, Version]) -> None:
    """LakehouseError where one of these tables was made of another source than `own` since this run began."""
    for name, version in versions.items():
        source = version.properties.get(SOURCE, own)
        # An older one may be served still, where this run could not replace it.
        if own and source != own and version.committed_ms >= _began(context):
            raise another_run(name, source, own)


def _began(context: dg.AssetExecutionContext) -> float:
    """When the run began, in epoch milliseconds."""
    record = context.instance.get_run_record_by_id(context.run_id)
    return 1000 * (record.start_time or 0) if record else 0


def another_run(name: str, source: str, own: str) -> LakehouseError:
    """That another run has put its source's `name` in the place of this one's."""
    return LakehouseError(
        f"Another run is at work on the source {source} in this lakehouse, and this one is on {own}: {name} was "
        "replaced meanwhile. Run again when it has ended, or give each source a STEDI_LAKEHOUSE of its own."
    )
