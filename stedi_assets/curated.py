"""The curated zone: what data scientists train on.

Belongs here: one short pure function per table, as in `trusted.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedi_assets.checks import consent as audits
from stedi_assets.checks import coverage
from stedi_assets.checks import reconciliation as accounting
from stedi_assets.contracts import CUSTOMERS_CURATED, MACHINE_LEARNING_CURATED
from stedi_assets.pipeline.table import lakehouse_table
from stedi_assets.rules import person, sole_holders

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@lakehouse_table(
    CUSTOMERS_CURATED,
    account=accounting.customers_curated,
    audits=[
        audits.only_consenting_customers,
        audits.only_latest_records,
        audits.one_row_per_customer,
        coverage.consenting_customers_with_readings,
    ],
)
def customers_curated(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    """Consenting customers who have at least one trusted accelerometer reading."""
    active = accelerometer_trusted.select(person("user").alias("person")).distinct()
    customers = customer_trusted.withColumn("person", person("email"))
    return customers.join(active, "person", "left_semi").drop("person")


@lakehouse_table(
    MACHINE_LEARNING_CURATED,
    account=accounting.machine_learning_curated,
    audits=[
        audits.only_readings_of_consenting_holders,
        audits.no_row_pairs_two_customers,
        audits.no_direct_identifiers,
        coverage.distances_matched,
        coverage.accelerometer_readings_matched,
        coverage.readings_per_match,
    ],
)
def machine_learning_curated(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    """Each trusted distance reading with the accelerometer readings of the same customer at the same millisecond.

    A serial number with several holders belongs to nobody in particular: its readings are left out. No name,
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
