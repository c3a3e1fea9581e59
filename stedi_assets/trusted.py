"""The trusted zone: only what belongs to customers who agreed to share their data for research.

Belongs here: one short pure function per table. The parameters are the upstream tables; `consent` is the rule
that STEDI_CONSENT chose. Does not belong here: storage, runs, or how the words are defined (`rules.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedi_assets.checks import consent as audits
from stedi_assets.checks import coverage
from stedi_assets.checks import reconciliation as accounting
from stedi_assets.contracts import ACCELEROMETER_TRUSTED, CUSTOMER_TRUSTED, STEP_TRAINER_TRUSTED
from stedi_assets.pipeline.table import lakehouse_table
from stedi_assets.rules import (
    Consent,
    consented,
    consented_serials,
    latest_record,
    owners,
    person,
    taken_with_consent,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@lakehouse_table(
    CUSTOMER_TRUSTED,
    account=accounting.customer_trusted,
    audits=[audits.only_consenting_customers, audits.only_latest_records, audits.one_row_per_customer],
)
def customer_trusted(customer_landing: DataFrame) -> DataFrame:
    """Customers who agreed to share their data for research.

    The latest record of a customer decides; where two records tie, the one without consent wins.
    """
    return latest_record(customer_landing).where(consented())


@lakehouse_table(
    ACCELEROMETER_TRUSTED,
    account=accounting.accelerometer_trusted,
    audits=[
        audits.only_readings_of_consenting_customers,
        coverage.readings_of_known_customers,
        audits.readings_before_consent,
        audits.equal_readings,
    ],
)
def accelerometer_trusted(accelerometer_landing: DataFrame, customer_trusted: DataFrame, consent: Consent) -> DataFrame:
    """Accelerometer readings of customers who agreed to share their data for research.

    A reading belongs to the customer whose e-mail address is its user. Equal readings inside a file are kept.
    """
    readings = accelerometer_landing.withColumn("person", person("user"))
    owned = readings.join(owners(customer_trusted), "person")
    return owned.where(taken_with_consent(consent, "timestamp")).select(accelerometer_landing.columns)


@lakehouse_table(
    STEP_TRAINER_TRUSTED,
    account=accounting.step_trainer_trusted,
    audits=[
        audits.only_readings_of_consenting_holders,
        coverage.curated_customers_with_distances,
        audits.distances_before_consent,
        audits.shared_serial_numbers,
    ],
)
def step_trainer_trusted(
    step_trainer_landing: DataFrame,
    customers_curated: DataFrame,
    customer_landing: DataFrame,
    consent: Consent,
) -> DataFrame:
    """Distance readings of Step Trainers whose holders agreed to share their data and have accelerometer readings.

    A customer holds the serial number of their latest record. Where several customers hold the same one, its
    readings are trusted only if all of them have consented.
    """
    curated = customers_curated.select("serialnumber").distinct()
    serials = consented_serials(customer_landing).join(curated, "serialnumber", "left_semi")
    trusted = step_trainer_landing.join(serials, "serialnumber")
    return trusted.where(taken_with_consent(consent, "sensorreadingtime")).select(step_trainer_landing.columns)
