"""The trusted zone: only what belongs to customers who agreed to share their data for research.

Belongs here: one short pure function per table. The parameters are the upstream tables; `consent` is the rule
that STEDI_CONSENT chose. Does not belong here: storage, runs, or how the words are defined (`rules.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedi_assets.checks import reconciliation
from stedi_assets.checks.consent import (
    distances_before_consent,
    equal_readings,
    one_row_per_customer,
    only_consenting_customers,
    only_latest_records,
    only_readings_of_consenting_customers,
    only_readings_of_consenting_holders,
    readings_before_consent,
    shared_serial_numbers,
)
from stedi_assets.checks.coverage import curated_customers_with_distances, readings_of_known_customers
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
    reconciliation=reconciliation.customer_trusted,
    checks=[only_consenting_customers, only_latest_records, one_row_per_customer],
)
def customer_trusted(customer_records: DataFrame) -> DataFrame:
    """Customers who agreed to share their data for research.

    The latest record of a customer decides; where two records tie, the one without consent wins.
    """
    return latest_record(customer_records).where(consented())


@lakehouse_table(
    ACCELEROMETER_TRUSTED,
    reconciliation=reconciliation.accelerometer_trusted,
    checks=[
        only_readings_of_consenting_customers,
        readings_of_known_customers,
        readings_before_consent,
        equal_readings,
    ],
)
def accelerometer_trusted(accelerometer_records: DataFrame, customer_trusted: DataFrame, consent: Consent) -> DataFrame:
    """Accelerometer readings of customers who agreed to share their data for research.

    A reading belongs to the customer whose e-mail address is its user. Equal readings inside a file are kept.
    """
    readings = accelerometer_records.withColumn("person", person("user"))
    owned = readings.join(owners(customer_trusted), "person")
    return owned.where(taken_with_consent(consent, "timestamp")).select(*ACCELEROMETER_TRUSTED.column_names)


@lakehouse_table(
    STEP_TRAINER_TRUSTED,
    reconciliation=reconciliation.step_trainer_trusted,
    checks=[
        only_readings_of_consenting_holders,
        curated_customers_with_distances,
        distances_before_consent,
        shared_serial_numbers,
    ],
)
def step_trainer_trusted(
    step_trainer_records: DataFrame,
    customers_curated: DataFrame,
    customer_records: DataFrame,
    consent: Consent,
) -> DataFrame:
    """Distance readings of Step Trainers whose holders agreed to share their data and have accelerometer readings.

    A customer holds the serial number of their latest record. Where several customers hold the same one, its
    readings are trusted only if all of them have consented.
    """
    curated = customers_curated.select("serialnumber").distinct()
    serials = consented_serials(customer_records).join(curated, "serialnumber", "left_semi")
    trusted = step_trainer_records.join(serials, "serialnumber")
    return trusted.where(taken_with_consent(consent, "sensorreadingtime")).select(*STEP_TRAINER_TRUSTED.column_names)
