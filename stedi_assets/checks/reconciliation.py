"""Where every row went: for each table, the rule that dropped an input row.

Belongs here: one function per table, which labels the rows of its first upstream table (see
`pipeline/reconciliation.py`). The tables are filters and joins, these are labels over all rows: an accident in either
makes the sums differ. Does not belong here: what follows from the labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.checks.independent_rules import consent_of_customers, consent_on_serials, too_early
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
    readings = _with_repeats(accelerometer_records.withColumn("person", person("user")).drop("user"))
    owned = readings.join(consent_of_customers(customer_records, customer_quarantine), "person", "left")
    return _once(owned.withColumn("rule", rule))


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
    holders = consent_on_serials(customer_records, customer_quarantine)
    readings = _with_repeats(step_trainer_records).join(holders, "serialnumber", "left")
    readings = readings.join(curated, "serialnumber", "left")
    rule = (
        F.when(F.col("all_agreed").isNull(), UNKNOWN_SERIAL)
        .when(~F.col("all_agreed") & F.col("all_agreed_or_doubted"), IN_DOUBT)
        .when(~F.col("all_agreed"), HOLDER_WITHOUT_CONSENT)
        .when(F.col("curated").isNull(), HOLDERS_WITHOUT_READINGS)
        .when(too_early(consent, "sensorreadingtime"), BEFORE_CONSENT)
    )
    return _once(readings.withColumn("rule", rule))


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


def _with_repeats(records: DataFrame) -> DataFrame:
    """The records without their files, and beside them each one that several files have, with the `surplus`: how often
    it occurs beyond the one file that has it most often. Of a record itself it is null.

    Looked for before anything is known of the records: labelled ones were worked out five times for it.
    """
    values = [name for name in records.columns if name != FILE.name]
    hashed = records.withColumn("_record", F.hash(*values))
    twice = hashed.groupBy("_record").agg(F.count("*").alias("times")).where("times > 1").select("_record")
    several = hashed.join(twice, "_record", "left_semi")
    times = several.groupBy("_record", FILE.name, *values).agg(F.count("*").alias("times"))
    again = (
        times.groupBy("_record", *values).agg((F.sum("times") - F.max("times")).alias("surplus")).where("surplus > 0")
    )
    return records.select(*values, F.lit(None).cast("bigint").alias("surplus")).unionByName(
        again.select(*values, "surplus")
    )


def _once(rows: DataFrame) -> DataFrame:
    """Label rows that have a `rule` and a `surplus`: of records that no rule drops, what is too many is taken back."""
    counted = rows.groupBy("rule", F.col("surplus").isNotNull().alias("repeats")).agg(
        F.coalesce(F.sum("surplus"), F.count("*")).alias("rows")
    )
    # Two rows from one, since engines work out anew what is used once more.
    each_way = counted.withColumn("way", F.explode(F.array(F.lit("own"), F.lit("back"), F.lit("again"))))
    labelled = each_way.where("repeats = (way <> 'own') AND (NOT repeats OR rule IS NULL)")
    rows_each = F.when(F.col("way") == "back", -F.col("rows")).otherwise(F.col("rows"))
    rule = F.when(F.col("way") == "again", DELIVERED_AGAIN).otherwise(F.col("rule"))
    becomes = F.when(rule.isNull(), rows_each).otherwise(F.lit(0).cast("bigint"))
    return labelled.select(rule.alias("rule"), rows_each.alias("rows"), becomes.alias("becomes"))
