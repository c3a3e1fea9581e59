"""Running the queries of checks: as one, over all of a version, or over the days that are made again, and over spans of
days in turn where they have more rows than engines hold.

Belongs here: from a check's query to its numbers, and their sums for the whole table. Does not belong here: what a
check is (`checks.py`), or what its numbers mean (`evaluation.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from inspect import signature
from typing import TYPE_CHECKING, Any

from resources.engines.engine import analysing
from resources.iceberg.days import within
from resources.lazy import LazyModule
from stedi_assets.pipeline.checks import Covers, Numbers, Query, TableCheck
from stedi_assets.pipeline.inputs import Inputs, measured

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row
    from pyspark.sql import functions as F

    from stedi_assets.pipeline.changes import Changes
    from stedi_assets.pipeline.table import LakehouseTable
else:
    F = LazyModule("pyspark.sql.functions")


WHOLE = (Covers.ALL, Covers.AT_ONCE)


@dataclass(frozen=True, eq=False)
class Scope:
    """Rows of one table, and what they are held against. `given` are frames by the names that queries ask for, `spans`
    the same in spans of days, where that is too much at once.
    """

    table: str
    inputs: Inputs
    given: Mapping[str, DataFrame]
    spans: Sequence[Scope] = ()

    @classmethod
    def of(cls, table: LakehouseTable, inputs: Inputs, given: Mapping[str, DataFrame]) -> Scope:
        """`given["rows"]` of the table, held against these inputs."""
        taken, whole = table.contract.taken, cls(table.name, inputs, given)
        spans = inputs.in_spans(table.inputs) if taken else []
        if not taken or len(spans) == 1:
            return whole
        rows = given["rows"]
        each = [cls(table.name, part, {**given, "rows": within(rows, taken, span)}) for span, part in spans]
        return replace(whole, spans=each)

    def bind(self, query: Query) -> DataFrame:
        """Call the query with what it asks for."""
        return self.inputs.bind(query, **self.given)


class Question:
    """What the checks of a version that is about to be published ask for, and what follows from the answers.

    `given` are frames by name, `rows` all rows of that version; `staged` gives those of the days that are made again.
    """

    def __init__(
        self,
        table: LakehouseTable,
        changes: Changes,
        inputs: Inputs,
        given: Mapping[str, DataFrame],
        staged: Callable[[], DataFrame],
    ) -> None:
        self._checks, self._onto = table.checks, changes.onto
        self._whole = self._now = self._then = Scope.of(table, inputs, given)
        if changes.onto and changes.days:
            session, days = inputs.spark.spark_session, changes.days
            before = inputs.lakehouse.read(session, table.contract, changes.onto.content, days)
            assert before is not None  # it is served
            made_of = inputs.as_then(changes.onto).on(days)
            self._now = Scope.of(table, inputs.on(days), {**given, "rows": staged()})
            self._then = Scope.of(table, made_of, {**given, "rows": before[0]})

    @property
    def asked(self) -> list[tuple[Scope, TableCheck]]:
        """What is to be measured."""
        if self._onto is None:
            return [(self._whole, check) for check in self._checks]
        asked = [(self._whole, check) for check in self._checks if check.covers in WHOLE]
        if self._now is not self._whole:
            asked += [(self._now, check) for check in self._checks if check.covers not in WHOLE]
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
            if check.covers in WHOLE
            else summed(all_days[check.name], then.get(check.name, {}), now.get(check.name, {}))
            for check in self._checks
        }


def measure_all(asked: Iterable[tuple[Scope, TableCheck]]) -> dict[Scope, dict[str, Numbers]]:
    """Run these checks' queries, as one or a span of days after the other: {scope: {check: {measure: value}}}."""
    rounds: dict[int, list[tuple[Scope, Scope, TableCheck]]] = defaultdict(list)
    for scope, check in asked:
        spans = [scope] if check.covers is Covers.AT_ONCE else scope.spans or [scope]
        for number, part in enumerate(spans):
            rounds[number].append((scope, part, check))
    numbers: dict[Scope, dict[str, Numbers]] = {}
    for one in rounds.values():
        found = _measure((part, check) for _, part, check in one)
        for scope, part, check in one:
            known, new = numbers.setdefault(scope, {}), found[part][check.name]
            known[check.name] = summed(known[check.name], {}, new) if check.name in known else new
    return numbers


def _measure(asked: Iterable[tuple[Scope, TableCheck]]) -> dict[Scope, dict[str, Numbers]]:
    """Run these queries as one. One that does not ask for `rows` is the same for all that are held against the same."""
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
