"""Where every row went: for each table, the rule that dropped an input row.

Belongs here: one function per table, which labels the rows of its first upstream table (see
`pipeline/reconciliation.py`). The tables are filters and joins, these are labels over all rows: an accident in either
makes the sums differ. Does not belong here: what follows from the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.checks.independent_rules import consent_of_customers, consent_of_serials, too_early
from stedi_assets.contracts import FILE
from stedi_assets.rules import Consent, person

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

NOT_LATEST = "not the customer's latest record"
NO_CONSENT = "the customer has not consented"
IN_DOUBT = "a record of the customer could not be read"
UNKNOWN_USER = "the user is no customer"
BEFORE_CONSENT = "taken before consent"
NO_READINGS = "the customer has no trusted accelerometer reading"
UNKNOWN_SERIAL = "no customer holds the serial number"
HOLDER_WITHOUT_CONSENT = "a holder of the serial number has not consented"
HOLDERS_WITHOUT_READINGS = "no holder of the serial number has a trusted accelerometer reading"
SEVERAL_HOLDERS = "several customers hold the serial number"
DELIVERED_AGAIN = "delivered again"
NO_MATCH = "no accelerometer reading of the customer at that millisecond"

NO_LOSS = {NOT_LATEST, NO_CONSENT, IN_DOUBT, HOLDER_WITHOUT_CONSENT, BEFORE_CONSENT, DELIVERED_AGAIN}
"""Rules by which any number of rows may go: a withdrawal is never held up because it is one of many."""


def customer_trusted(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """Records that a later one replaces, latest records without consent, and those of customers in doubt."""
    customers = consent_of_customers(customer_records, customer_quarantine)
    replaced = customers.select(
        F.lit(NOT_LATEST).alias("rule"), (F.col("records") - 1).alias("rows"), F.lit(0).alias("becomes")
    )
    latest = _one_row_each(customers, F.when(F.col("doubted"), IN_DOUBT).when(~F.col("agreed"), NO_CONSENT))
    return replaced.where("rows > 0").unionByName(latest)


def accelerometer_trusted(
    accelerometer_records: DataFrame, customer_records: DataFrame, customer_quarantine: DataFrame, consent: Consent
) -> DataFrame:
    """Readings of strangers, of customers without consent, from before the consent, and what was delivered again."""
    rule = (
        F.when(F.col("agreed").isNull(), UNKNOWN_USER)
        .when(F.col("doubted"), IN_DOUBT)
        .when(~F.col("agreed"), NO_CONSENT)
        .when(too_early(consent, "timestamp"), BEFORE_CONSENT)
    )
    readings = accelerometer_records.withColumn("person", person("user"))
    owned = readings.join(consent_of_customers(customer_records, customer_quarantine), "person", "left")
    return _once(owned.withColumn("rule", rule), accelerometer_records.columns)


def customers_curated(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    """Consenting customers without readings."""
    active = accelerometer_trusted.select(person("user").alias("person")).distinct().withColumn("active", F.lit(1))
    customers = customer_trusted.select(person("email").alias("person")).join(active, "person", "left")
    return _one_row_each(customers, F.when(F.col("active").isNull(), NO_READINGS))


def step_trainer_trusted(
    step_trainer_records: DataFrame,
    customer_records: DataFrame,
    customer_quarantine: DataFrame,
    customers_curated: DataFrame,
    consent: Consent,
) -> DataFrame:
    """Readings of Step Trainers that nobody holds, whose holders have not all consented or have no readings, or that
    were delivered again.
    """
    curated = customers_curated.select("serialnumber").distinct().withColumn("curated", F.lit(1))
    holders = consent_of_serials(consent_of_customers(customer_records, customer_quarantine))
    readings = step_trainer_records.join(holders, "serialnumber", "left").join(curated, "serialnumber", "left")
    rule = (
        F.when(F.col("all_agreed").isNull(), UNKNOWN_SERIAL)
        .when(~F.col("all_agreed") & F.col("all_agreed_or_doubted"), IN_DOUBT)
        .when(~F.col("all_agreed"), HOLDER_WITHOUT_CONSENT)
        .when(F.col("curated").isNull(), HOLDERS_WITHOUT_READINGS)
        .when(too_early(consent, "sensorreadingtime"), BEFORE_CONSENT)
    )
    return _once(readings.withColumn("rule", rule), step_trainer_records.columns)


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
    """Label every row; a retained one becomes one published row, or `becomes` of them."""
    retained = F.lit(1) if becomes is None else becomes
    return rows.select(
        rule.alias("rule"), F.lit(1).alias("rows"), F.when(rule.isNull(), retained).otherwise(0).alias("becomes")
    )


def _once(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Label rows that have a `rule`; of those it retains, what another file has as well is taken back again."""
    values = [name for name in columns if name != FILE.name]
    retained = rows.where("rule IS NULL").select(F.xxhash64(*values).alias("record"), FILE.name)
    twice = retained.groupBy("record").agg(F.min(FILE.name).alias("one"), F.max(FILE.name).alias("other"))
    several = retained.join(twice.where("one <> other").select("record"), "record", "left_semi")
    times = several.groupBy("record", FILE.name).agg(F.count("*").alias("times"))
    surplus = (
        times.groupBy("record").agg((F.sum("times") - F.max("times")).alias("rows")).agg(F.sum("rows").alias("rows"))
    )
    again = surplus.where("rows > 0")
    back = again.select(
        F.lit(None).cast("string").alias("rule"), (-F.col("rows")).alias("rows"), (-F.col("rows")).alias("becomes")
    )
    dropped = again.select(F.lit(DELIVERED_AGAIN).alias("rule"), "rows", F.lit(0).cast("bigint").alias("becomes"))
    return _one_row_each(rows, F.col("rule")).unionByName(back).unionByName(dropped)
