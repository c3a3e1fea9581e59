"""What a mistake in the code would look like: functions that break one rule each, in place of a table's own.

Belongs here: the functions. Which rule each breaks, and what notices it, is listed in `mutations.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resources.lazy import LazyModule
from stedi_assets.checks import reconciliation as accounting
from stedi_assets.contracts import MACHINE_LEARNING_CURATED, Column
from stedi_assets.rules import Consent, consented, consented_serials, latest_record, owners, person, sole_holders
from tests.stedi_assets.runs import ASSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

Function = Callable[..., "DataFrame"]

# Whose customers ----------------------------------------------------------------------------------------------


def without_the_consent_filter(customer_landing: DataFrame) -> DataFrame:
    return latest_record(customer_landing)


def any_consent_date_is_consent(customer_landing: DataFrame) -> DataFrame:
    return latest_record(customer_landing).where("sharewithresearchasofdate is not null")


def oldest_record(customer_landing: DataFrame) -> DataFrame:
    backwards = F.col("lastupdatedate") * -1
    oldest = latest_record(customer_landing.withColumn("lastupdatedate", backwards))
    return oldest.withColumn("lastupdatedate", backwards)


def the_oldest_record_decides(customer_landing: DataFrame) -> DataFrame:
    return oldest_record(customer_landing).where(consented())


def an_older_record_of_a_customer_who_consents(customer_landing: DataFrame) -> DataFrame:
    agreed = latest_record(customer_landing).where(consented()).select(person("email").alias("person"))
    older = the_oldest_record_decides(customer_landing.where(consented()))
    return older.where(person("email").isin([row[0] for row in agreed.collect()]))


def letter_case_makes_another_customer(customer_landing: DataFrame) -> DataFrame:
    spelled = customer_landing.withColumn("spelled", F.col("email"))
    emails = [row[0] for row in spelled.select("email").distinct().collect()]
    first, *others = (latest_record(spelled.where(F.col("email") == email)) for email in emails)
    for one in others:
        first = first.unionByName(one)
    return first.drop("spelled").where(consented())


def active(customers: DataFrame, accelerometer: DataFrame) -> DataFrame:
    readings = accelerometer.select(person("user").alias("person")).distinct()
    return customers.withColumn("person", person("email")).join(readings, "person", "left_semi").drop("person")


def active_customers_whether_they_consented_or_not(
    customer_trusted: DataFrame,
    accelerometer_trusted: DataFrame,
    customer_landing: DataFrame,
    accelerometer_landing: DataFrame,
) -> DataFrame:
    return active(latest_record(customer_landing), accelerometer_landing)


def active_customers_by_their_oldest_record(
    customer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_landing: DataFrame
) -> DataFrame:
    return active(the_oldest_record_decides(customer_landing), accelerometer_trusted)


def customers_who_never_moved(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    return customer_trusted


def customers_once_for_each_reading(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    readings = accelerometer_trusted.select(person("user").alias("person"))
    return customer_trusted.withColumn("person", person("email")).join(readings, "person").drop("person")


# Whose readings -----------------------------------------------------------------------------------------------


def readings_without_the_join(accelerometer_landing: DataFrame) -> DataFrame:
    return accelerometer_landing


def readings_of_any_customer(accelerometer_landing: DataFrame, customer_landing: DataFrame) -> DataFrame:
    return readings_of(accelerometer_landing, customer_landing)


def readings_of_who_ever_consented(accelerometer_landing: DataFrame, customer_landing: DataFrame) -> DataFrame:
    agreed = owners(customer_landing.where(consented()))
    return accelerometer_landing.withColumn("person", person("user")).join(agreed, "person").select(*reading_columns())


def readings_by_the_oldest_record(accelerometer_landing: DataFrame, customer_landing: DataFrame) -> DataFrame:
    return readings_of(accelerometer_landing, the_oldest_record_decides(customer_landing))


def readings_after_consent_only(accelerometer_landing: DataFrame, customer_trusted: DataFrame) -> DataFrame:
    owned = accelerometer_landing.withColumn("person", person("user")).join(owners(customer_trusted), "person")
    return owned.where("timestamp > consented_since").select(*reading_columns())


def readings_of(accelerometer_landing: DataFrame, customers: DataFrame) -> DataFrame:
    known = customers.select(person("email").alias("person")).distinct()
    readings = accelerometer_landing.withColumn("person", person("user")).join(known, "person", "left_semi")
    return readings.select(*reading_columns())


def reading_columns() -> tuple[str, ...]:
    return ASSETS["accelerometer_trusted"].contract.column_names


def readings_whatever_the_date(accelerometer_landing: DataFrame, customer_trusted: DataFrame) -> DataFrame:
    return ASSETS["accelerometer_trusted"](accelerometer_landing, customer_trusted, Consent.CUSTOMER)


def distances_whatever_other_holders_say(step_trainer_landing: DataFrame, customers_curated: DataFrame) -> DataFrame:
    return distances_of(step_trainer_landing, customers_curated)


def distances_of_any_holder(
    step_trainer_landing: DataFrame, customers_curated: DataFrame, customer_landing: DataFrame
) -> DataFrame:
    return distances_of(step_trainer_landing, latest_record(customer_landing))


def distances_by_the_oldest_record(
    step_trainer_landing: DataFrame, customers_curated: DataFrame, customer_landing: DataFrame
) -> DataFrame:
    return distances_of(step_trainer_landing, consented_serials(oldest_record(customer_landing)))


def distances_joined_with_every_holder(step_trainer_landing: DataFrame, customers_curated: DataFrame) -> DataFrame:
    joined = step_trainer_landing.join(customers_curated.select("serialnumber"), "serialnumber")
    return joined.where("serialnumber <> 'half'").select(step_trainer_landing.columns)


def distances_of_devices_ever_held(
    step_trainer_landing: DataFrame, customers_curated: DataFrame, customer_landing: DataFrame
) -> DataFrame:
    curated = customers_curated.select(person("email").alias("person"))
    ever = customer_landing.withColumn("person", person("email")).join(curated, "person", "left_semi")
    return distances_of(step_trainer_landing, ever.where("serialnumber <> 'half'"))


def distances_of_customers_without_readings(
    step_trainer_landing: DataFrame, customer_landing: DataFrame, customers_curated: DataFrame
) -> DataFrame:
    return distances_of(step_trainer_landing, consented_serials(customer_landing))


def distances_whatever_the_date(
    step_trainer_landing: DataFrame, customers_curated: DataFrame, customer_landing: DataFrame
) -> DataFrame:
    table = ASSETS["step_trainer_trusted"]
    return table(step_trainer_landing, customers_curated, customer_landing, Consent.CUSTOMER)


def distances_of(step_trainer_landing: DataFrame, holders: DataFrame) -> DataFrame:
    held = step_trainer_landing.join(holders.select("serialnumber").distinct(), "serialnumber", "left_semi")
    return held.select(step_trainer_landing.columns)


# What is trained on -------------------------------------------------------------------------------------------


def pairs(distances: DataFrame, readings: DataFrame, holders: DataFrame, *more: str) -> DataFrame:
    readings = readings.withColumn("person", person("user")).withColumnRenamed("timestamp", "sensorreadingtime")
    paired = distances.join(holders, "serialnumber").join(readings, ["person", "sensorreadingtime"])
    return paired.select(*MACHINE_LEARNING_CURATED.column_names, *more)


def pairs_of_the_same_moment(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    readings = accelerometer_trusted.withColumnRenamed("timestamp", "sensorreadingtime")
    paired = step_trainer_trusted.join(readings, "sensorreadingtime")
    return paired.select(*MACHINE_LEARNING_CURATED.column_names)


def pairs_whether_anybody_consented_or_not(
    step_trainer_trusted: DataFrame,
    accelerometer_trusted: DataFrame,
    customer_trusted: DataFrame,
    step_trainer_landing: DataFrame,
    accelerometer_landing: DataFrame,
    customer_landing: DataFrame,
) -> DataFrame:
    return pairs(step_trainer_landing, accelerometer_landing, sole_holders(latest_record(customer_landing)))


def pairs_by_the_oldest_record(
    step_trainer_trusted: DataFrame,
    accelerometer_trusted: DataFrame,
    customer_trusted: DataFrame,
    customer_landing: DataFrame,
) -> DataFrame:
    return pairs(step_trainer_trusted, accelerometer_trusted, sole_holders(the_oldest_record_decides(customer_landing)))


def pairs_with_the_address(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    return pairs(step_trainer_trusted, accelerometer_trusted, sole_holders(customer_trusted), "user")


def pairs_with(column: Column) -> Function:
    def function(
        step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
    ) -> DataFrame:
        known = customer_trusted.select("serialnumber", F.coalesce(column.name, F.lit("nobody's")).alias(column.name))
        holders = sole_holders(customer_trusted).join(known, "serialnumber")
        return pairs(step_trainer_trusted, accelerometer_trusted, holders, column.name)

    return function


def pairs_with_the_address_for_a_serial_number(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    named = pairs_with_the_address(step_trainer_trusted, accelerometer_trusted, customer_trusted)
    return named.withColumn("serialnumber", F.col("user")).drop("user")


def pairs_of_shared_step_trainers_too(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    holders = customer_trusted.select("serialnumber", person("email").alias("person"))
    return pairs(step_trainer_trusted, accelerometer_trusted, holders)


def allowed(column: Column) -> dict[str, Any]:
    """Even the contract has the column."""
    return {"contract": replace(MACHINE_LEARNING_CURATED, columns=(*MACHINE_LEARNING_CURATED.columns, column))}


# What nobody looks at ------------------------------------------------------------------------------------------


def lossy_readings(accelerometer_landing: DataFrame, customer_trusted: DataFrame, consent: Consent) -> DataFrame:
    table = ASSETS["accelerometer_trusted"]
    return table(accelerometer_landing.where("x <> 1.5"), customer_trusted, consent)


def lossy_account(accelerometer_landing: DataFrame, customer_landing: DataFrame, consent: Consent) -> DataFrame:
    return accounting.accelerometer_trusted(accelerometer_landing.where("x <> 1.5"), customer_landing, consent)
