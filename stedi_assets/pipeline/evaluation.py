"""What the checks of a version find: of all of it, or of the days that are made again.

Belongs here: the one query that measures all checks of a table, and the two checks that every table has without one.
Does not belong here: what a check is (`checks.py`), or what follows from what they find (`step.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from inspect import signature
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import analysing
from resources.iceberg.version import Version
from resources.lazy import LazyModule
from stedi_assets.contracts import Table
from stedi_assets.pipeline.checks import (
    FAILING,
    MATCHES_CONTRACT,
    Check,
    Covers,
    Facts,
    Numbers,
    Query,
    TableCheck,
    result,
)
from stedi_assets.pipeline.inputs import MEASURED, Inputs
from stedi_assets.pipeline.reconciliation import rows_but_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row
    from pyspark.sql import functions as F

    from stedi_assets.pipeline.changes import Changes
    from stedi_assets.pipeline.table import LakehouseTable
else:
    F = LazyModule("pyspark.sql.functions")


@dataclass
class Evaluation:
    """What the checks of one table found: results for Dagster, numbers for the report, and what stops the table."""

    results: list[dg.AssetCheckResult] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)

    def add(self, check: Check, asset: str, found: dg.AssetCheckResult) -> None:
        """Note one result."""
        self.results.append(check.named(asset, found))
        if check.blocking and not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            self.stops.append(f"{check.name}: {found.description}")

    def add_all(self, checks: Iterable[TableCheck], asset: str, numbers: Mapping[str, Numbers], facts: Facts) -> None:
        """Note what each check finds in its numbers."""
        self.numbers.update(numbers)
        for check in checks:
            self.add(check, asset, check.evaluate(numbers[check.name], facts))

    def selected(self, context: dg.AssetExecutionContext) -> list[dg.AssetCheckResult]:
        """The results of the checks that this run asked for."""
        asked = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
        return [one for one in self.results if (one.asset_key, one.check_name) in asked]


def evaluate(table: Table, columns: Sequence[tuple[str, str]]) -> Evaluation:
    """Hold rows with these columns to the table's contract: no other query could run on wrong ones."""
    evaluation = Evaluation()
    evaluation.add(MATCHES_CONTRACT, table.name, _schema(table, columns))
    return evaluation


def kept_its_rows(served: int, expected: float, rows: int, limit: float) -> dg.AssetCheckResult:
    """Whether so many rows may follow the ones that are served, of which `expected` could be here again."""
    lost = max(1 - rows / expected, 0.0) if expected else 0.0
    sentence = f"{rows:,} rows, after {served:,}."
    if lost > limit:
        sentence += (
            f" {lost:.0%} are lost; at most {limit:.0%} may be. If that is meant, set STEDI_SHRINK_LIMIT=1 for a run."
        )
    return result(lost <= limit, sentence, {"rows before": served, "rows": rows, "lost": round(lost, 4)})


def evaluate_loss(
    table: LakehouseTable,
    served: Version | None,
    numbers: Mapping[str, Numbers],
    rows: int,
    limit: float,
    inputs: Inputs,
) -> dg.AssetCheckResult:
    """Whether a version with so many rows may follow the served one.

    Rows that its inputs have lost, or whose customers have no consent any more, are not expected.
    """
    if served is None:
        return kept_its_rows(0, 0, rows, limit)
    then, now = measured(served).get("rows_reconciled", {}), numbers.get("rows_reconciled", {})
    could_be, could_be_then = rows_but_for(now, table.excused), rows_but_for(then, table.excused)
    expected = served.rows * could_be / could_be_then if table.reconciliation and could_be_then else served.rows
    found = kept_its_rows(served.rows, expected, rows, limit)
    if found.passed:
        return found
    # Who withdrew may have had more of the rows than others: they are counted only where that decides.
    return kept_its_rows(served.rows, min(expected, covered_by_consent(table, served, inputs)), rows, limit)


def covered_by_consent(table: LakehouseTable, served: Version, inputs: Inputs) -> int:
    """How many of the served rows today's consents still cover."""
    checks = [check for check in table.checks if check.of_consent]
    read = inputs.lakehouse.read(inputs.spark.spark_session, table.contract, served.content)
    if not checks or read is None:
        return served.rows
    scope = Scope(table.name, inputs, {"rows": read[0]})
    numbers = measure_all((scope, check) for check in checks)[scope]
    return served.rows - sum(int(found[FAILING]) for found in numbers.values())


