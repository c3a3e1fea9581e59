"""What a check is.

Belongs here: the kinds of checks, and how what one measures becomes Dagster's check result. Does not belong here: what
is promised (`stedi_assets/checks/`), or running them (`evaluation.py`).

The parameters of a check's `query` say what it needs: `rows` is what is checked, an option such as `consent` the run's
choice, and any other name the table of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.lazy import LazyModule
from stedi_assets.contracts import Table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

Query = Callable[..., "DataFrame"]
Numbers = Mapping[str, float]

FAILING = "rows that break the promise"


@dataclass(frozen=True)
class Facts:
    """What the commit's files and the inputs' own commits already say: no query is needed for it.

    `dropped` are the rows that named rules dropped, as far as the table has a reconciliation. `all_withdrew` tells
    whether consent covers no served row any more, `hint` what else helps: both are asked where a check failed, and
    only then.
    """

    rows_in: int | None = None
    rows_published: int = 0
    an_input_is_empty: bool = False
    an_input_turned_empty: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    all_withdrew: Callable[[], bool] = lambda: False
    hint: Callable[[Numbers], str] = lambda _: ""


def result(passed: bool, sentence: str, metadata: Mapping[str, Any], *, error: bool = True) -> dg.AssetCheckResult:
    """A check's result before it has a name; `error` says whether a failure of it is one, or a warning."""
    severity = dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=passed, severity=severity, description=sentence, metadata=dict(metadata))


@dataclass(frozen=True)
class Check:
    """A promise as Dagster knows it: a named check of one asset. A failed blocking check stops the table."""

    name: str
    description: str
    blocking: bool = True

    def spec(self, asset: str) -> dg.AssetCheckSpec:
        """The check as the UI lists it under its asset."""
        return dg.AssetCheckSpec(self.name, asset=asset, description=self.description, blocking=self.blocking)

    def named(self, asset: str, found: dg.AssetCheckResult) -> dg.AssetCheckResult:
        """The result as this check's, of that asset."""
        return found._replace(asset_key=dg.AssetKey(asset), check_name=self.name)


class Covers(Enum):
    """What of a version a check reads where some days of the table were made anew, and all others stay.

    Executed alone, every check reads the whole table.
    """

    ALL = "the whole version: the days that stay too"
    AT_ONCE = "the whole version, of which spans of days tell too little: its numbers cannot be added up"
    DAYS = "the days made anew: on the others, the promise was kept, and no row has changed"
    SUM = "the days made anew, and the same days as they were: its numbers are sums, kept for the whole table"


@dataclass(frozen=True, kw_only=True)
class TableCheck(Check):
    """A check that a query measures.

    `measure` turns the query's frame into (measure, value) rows. Checks that share a query share its one run.
    `against_today`: look at today's customers even where the table was made from yesterday's. `of_consent`: a row that
    breaks the promise has no consent.
    """

    query: Query
    measure: Callable[[DataFrame], DataFrame]
    evaluate: Callable[[Numbers, Facts], dg.AssetCheckResult]
    against_today: bool = False
    of_consent: bool = False
    covers: Covers = Covers.ALL


MATCHES_CONTRACT = Check("matches_contract", "The columns and their types are exactly those of the table's contract.")

KEPT_ITS_ROWS = Check(
    "kept_its_rows",
    "Not more than the share STEDI_SHRINK_LIMIT of the rows that are served is lost, but for what the inputs have lost "
    "themselves, and for customers who have no consent any more. A feed that turned empty is a fault until somebody "
    "says that it is meant.",
)


def count_rows(frame: DataFrame) -> DataFrame:
    """How many rows the query found."""
    return frame.agg(F.lit(FAILING).alias("measure"), F.count("*").cast("double").alias("value"))


def each_column(frame: DataFrame, names: Sequence[str] = ()) -> DataFrame:
    """A one-row frame's columns as measures. Where nobody says their names, the engine is asked."""
    return as_measures(frame, [(F.lit(name), name) for name in names or frame.columns])


