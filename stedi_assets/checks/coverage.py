"""How well the feeds join, and that every row is accounted for.

Belongs here: audits of shares and sums. Most need no query of their own: they read the accounting of their table
(`accounting.py`), which runs once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.checks import reconciliation as accounting
from stedi_assets.pipeline.checks import Audit, Facts, Numbers, Query, Verdict, as_measures, coverage, each_column
from stedi_assets.rules import person

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

KEPT = "kept"
BECAME = "became"


def ledger(frame: DataFrame) -> DataFrame:
    """Labelled rows as measures: rows per rule, rows kept, and how many published rows those became; of none, none."""
    # Summed by rule at first, so that the rows are labelled once.
    by_rule = frame.groupBy(F.coalesce("rule", F.lit(KEPT)).alias("rule")).agg(
        F.sum("rows").alias("rows"), F.sum("becomes").alias("becomes")
    )
    measures = as_measures(by_rule, [(F.col("rule"), "rows"), (F.lit(BECAME), "becomes")])
    return measures.groupBy("measure").agg(F.sum("value").alias("value"))


def exclusions(numbers: Numbers) -> dict[str, int]:
    """Rows left out, by rule."""
    return {rule: int(rows) for rule, rows in sorted(numbers.items()) if rule not in (KEPT, BECAME)}


def rows_accounted_for(account: Query) -> Audit:
    """The audit that rows in = rows kept + rows left out by a named rule, and that what was kept is what is here."""

    def judge(numbers: Numbers, facts: Facts) -> Verdict:
        left_out = exclusions(numbers)
        kept, became = int(numbers.get(KEPT, 0)), int(numbers.get(BECAME, 0))
        rows_in = kept + sum(left_out.values()) if facts.rows_in is None else facts.rows_in
        balanced = rows_in == kept + sum(left_out.values()) and became == facts.rows_published
        parts = [f"{kept:,} kept", *(f"{rows:,} left out: {rule}" for rule, rows in left_out.items())]
        sentence = f"{rows_in:,} rows in = {'; '.join(parts)}. They became {became:,} rows"
        sentence += "." if balanced else f", but {facts.rows_published:,} are here: rows were lost or invented."
        numbers_shown = {"rows in": rows_in, "rows kept": kept, "rows published": facts.rows_published}
        return Verdict(balanced, True, sentence, {**numbers_shown, **left_out})

    description = "Every row of the upstream table is here, or was left out by a named rule and counted."
    return Audit("rows_accounted_for", description, query=account, measure=ledger, judge=judge)


def _kept(numbers: Numbers) -> tuple[float, float]:
    return numbers.get(KEPT, 0), sum(numbers.values()) - numbers.get(BECAME, 0)


def _known(numbers: Numbers) -> tuple[float, float]:
    total = _kept(numbers)[1]
    return total - numbers.get(accounting.UNKNOWN_USER, 0), total


def _matched(numbers: Numbers) -> tuple[float, float]:
    kept = numbers.get(KEPT, 0)
    return kept, kept + numbers.get(accounting.NO_MATCH, 0)


def _measured(numbers: Numbers) -> tuple[float, float]:
    return numbers.get("covered", 0), numbers.get("of", 0)


readings_of_known_customers = coverage(
    "readings_of_known_customers",
    accounting.accelerometer_trusted,
    ledger,
    _known,
    warn_below=0.9,
    description="Share of accelerometer readings whose user is a known customer. Low: the customer feed is "
    "incomplete, or phones send another address than the website.",
)

consenting_customers_with_readings = coverage(
    "consenting_customers_with_readings",
    accounting.customers_curated,
    ledger,
    _kept,
    warn_below=0.5,
    description="Share of consenting customers who have accelerometer readings. Low: the phone app's feed is "
    "incomplete.",
)

distances_matched = coverage(
    "distances_matched",
    accounting.machine_learning_curated,
    ledger,
    _matched,
    warn_below=0.5,
    description="Share of trusted distance readings of a single holder that have an accelerometer reading of the "
    "same customer at the same millisecond. Low: the clocks of phone and Step Trainer have drifted apart.",
)


def _curated_with_distances(rows: DataFrame, customers_curated: DataFrame) -> DataFrame:
    measured = rows.select("serialnumber").distinct().withColumn("measured", F.lit(1))
    customers = customers_curated.select("serialnumber").join(measured, "serialnumber", "left")
    return customers.agg(F.count("measured").alias("covered"), F.count("*").alias("of"))


curated_customers_with_distances = coverage(
    "curated_customers_with_distances",
    _curated_with_distances,
    each_column,
    _measured,
    warn_below=0.5,
    description="Share of curated customers whose Step Trainer has trusted readings. Low: serial numbers no longer "
    "join, as when the website sent the same few numbers for everybody.",
)


def _accelerometer_matches(rows: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame) -> DataFrame:
    holders = customer_trusted.select(person("email").alias("person"), "serialnumber")
    moments = rows.select("serialnumber", F.col("sensorreadingtime").alias("timestamp")).distinct()
    matched = moments.join(holders, "serialnumber").select("person", "timestamp").distinct()
    readings = accelerometer_trusted.select(person("user").alias("person"), "timestamp")
    joined = readings.join(matched.withColumn("matched", F.lit(1)), ["person", "timestamp"], "left")
    return joined.agg(F.count("matched").alias("covered"), F.count("*").alias("of"))


accelerometer_readings_matched = coverage(
    "accelerometer_readings_matched",
    _accelerometer_matches,
    each_column,
    _measured,
    warn_below=0.5,
    description="Share of trusted accelerometer readings that have a distance reading of the same customer at the "
    "same millisecond. Low: Step Trainers send fewer readings than phones, or their clocks differ.",
)

MOST_READINGS_PER_MATCH = 10.0


def _judge_fan_out(numbers: Numbers, facts: Facts) -> Verdict:
    matched = numbers.get(KEPT, 0)
    fan_out = numbers.get(BECAME, 0) / matched if matched else 0.0
    sentence = f"{fan_out:.2f} accelerometer readings per matched distance reading; expected at most "
    sentence += f"{MOST_READINGS_PER_MATCH:.0f}."
    metadata = {"readings per match": fan_out, "distance readings matched": int(matched)}
    return Verdict(fan_out <= MOST_READINGS_PER_MATCH, False, sentence, metadata)


readings_per_match = Audit(
    "readings_per_match",
    "How many accelerometer readings one distance reading is joined with. Many: a phone sends bursts, or readings "
    "were delivered in several files that are not equal.",
    blocking=False,
    query=accounting.machine_learning_curated,
    measure=ledger,
    judge=_judge_fan_out,
)