def _schema(table: Table, columns: Sequence[tuple[str, str]]) -> dg.AssetCheckResult:
    """Whether the columns are those of the contract, in its order."""
    wanted = [(column.name, column.type) for column in table.columns]
    missing = [f"{name} {kind}" for name, kind in wanted if (name, kind) not in columns]
    surplus = [f"{name} {kind}" for name, kind in columns if (name, kind) not in wanted]
    passed = wanted == list(columns)
    sentence = "The columns are those of the contract."
    if missing or surplus:
        sentence = f"Missing: {', '.join(missing) or 'none'}. Not in the contract: {', '.join(surplus) or 'none'}."
    elif not passed:
        sentence = f"Not in the contract's order: {', '.join(name for name, _ in columns)}."
    return result(passed, sentence, {"columns": len(columns)})


@dataclass(frozen=True, eq=False)
class Scope:
    """Rows of one table, and what they are held against. `given` are frames by the names that queries ask for."""

    table: str
    inputs: Inputs
    given: Mapping[str, DataFrame]

    def bind(self, query: Query) -> DataFrame:
        """Call the query with what it asks for."""
        return self.inputs.bind(query, **self.given)


def measured(version: Version) -> dict[str, Numbers]:
    """What the checks measured of the version when it was published: {check: {measure: value}}."""
    numbers: dict[str, Numbers] = json.loads(version.properties.get(MEASURED, "{}"))
    return numbers


class Question:
    """What the checks of a version that is about to be published ask for, and what follows from the answers.

    `given` are frames by name, `rows` all rows of that version; `staged` gives those of the days that are made again.
    """

    def __init__(
        self,
        table: Table,
        checks: Sequence[TableCheck],
        changes: Changes,
        inputs: Inputs,
        given: Mapping[str, DataFrame],
        staged: Callable[[], DataFrame],
    ) -> None:
        self._checks, self._onto = checks, changes.onto
        self._whole = self._now = self._then = Scope(table.name, inputs, given)
        if changes.onto and changes.days:
            before = inputs.lakehouse.read(inputs.spark.spark_session, table, changes.onto.content, changes.days)
            assert before is not None  # it is served
            made_of = inputs.as_then(changes.onto).on(changes.days)
            self._now = Scope(table.name, inputs.on(changes.days), {**given, "rows": staged()})
            self._then = Scope(table.name, made_of, {**given, "rows": before[0]})

    @property
    def asked(self) -> list[tuple[Scope, TableCheck]]:
        """What is to be measured."""
        if self._onto is None:
            return [(self._whole, check) for check in self._checks]
        asked = [(self._whole, check) for check in self._checks if check.covers is Covers.ALL]
        if self._now is not self._whole:
            asked += [(self._now, check) for check in self._checks if check.covers is not Covers.ALL]
            asked += [(self._then, check) for check in self._checks if check.covers is Covers.SUM]
        return asked

    def numbers(self, found: Mapping[Scope, Mapping[str, Numbers]]) -> dict[str, Numbers]:
        """What that tells of the whole version: {check: {measure: value}}."""
        whole = found.get(self._whole, {})
        if self._onto is None:
            return dict(whole)
        all_days, now, then = measured(self._onto), found.get(self._now, {}), found.get(self._then, {})
        return {
            check.name: whole[check.name]
            if check.covers is Covers.ALL
            else summed(all_days[check.name], then.get(check.name, {}), now.get(check.name, {}))
            for check in self._checks
        }


def measure_all(asked: Iterable[tuple[Scope, TableCheck]]) -> dict[Scope, dict[str, Numbers]]:
    """Run the queries of these checks as one: {scope: {check: {measure: value}}}.

    A query that does not ask for `rows` is the same for all tables that are held against the same.
    """
    groups: dict[tuple[Any, ...], list[tuple[Scope, TableCheck]]] = {}
    for scope, check in asked:
        own = scope.table if "rows" in signature(check.query).parameters else ""
        groups.setdefault((check.query, check.measure, own, id(scope.inputs)), []).append((scope, check))
    frames = [
        check.measure(scope.bind(check.query)).select(F.lit(number).alias("query"), "measure", "value")
        for number, ((scope, check), *_) in enumerate(groups.values())
    ]
    measured: list[dict[str, float]] = [{} for _ in frames]
    for row in _collect(reduce(lambda one, other: one.unionAll(other), frames)) if frames else ():
        measured[row["query"]][row["measure"]] = float(row["value"] or 0)
    numbers: dict[Scope, dict[str, Numbers]] = {}
    for group, found in zip(groups.values(), measured, strict=True):
        for scope, check in group:
            numbers.setdefault(scope, {})[check.name] = found
    return numbers


def _collect(frame: DataFrame) -> list[Row]:
    with analysing(frame):
        return frame.collect()


def summed(all_days: Numbers, then: Numbers, now: Numbers) -> Numbers:
    """The numbers of all days, where some were `then` and are `now`."""
    names = {*all_days, *then, *now}
    return {name: all_days.get(name, 0) - then.get(name, 0) + now.get(name, 0) for name in sorted(names)}
