"""That the rows of a table add up: rows in = rows retained + rows dropped by a named rule, and retained rows are here.

Belongs here: the check that every table with a reconciliation gets, and its numbers. Does not belong here: the rules
(`stedi_assets/checks/reconciliation.py`).

A reconciliation is a query that labels the rows of a table's first upstream table. Columns: `rule` (null: retained),
`rows` (how many input rows), `becomes` (how many published rows they became).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from resources.lazy import LazyModule
from stedi_assets.pipeline.checks import Covers, Facts, Numbers, Query, TableCheck, as_measures, result

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

RETAINED, BECAME = "retained", "became"


def reconciled(frame: DataFrame) -> DataFrame:
    """Labelled rows as measures: rows per rule, rows retained, and how many rows those became; of none, none."""
    # Summed by rule at first, so that the rows are labelled once.
    by_rule = frame.groupBy(F.coalesce("rule", F.lit(RETAINED)).alias("rule")).agg(
        F.sum("rows").alias("rows"), F.sum("becomes").alias("becomes")
    )
    measures = as_measures(by_rule, [(F.col("rule"), "rows"), (F.lit(BECAME), "becomes")])
    return measures.groupBy("measure").agg(F.sum("value").alias("value"))


def dropped(numbers: Numbers) -> dict[str, int]:
    """Rows dropped, by rule."""
    return {rule: int(rows) for rule, rows in sorted(numbers.items()) if rows and rule not in (RETAINED, BECAME)}


def rows_but_for(numbers: Numbers, rules: Collection[str]) -> float:
    """How many rows came in that none of these rules dropped."""
    return sum(rows for rule, rows in numbers.items() if rule not in (*rules, BECAME))


def dropped_rows(numbers: Mapping[str, Numbers]) -> dict[str, int]:
    """Rows dropped, by rule, for a table's page; `numbers` are those of its checks."""
    return {f"dropped: {rule}": rows for rule, rows in dropped(numbers.get("rows_reconciled", {})).items()}


def rows_reconciled(reconciliation: Query) -> TableCheck:
    """The check that rows in = rows retained + rows dropped by a named rule, and that what was retained is here."""

    def evaluate(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
        rules = dropped(numbers)
        retained, became = int(numbers.get(RETAINED, 0)), int(numbers.get(BECAME, 0))
        rows_in = retained + sum(rules.values()) if facts.rows_in is None else facts.rows_in
        balanced = rows_in == retained + sum(rules.values()) and became == facts.rows_published
        parts = [f"{retained:,} retained", *(f"{rows:,} dropped: {rule}" for rule, rows in rules.items())]
        sentence = f"{rows_in:,} rows in = {'; '.join(parts)}. They became {became:,} rows"
        sentence += "." if balanced else f", but {facts.rows_published:,} are here: rows were lost or invented."
        shown = {"rows in": rows_in, "rows retained": retained, "rows published": facts.rows_published}
        return result(balanced, sentence, {**shown, **rules})

    description = "Every row of the upstream table is here, or was dropped by a named rule and counted."
    return TableCheck(
        "rows_reconciled",
        description,
        query=reconciliation,
        measure=reconciled,
        evaluate=evaluate,
        covers=Covers.SUM,
    )