def as_measures(frame: DataFrame, pairs: Iterable[tuple[Column, str]]) -> DataFrame:
    """Of each row, one (measure, value) row for each pair: what the measure is called, and the column of its value."""
    structs = (
        F.struct(measure.alias("measure"), F.col(value).cast("double").alias("value")) for measure, value in pairs
    )
    return frame.select(F.explode(F.array(*structs)).alias("pair")).select("pair.measure", "pair.value")


def blocking_check(
    function: Query, *, against_today: bool = True, of_consent: bool = False, covers: Covers = Covers.ALL
) -> TableCheck:
    """A check that stops the table: the function returns the rows that break the promise of its docstring.

    A promise holds today: executed alone, it is held to today's customers, unless it says otherwise.
    """

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        failing = int(numbers.get(FAILING, 0))
        sentence = "Every row keeps the promise." if not failing else f"{failing:,} rows break the promise."
        return result(not failing, sentence, {FAILING: failing, "rows checked": facts.rows_published})

    return TableCheck(
        function.__name__,
        _doc(function),
        query=function,
        measure=count_rows,
        evaluate=evaluate,
        against_today=against_today,
        of_consent=of_consent,
        covers=covers,
    )


def warning_check(what: str, covers: Covers = Covers.SUM) -> Callable[[Query], TableCheck]:
    """A check that counts and warns: the function returns the rows that are worth a look."""

    def decorate(function: Query) -> TableCheck:
        def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
            found = int(numbers.get(FAILING, 0))
            return result(not found, f"{found:,} {what}.", {what: found}, error=False)

        return TableCheck(
            function.__name__,
            _doc(function),
            blocking=False,
            query=function,
            measure=count_rows,
            evaluate=evaluate,
            covers=covers,
        )

    return decorate


def required_columns_filled(table: Table) -> TableCheck:
    """The check that no required column of the table holds a null."""

    def query(rows: DataFrame) -> DataFrame:
        return rows.agg(*(F.count(F.when(F.col(name).isNull(), 1)).alias(name) for name in table.required))

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        nulls = {name: int(count) for name, count in numbers.items() if count}
        sentence = "Nulls in: " + ", ".join(nulls) + "." if nulls else "No null in a required column."
        return result(not nulls, sentence, {"required columns": ", ".join(table.required), **nulls})

    promised = f"No null in a required column ({', '.join(table.required)})."
    measure = partial(each_column, names=table.required)
    return TableCheck(
        "required_columns_filled", promised, query=query, measure=measure, evaluate=evaluate, covers=Covers.DAYS
    )


def coverage_check(
    name: str,
    query: Query,
    measure: Callable[[DataFrame], DataFrame],
    share_of: Callable[[Numbers], tuple[float, float]],
    warn_below: float,
    description: str,
    covers: Covers = Covers.SUM,
) -> TableCheck:
    """A check of a share: below `warn_below` it warns; nothing at all, where there could be something, stops.

    Where an input never had a row there could be nothing: a feed that has not begun is no fault of the join. Where one
    turned empty, nobody can know how well it would have joined.
    """

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        covered, of = share_of(numbers)
        metadata = {"covered": int(covered), "of": int(of), "warns below": warn_below}
        if facts.an_input_turned_empty:
            return result(False, "Not to be measured: an input of the table has turned empty.", metadata)
        if not of:
            return result(True, "There is nothing to measure yet.", metadata)
        share = covered / of
        # Who withdrew never waits for those who are left to have readings that match.
        nothing = covered == 0 and not facts.an_input_is_empty and not facts.all_withdrew()
        sentence = f"{covered:,.0f} of {of:,.0f} ({share:.1%}); expected at least {warn_below:.0%}."
        if nothing and facts.dropped:
            rule = max(facts.dropped, key=facts.dropped.__getitem__)
            sentence += f" Most rows were dropped for this reason: {rule} ({facts.dropped[rule]:,})."
        passed = share >= warn_below and not nothing
        return result(passed, sentence, {"share": round(share, 4), **metadata}, error=nothing)

    return TableCheck(name, description, query=query, measure=measure, evaluate=evaluate, covers=covers)


def _doc(function: Query) -> str:
    return " ".join((function.__doc__ or "").split())
