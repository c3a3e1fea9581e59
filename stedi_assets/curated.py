"""The curated zone: what data scientists train on.

Belongs here: one short pure function per table, as in `trusted.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedi_assets.checks import reconciliation
from stedi_assets.checks.consent import (
    distances_before_consent,
    no_customer_in_doubt,
    no_direct_identifiers,
    no_row_pairs_two_customers,
    one_row_per_customer,
    only_consenting_customers,
    only_latest_records,
    only_readings_of_consenting_holders,
)
from stedi_assets.checks.coverage import (
    accelerometer_readings_matched,
    consenting_customers_with_readings,
    distances_matched,
    readings_per_match,
)
from stedi_assets.checks.independent_rules import consent_on_serials
from stedi_assets.contracts import CUSTOMERS_CURATED, MACHINE_LEARNING_CURATED
from stedi_assets.pipeline.table import Dependence, lakehouse_table
from stedi_assets.rules import person, sole_holders

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@lakehouse_table(
    CUSTOMERS_CURATED,
    reconciliation=reconciliation.customers_curated,
    checks=[
        only_consenting_customers,
        no_customer_in_doubt,
        only_latest_records,
        one_row_per_customer,
        consenting_customers_with_readings,
    ],
)
def customers_curated(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    """Consenting customers who have at least one trusted accelerometer reading."""
    active = accelerometer_trusted.select(person("user").alias("person")).distinct()
    customers = customer_trusted.withColumn("person", person("email"))
    return customers.join(active, "person", "left_semi").drop("person")


@lakehouse_table(
    MACHINE_LEARNING_CURATED,
    reconciliation=reconciliation.machine_learning_curated,
    checks=[
        only_readings_of_consenting_holders,
        no_row_pairs_two_customers,
        no_direct_identifiers,
        distances_before_consent,
        distances_matched,
        accelerometer_readings_matched,
        readings_per_match,
    ],
    depends=Dependence(
        "holders of serial numbers",
        "step_trainer_trusted",
        lambda distances: distances["serialnumber"],
        (sole_holders, consent_on_serials),
    ),
)
def machine_learning_curated(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    """Each trusted distance reading with the accelerometer readings of the same customer at the same millisecond.

    A serial number with several holders belongs to nobody in particular: its readings are dropped. No name,
    e-mail address, phone number or birthday is among the columns.
    """
    distances = step_trainer_trusted.join(sole_holders(customer_trusted), "serialnumber")
    readings = accelerometer_trusted.select(
        person("user").alias("person"),
        accelerometer_trusted["timestamp"].alias("sensorreadingtime"),
        "x",
        "y",
        "z",
    )
    return distances.join(readings, ["person", "sensorreadingtime"]).select(
        *step_trainer_trusted.columns, "x", "y", "z"
    )
