"""The trusted zone: only what belongs to customers who agreed to share their data for research.

Belongs here: one short pure function per table. The parameters are the upstream tables; `consent` is the rule
that STEDI_CONSENT chose. Does not belong here: storage, runs, or how the words are defined (`rules.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stedi_assets.checks import reconciliation
from stedi_assets.checks.consent import (
    distances_before_consent,
    distances_disagree,
    equal_distances,
    equal_readings,
    no_customer_in_doubt,
    one_row_per_customer,
    only_consenting_customers,
    only_latest_records,
    only_readings_of_consenting_customers,
    only_readings_of_consenting_holders,
    readings_before_consent,
    shared_serial_numbers,
)
from stedi_assets.checks.coverage import curated_customers_with_distances, readings_of_known_customers
from stedi_assets.checks.independent_rules import consent_as_said, consent_on_serials
from stedi_assets.contracts import ACCELEROMETER_TRUSTED, CUSTOMER_TRUSTED, STEP_TRAINER_TRUSTED
from stedi_assets.pipeline.table import Dependence, lakehouse_table
from stedi_assets.rules import (
    Consent,
    consented,
    curated_serials,
    delivered_once,
    in_doubt,
    latest_record,
    owners,
    person,
    serials_agreed_on,
    taken_with_consent,
    without,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@lakehouse_table(
    CUSTOMER_TRUSTED,
    reconciliation=reconciliation.customer_trusted,
    excused=reconciliation.NO_LOSS,
    checks=[only_consenting_customers, no_customer_in_doubt, only_latest_records, one_row_per_customer],
)
def customer_trusted(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """Customers who agreed to share their data for research.

    The latest record of a customer decides; where two records tie, the one without consent wins. A customer whose
    newest record could not be read is in doubt, and left out until it is mended.
    """
    agreed = latest_record(customer_records).where(consented())
    return without(agreed, in_doubt(customer_records, customer_quarantine))


@lakehouse_table(
    ACCELEROMETER_TRUSTED,
    reconciliation=reconciliation.accelerometer_trusted,
    excused=reconciliation.NO_LOSS,
    checks=[
        only_readings_of_consenting_customers,
        readings_of_known_customers,
        readings_before_consent,
        equal_readings,
    ],
    depends=Dependence(
        "consents of customers", "accelerometer_records", lambda _: person("user"), (owners, consent_as_said)
    ),
)
def accelerometer_trusted(accelerometer_records: DataFrame, customer_trusted: DataFrame, consent: Consent) -> DataFrame:
    """Accelerometer readings of customers who agreed to share their data for research.

    A reading belongs to the customer whose e-mail address is its user. Equal readings inside a file are retained; what
    another file delivers again counts once.
    """
    readings = accelerometer_records.withColumn("person", person("user"))
    owned = readings.join(owners(customer_trusted), "person").where(taken_with_consent(consent, "timestamp"))
    once = delivered_once(owned.select("person", *accelerometer_records.columns), spelled=["user"])
    return once.select(*ACCELEROMETER_TRUSTED.column_names)


@lakehouse_table(
    STEP_TRAINER_TRUSTED,
    reconciliation=reconciliation.step_trainer_trusted,
    excused=reconciliation.NO_LOSS,
    checks=[
        only_readings_of_consenting_holders,
        curated_customers_with_distances,
        distances_before_consent,
        equal_distances,
        distances_disagree,
        shared_serial_numbers,
    ],
    depends=Dependence(
        "holders of serial numbers",
        "step_trainer_records",
        lambda distances: distances["serialnumber"],
        (serials_agreed_on, curated_serials, consent_on_serials),
    ),
)
def step_trainer_trusted(
    step_trainer_records: DataFrame,
    customers_curated: DataFrame,
    customer_records: DataFrame,
    customer_quarantine: DataFrame,
    consent: Consent,
) -> DataFrame:
    """Distance readings of Step Trainers whose holders agreed to share their data and have accelerometer readings.

    A customer holds the serial number of their latest record. Where several customers hold the same one, its
    readings are trusted only if all of them have consented; where a record that could not be read names it, only once
    it is known whose that is. What another file delivers again counts once.
    """
    agreed = serials_agreed_on(customer_records, customer_quarantine)
    active = agreed.join(curated_serials(customers_curated), "serialnumber", "left_semi")
    with_holder = step_trainer_records.join(active, "serialnumber")
    shared = with_holder.where(taken_with_consent(consent, "sensorreadingtime"))
    return delivered_once(shared.select(*step_trainer_records.columns)).select(*STEP_TRAINER_TRUSTED.column_names)
