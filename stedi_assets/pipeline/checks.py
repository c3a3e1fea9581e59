"""What an audit is, and how the audits of one table are run together.

Belongs here: the kinds of audit, the one query that measures all audits of a table, and the judgement as a Dagster
check result. Does not belong here: what STEDI promises (`audits.py`).

The parameters of an audit's `query` say what it needs: `rows` is what is audited, `consent` the consent rule, and
any other name the table of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import analysed
from resources.lazy import LazyModule

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

Query = Callable[..., "DataFrame"]
Numbers = Mapping[str, float]

BROKEN = "rows that break the promise"


@dataclass(frozen=True)
class Facts:
    """What the commit's files and the inputs' own commits already say: no query is needed for it."""

    rows_in: int | None = None
    rows_published: int = 0
    an_input_is_empty: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether the promise holds; if not, whether that stops the table. `metadata` carries the numbers."""

    passed: bool
    blocks: bool
    sentence: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """A promise as Dagster knows it: a named check of one asset. A failed blocking check stops the table."""

    name: str
    description: str
    blocking: bool = True

    def spec(self, asset: str) -> dg.AssetCheckSpec:
        """The check as the UI lists it under its asset."""
        return dg.AssetCheckSpec(self.name, asset=asset, description=self.description, blocking=self.blocking)

    def result(self, asset: str, verdict: Verdict) -> dg.AssetCheckResult:
        """The check's outcome."""
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=self.name,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if verdict.blocks else dg.AssetCheckSeverity.WARN,
            description=verdict.sentence,
            metadata=dict(verdict.metadata),
        )


@dataclass(frozen=True, kw_only=True)
class Audit(Check):
    """A check that a query measures.

    `measure` turns the query's frame into (measure, value) rows. Audits that share a query share its one run.
    `against_today`: look at today's customers even where the table was made from yesterday's.
    """

    query: Query
    measure: Callable[[DataFrame], DataFrame]
    judge: Callable[[Numbers, Facts], Verdict]
    against_today: bool = False


def measure_all(audits: Iterable[Audit], bind: Callable[[Audit], DataFrame]) -> dict[str, dict[str, float]]:
    """Run the audits' queries as one: {audit: {measure: value}}. `bind` calls an audit's query with its tables."""
    by_query: dict[tuple[Query, Any], list[Audit]] = {}
    for audit in audits:
        by_query.setdefault((audit.query, audit.measure), []).append(audit)
    if not by_query:
        return {}
    frames = [
        group[0].measure(bind(group[0])).select(F.lit(number).alias("query"), "measure", "value")
        for number, group in enumerate(by_query.values())
    ]
    measured: list[dict[str, float]] = [{} for _ in frames]
    for row in analysed(reduce(lambda one, other: one.unionAll(other), frames)).collect():
        measured[row["query"]][row["measure"]] = float(row["value"] or 0)
    return {audit.name: measured[number] for number, group in enumerate(by_query.values()) for audit in group}


def count_rows(frame: DataFrame) -> DataFrame:
    """How many rows the query found."""
    return frame.agg(F.lit(BROKEN).alias("measure"), F.count("*").cast("double").alias("value"))


def each_column(frame: DataFrame) -> DataFrame:
    """A one-row frame's columns as measures."""
    return as_measures(frame, [(F.lit(name), name) for name in frame.columns])


def as_measures(frame: DataFrame, pairs: Iterable[tuple[Column, str]]) -> DataFrame:
    """Of each row, one (measure, value) row for each pair: what the measure is called, and the column of its value."""
    structs = (
        F.struct(measure.alias("measure"), F.col(value).cast("double").alias("value")) for measure, value in pairs
    )
    return frame.select(F.explode(F.array(*structs)).alias("pair")).select("pair.measure", "pair.value")


def promise(function: Query, *, against_today: bool = True) -> Audit:
    """A blocking audit: the function returns the rows that break the promise of its docstring.

    A promise holds today: executed alone, it is audited against today's customers, unless it says otherwise.
    """

    def judge(numbers: Numbers, facts: Facts) -> Verdict:
        broken = int(numbers.get(BROKEN, 0))
        sentence = "Every row keeps the promise." if not broken else f"{broken:,} rows break the promise."
        return Verdict(not broken, True, sentence, {BROKEN: broken, "rows audited": facts.rows_published})

    return Audit(
        function.__name__,
        _doc(function),
        query=function,
        measure=count_rows,
        judge=judge,
        against_today=against_today,
    )


def caution(what: str) -> Callable[[Query], Audit]:
    """An audit that counts and warns: the function returns the rows that are worth a look."""

    def decorate(function: Query) -> Audit:
        def judge(numbers: Numbers, facts: Facts) -> Verdict:
            found = int(numbers.get(BROKEN, 0))
            return Verdict(not found, False, f"{found:,} {what}.", {what: found})

        return Audit(function.__name__, _doc(function), blocking=False, query=function, measure=count_rows, judge=judge)

    return decorate


def coverage(
    name: str,
    query: Query,
    measure: Callable[[DataFrame], DataFrame],
    share_of: Callable[[Numbers], tuple[float, float]],
    warn_below: float,
    description: str,
) -> Audit:
    """An audit of a share: below `warn_below` it warns; nothing at all, where there could be something, blocks.

    Where an input is empty there could be nothing: a feed that has not begun is no fault of the join.
    """

    def judge(numbers: Numbers, facts: Facts) -> Verdict:
        covered, of = share_of(numbers)
        share = covered / of if of else 1.0
        empty = of > 0 and covered == 0 and not facts.an_input_is_empty
        sentence = f"{covered:,.0f} of {of:,.0f} ({share:.1%}); expected at least {warn_below:.0%}."
        metadata = {"share": round(share, 4), "covered": int(covered), "of": int(of), "warns below": warn_below}
        return Verdict(share >= warn_below and not empty, empty, sentence, metadata)

    return Audit(name, description, query=query, measure=measure, judge=judge)


def _doc(function: Query) -> str:
    return " ".join((function.__doc__ or "").split())
