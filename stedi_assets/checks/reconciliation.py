"""Where every row went: for each table, the rule that left an input row out.

Belongs here: one function per table, which labels the rows of its first upstream table. Each
returns `rule` (null: kept), `rows` (how many input rows) and `becomes` (how many published rows they became). The
tables are filters and joins, these are labels over all rows: an accident in either makes the sums differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.checks.independent_rules import serial_verdicts, too_early, verdicts
from stedi_assets.contracts import QUARANTINE_REASON
from stedi_assets.rules import Consent, person

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

ACCEPTED = "the record was accepted"
NOT_LATEST = "not the customer's latest record"
NO_CONSENT = "the customer has not consented"
UNKNOWN_USER = "the user is no customer"
BEFORE_CONSENT = "taken before consent"
NO_READINGS = "the customer has no trusted accelerometer reading"
UNKNOWN_SERIAL = "no customer holds the serial number"
HOLDER_WITHOUT_CONSENT = "a holder of the serial number has not consented"
HOLDERS_WITHOUT_READINGS = "no holder of the serial number has a trusted accelerometer reading"
SEVERAL_HOLDERS = "several customers hold the serial number"
NO_MATCH = "no accelerometer reading of the customer at that millisecond"


def quarantine(records: DataFrame) -> DataFrame:
    """Accepted records, which are in the landing table."""
    return _one_row_each(records, F.when(F.col(QUARANTINE_REASON.name).isNull(), ACCEPTED))


def customer_trusted(customer_landing: DataFrame) -> DataFrame:
    """Records that a later one replaces, and latest records without consent."""
    customers = verdicts(customer_landing)
    replaced = customers.select(
        F.lit(NOT_LATEST).alias("rule"), (F.col("records") - 1).alias("rows"), F.lit(0).alias("becomes")
    )
    latest = _one_row_each(customers, F.when(~F.col("agreed"), NO_CONSENT))
    return replaced.where("rows > 0").unionByName(latest)


def accelerometer_trusted(accelerometer_landing: DataFrame, customer_landing: DataFrame, consent: Consent) -> DataFrame:
    """Readings of strangers, of customers without consent, and from before the consent."""
    readings = accelerometer_landing.select(person("user").alias("person"), "timestamp")
    rule = (
        F.when(F.col("agreed").isNull(), UNKNOWN_USER)
        .when(~F.col("agreed"), NO_CONSENT)
        .when(too_early(consent, "timestamp"), BEFORE_CONSENT)
    )
    return _one_row_each(readings.join(verdicts(customer_landing), "person", "left"), rule)


def customers_curated(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    """Consenting customers without readings."""
    active = accelerometer_trusted.select(person("user").alias("person")).distinct().withColumn("active", F.lit(1))
    customers = customer_trusted.select(person("email").alias("person")).join(active, "person", "left")
    return _one_row_each(customers, F.when(F.col("active").isNull(), NO_READINGS))


def step_trainer_trusted(
    step_trainer_landing: DataFrame,
    customer_landing: DataFrame,
    customers_curated: DataFrame,
    consent: Consent,
) -> DataFrame:
    """Readings of Step Trainers that nobody holds, or whose holders have not all consented, or have no readings."""
    curated = customers_curated.select("serialnumber").distinct().withColumn("curated", F.lit(1))
    readings = (
        step_trainer_landing.select("serialnumber", "sensorreadingtime")
        .join(serial_verdicts(customer_landing), "serialnumber", "left")
        .join(curated, "serialnumber", "left")
    )
    rule = (
        F.when(F.col("all_agreed").isNull(), UNKNOWN_SERIAL)
        .when(~F.col("all_agreed"), HOLDER_WITHOUT_CONSENT)
        .when(F.col("curated").isNull(), HOLDERS_WITHOUT_READINGS)
        .when(too_early(consent, "sensorreadingtime"), BEFORE_CONSENT)
    )
    return _one_row_each(readings, rule)


def machine_learning_curated(
    step_trainer_trusted: DataFrame, customer_trusted: DataFrame, accelerometer_trusted: DataFrame
) -> DataFrame:
    """Distance readings of shared Step Trainers, and those that nothing matches. The others become several rows."""
    holders = customer_trusted.groupBy("serialnumber").agg(
        F.count("*").alias("holders"), F.max(person("email")).alias("person")
    )
    matches = (
        accelerometer_trusted.select(person("user").alias("person"), F.col("timestamp").alias("sensorreadingtime"))
        .groupBy("person", "sensorreadingtime")
        .agg(F.count("*").alias("matches"))
    )
    distances = (
        step_trainer_trusted.select("serialnumber", "sensorreadingtime")
        .join(holders, "serialnumber", "left")
        .join(matches, ["person", "sensorreadingtime"], "left")
    )
    rule = (
        F.when(F.col("holders").isNull(), UNKNOWN_SERIAL)
        .when(F.col("holders") > 1, SEVERAL_HOLDERS)
        .when(F.col("matches").isNull(), NO_MATCH)
    )
    return _one_row_each(distances, rule, becomes=F.col("matches"))


def _one_row_each(rows: DataFrame, rule: Column, becomes: Column | None = None) -> DataFrame:
    """Label every row; a kept one becomes one published row, or `becomes` of them."""
    kept = F.lit(1) if becomes is None else becomes
    return rows.select(
        rule.alias("rule"), F.lit(1).alias("rows"), F.when(rule.isNull(), kept).otherwise(0).alias("becomes")
    )
