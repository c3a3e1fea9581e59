"""How well the feeds join.

Belongs here: checks of shares. Most need no query of their own: they read the reconciliation of their table
(`reconciliation.py`), which runs once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from resources.lazy import LazyModule
from stedi_assets.checks import reconciliation
from stedi_assets.pipeline.checks import Covers, Facts, Numbers, TableCheck, coverage_check, each_column, result
from stedi_assets.pipeline.reconciliation import BECAME, RETAINED, reconciled
from stedi_assets.rules import person

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")


def _retained(numbers: Numbers) -> tuple[float, float]:
    return numbers.get(RETAINED, 0), sum(numbers.values()) - numbers.get(BECAME, 0)


def _known(numbers: Numbers) -> tuple[float, float]:
    total = _retained(numbers)[1]
    return total - numbers.get(reconciliation.UNKNOWN_USER, 0), total


def _matched(numbers: Numbers) -> tuple[float, float]:
    retained = numbers.get(RETAINED, 0)
    return retained, retained + numbers.get(reconciliation.NO_MATCH, 0)


_shares = partial(each_column, names=("covered", "of"))


def _measured(numbers: Numbers) -> tuple[float, float]:
    return numbers.get("covered", 0), numbers.get("of", 0)


readings_of_known_customers = coverage_check(
    "readings_of_known_customers",
    reconciliation.accelerometer_trusted,
    reconciled,
    _known,
    warn_below=0.9,
    description="Share of accelerometer readings whose user is a known customer. Low: the customer feed is "
    "incomplete, or phones send another address than the website.",
)

consenting_customers_with_readings = coverage_check(
    "consenting_customers_with_readings",
    reconciliation.customers_curated,
    reconciled,
    _retained,
    warn_below=0.5,
    description="Share of consenting customers who have accelerometer readings. Low: the phone app's feed is "
    "incomplete.",
)

distances_matched = coverage_check(
    "distances_matched",
    reconciliation.machine_learning_curated,
    reconciled,
    _matched,
    warn_below=0.5,
    description="Share of trusted distance readings of a single holder that have an accelerometer reading of the "
    "same customer at the same millisecond. Low: the clocks of phone and Step Trainer have drifted apart.",
)


def _curated_with_distances(rows: DataFrame, customers_curated: DataFrame) -> DataFrame:
    measured = rows.select("serialnumber").distinct().withColumn("measured", F.lit(1))
    customers = customers_curated.select("serialnumber").join(measured, "serialnumber", "left")
    return customers.agg(F.count("measured").alias("covered"), F.count("*").alias("of"))


curated_customers_with_distances = coverage_check(
    "curated_customers_with_distances",
    _curated_with_distances,
    _shares,
    _measured,
    warn_below=0.5,
    covers=Covers.AT_ONCE,
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


accelerometer_readings_matched = coverage_check(
    "accelerometer_readings_matched",
    _accelerometer_matches,
    _shares,
    _measured,
    warn_below=0.5,
    description="Share of trusted accelerometer readings that have a distance reading of the same customer at the "
    "same millisecond. Low: Step Trainers send fewer readings than phones, or their clocks differ.",
)

MOST_READINGS_PER_MATCH = 10.0


def _evaluate_fan_out(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
    matched = numbers.get(RETAINED, 0)
    fan_out = numbers.get(BECAME, 0) / matched if matched else 0.0
    sentence = f"{fan_out:.2f} accelerometer readings per matched distance reading; expected at most "
    sentence += f"{MOST_READINGS_PER_MATCH:.0f}."
    metadata = {"readings per match": fan_out, "distance readings matched": int(matched)}
    return result(fan_out <= MOST_READINGS_PER_MATCH, sentence, metadata, error=False)


readings_per_match = TableCheck(
    "readings_per_match",
    "How many accelerometer readings one distance reading is joined with. Many: a phone sends bursts, or readings "
    "were delivered in several files that are not equal.",
    blocking=False,
    query=reconciliation.machine_learning_curated,
    measure=reconciled,
    evaluate=_evaluate_fan_out,
    covers=Covers.SUM,
)
