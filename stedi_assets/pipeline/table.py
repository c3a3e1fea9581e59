"""The decorator that makes a table function an asset: compute, stage, audit, publish, report.

Belongs here: what all lakehouse tables have in common as assets. Does not belong here: any one table.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` as it stands.
import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Version
from stedi_assets import rules
from stedi_assets.checks.consent import required_columns_filled
from stedi_assets.checks.coverage import exclusions, rows_accounted_for
from stedi_assets.contracts import FEEDS, TABLES, Table
from stedi_assets.pipeline import report
from stedi_assets.pipeline.checks import Audit, Facts, Query
from stedi_assets.pipeline.publish import (
    INPUTS,
    MATCHES_CONTRACT,
    Outcome,
    Stopwatch,
    Tables,
    audit,
    provenance,
    publish_or_discard,
    table_inputs,
)
from stedi_assets.pipeline.schemas import column_lineage, dagster_schema, tags
from stedi_assets.rules import Consent

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OWNER = "team:data-platform"


@dataclass(frozen=True)
class LakehouseTable:
    """A table: its contract, the pure function that computes it, and what is audited before it is published."""

    contract: Table
    function: Callable[..., "DataFrame"]
    audits: tuple[Audit, ...]
    account: Query | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> "DataFrame":
        """Compute the table from DataFrames, with no storage and no Dagster: what unit tests call."""
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The table's name, which is also the asset's key."""
        return self.contract.name

    @property
    def inputs(self) -> list[str]:
        """The upstream tables."""
        return table_inputs(self.function)

    def code_version(self, consent: Consent) -> str:
        """Changes when the function, the rules' vocabulary, the contract or the consent rule changes."""
        return code_version(self.function, rules, repr(self.contract), consent.value)

    def asset(self, consent: Consent, lakehouse: Lakehouse) -> dg.AssetsDefinition:
        """The asset and its checks. Nothing is opened: `lakehouse` only says where the table will lie."""
        definition = self

        @dg.multi_asset(
            name=self.name,
            specs=[asset_spec(self.contract, self.function, self.code_version(consent), lakehouse)],
            check_specs=[check.spec(self.name) for check in (MATCHES_CONTRACT, *self.audits)],
            can_subset=True,
        )
        def step(context: dg.AssetExecutionContext, spark: SparkEngine, lakehouse: Lakehouse) -> Iterator[Any]:
            tables = Tables(spark, lakehouse, consent)
            with spark.at_work():
                if context.selected_asset_keys:
                    yield from definition._materialize(context, tables)
                else:
                    yield from definition._audit_published(context, tables)

        return step

    def _materialize(self, context: dg.AssetExecutionContext, tables: Tables) -> Iterator[Any]:
        watch = Stopwatch()
        frame = tables.bind(self.function)
        tables.refuse_another_rule(self.inputs)
        source = tables.source(self.inputs)
        with tables.lakehouse.stage(frame, self.contract, context.run_id) as staged:
            watch.lap("compute")
            rows = tables.lakehouse.read_staged(tables.spark.spark_session, staged)
            facts = self._facts(tables, staged.rows)
            outcome = audit(
                self.contract,
                self.audits,
                rows,
                staged.columns,
                facts,
                lambda one, r: tables.bind(one.query, rows=r),
            )
            watch.lap("audit")
            yield from outcome.for_dagster(context)
            # What only the audits read counts too: executed alone, they must find what they found here.
            version_of_code = self.code_version(tables.consent)
            origin = provenance(context.run_id, version_of_code, tables.consent, source, tables.snapshots)
            version = publish_or_discard(tables.lakehouse, staged, outcome, self.name, origin)
            watch.lap("publish")
        context.log.info(f"{self.name}: {version.rows:,} rows published as snapshot {version.snapshot_id}")
        shown = self._appearance(tables.lakehouse, version)
        watch.lap("report")
        yield dg.MaterializeResult(
            asset_key=self.name,
            metadata={**self._numbers(tables, outcome, version), **shown, **watch.seconds},
        )

    def _audit_published(self, context: dg.AssetExecutionContext, today: Tables) -> Iterator[dg.AssetCheckResult]:
        """Audit what readers see, without making it anew."""
        version = today.version(self.name)
        then = Tables(today.spark, today.lakehouse, today.consent, json.loads(version.properties.get(INPUTS, "{}")))
        rows = today.frame(self.name)
        outcome = audit(
            self.contract,
            self.audits,
            rows,
            rows.dtypes,
            self._facts(then, version.rows),
            lambda one, r: (today if one.against_today else then).bind(one.query, rows=r),
        )
        yield from outcome.for_dagster(context)

    def _facts(self, tables: Tables, rows_published: int) -> Facts:
        rows_in = [tables.rows(name) for name in self.inputs]
        return Facts(rows_in[0] if self.account else None, rows_published, an_input_is_empty=0 in rows_in)

    def _numbers(self, tables: Tables, outcome: Outcome, version: Version) -> dict[str, Any]:
        left_out = exclusions(outcome.numbers.get("rows_accounted_for", {}))
        return {
            "dagster/row_count": version.rows,
            "size (bytes)": version.size,
            "snapshot id": str(version.snapshot_id),
            **tables.spark.metadata,
            "consent rule": tables.consent.value,
            **{f"left out: {rule}": rows for rule, rows in left_out.items()},
        }

    def _appearance(self, lakehouse: Lakehouse, version: Version) -> dict[str, Any]:
        upstream = [TABLES[name] for name in self.inputs if name in TABLES]
        lineage = column_lineage(self.contract, upstream)
        rows = lakehouse.preview(self.name, version.snapshot_id, self.contract.column_names, report.PREVIEW_ROWS)
        return {"preview": report.preview(self.contract, rows), "dagster/column_lineage": lineage}


def lakehouse_table(
    contract: Table, audits: Sequence[Audit] = (), account: Query | None = None
) -> Callable[[Callable[..., "DataFrame"]], LakehouseTable]:
    """Make a function from upstream DataFrames to a DataFrame the table of that contract.

    The function's parameters name the upstream tables. Every table is held to its contract and, with `account`,
    to the last row; `audits` are its own promises.
    """
    common = [required_columns_filled(contract), *([rows_accounted_for(account)] if account else [])]

    def decorate(function: Callable[..., "DataFrame"]) -> LakehouseTable:
        return LakehouseTable(contract, function, (*audits, *common), account)

    return decorate


def asset_spec(contract: Table, function: Callable[..., Any], version: str, lakehouse: Lakehouse) -> dg.AssetSpec:
    """What the UI knows of a table before its first run."""
    landing_of = {feed.records.name: feed.landing.name for feed in FEEDS}
    upstream = [landing_of.get(name, name) for name in table_inputs(function)]
    return dg.AssetSpec(
        contract.name,
        deps=upstream,
        description=f"{inspect.getdoc(function)}\n\n**One row:** {contract.grain}.",
        group_name=contract.zone.value,
        kinds={"pyspark", "iceberg"},
        owners=[OWNER],
        tags=tags(contract),
        code_version=version,
        metadata={
            "dagster/column_schema": dagster_schema(contract),
            "dagster/column_lineage": column_lineage(contract, [TABLES[name] for name in upstream]),
            "dagster/table_name": lakehouse.identifier(contract.name),
            "dagster/uri": lakehouse.uri(contract.name),
        },
    )


def code_version(*parts: Any) -> str:
    """A hash of functions, modules and texts that ignores comments, docstrings and layout."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else _syntax(part).encode())
    return digest.hexdigest()[:12]


@cache  # Dagster loads the definitions several times for one command
def _syntax(part: Any) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
