"""Consent, privacy, keys, and what is worth a look: each check a query for the rows that break a promise.

Belongs here: promises that are stated in their own words, not with the functions that made the table. Does not belong
here: shares (`coverage.py`) and sums (`reconciliation.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from resources.lazy import LazyModule
from stedi_assets.checks.independent_rules import (
    consent_of_customers,
    consent_of_serials,
    consent_on_serials,
    newest_says,
    too_early,
)
from stedi_assets.contracts import TABLES, Pii
from stedi_assets.pipeline.checks import (
    Check,
    Covers,
    Facts,
    Numbers,
    TableCheck,
    blocking_check,
    each_column,
    result,
    warning_check,
)
from stedi_assets.pipeline.inputs import Inputs, sentence_of_outdated
from stedi_assets.rules import SINCE, Consent, person

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

consent_check = partial(blocking_check, of_consent=True)
LOOKS_LIKE_AN_EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"


# Consent ------------------------------------------------------------------------------------------------------


@consent_check
def only_consenting_customers(rows: DataFrame, customer_records: DataFrame) -> DataFrame:
    """No customer is here who, by their newest record, does not share their data for research."""
    agreed = newest_says(customer_records).where("agreed").select("person")
    return rows.withColumn("person", person("email")).join(agreed, "person", "left_anti")


@consent_check
def no_customer_in_doubt(rows: DataFrame, customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """No customer is here of whom a record could not be read that may be newer than the newest readable one."""
    doubted = consent_of_customers(customer_records, customer_quarantine).where("doubted").select("person")
    return rows.withColumn("person", person("email")).join(doubted, "person", "left_semi")


@consent_check
def only_readings_of_consenting_customers(
    rows: DataFrame, customer_records: DataFrame, customer_quarantine: DataFrame, consent: Consent
) -> DataFrame:
    """No reading is here whose user is not a consenting customer, or that the consent rule does not cover."""
    agreed = consent_of_customers(customer_records, customer_quarantine).where("agreed").select("person", SINCE)
    readings = rows.select(person("user").alias("person"), "timestamp").join(agreed, "person", "left")
    return readings.where(F.col(SINCE).isNull() | too_early(consent, "timestamp"))


@consent_check
def only_readings_of_consenting_holders(
    rows: DataFrame, customer_records: DataFrame, customer_quarantine: DataFrame, consent: Consent
) -> DataFrame:
    """No distance reading is here whose serial number nobody holds, or anybody without consent, or, as far as a record
    that could not be read tells, somebody in doubt.
    """
    holders = consent_on_serials(customer_records, customer_quarantine)
    agreed = holders.where("all_agreed").select("serialnumber", SINCE)
    readings = rows.select("serialnumber", "sensorreadingtime").join(agreed, "serialnumber", "left")
    return readings.where(F.col(SINCE).isNull() | too_early(consent, "sensorreadingtime"))


@blocking_check
def no_row_pairs_two_customers(
    rows: DataFrame, customer_records: DataFrame, accelerometer_trusted: DataFrame
) -> DataFrame:
    """No row pairs one customer's distance with another's motion: its single holder took exactly that reading."""
    holders = consent_of_serials(newest_says(customer_records)).where("holders = 1").select("serialnumber", "person")
    with_holder = rows.join(holders, "serialnumber", "left").alias("trained")
    taken = accelerometer_trusted.withColumn("person", person("user")).alias("taken")
    # Motions are compared by difference: equal ones would be keys of the join, which takes several times longer.
    pair = F.expr(
        "trained.person = taken.person and trained.sensorreadingtime = taken.timestamp "
        "and trained.x - taken.x = 0 and trained.y - taken.y = 0 and trained.z - taken.z = 0"
    )
    return with_holder.join(taken, pair, "left_anti")


def evaluate_served(inputs: Inputs) -> dg.AssetCheckResult:
    """Whether all served tables know the latest consents; which ones do not, and what to do."""
    outdated = inputs.outdated_tables()
    sentence = sentence_of_outdated(outdated) if outdated else "All served tables know the latest consents."
    return result(not outdated, sentence, {"tables": ", ".join(outdated) or "none"}, error=False)


TABLES_KNOW_LATEST_CONSENTS = Check(
    "served_tables_know_the_latest_consents",
    "No table is served, when a run ends, that was made before the latest consents: it may hold somebody who has "
    "withdrawn since.",
    blocking=False,
)


# Privacy ------------------------------------------------------------------------------------------------------


def _evaluate_privacy(numbers: Numbers, facts: Facts) -> dg.AssetCheckResult:
    found = {name: int(value) for name, value in numbers.items() if value}
    names = ", ".join(sorted(found))
    sentence = f"Personal data in: {names}." if found else "No direct identifier, and nothing like an e-mail address."
    return result(not found, sentence, {"columns with personal data": names or "none", **found})


def identifiers(rows: DataFrame) -> DataFrame:
    """How many values of each column are a direct identifier, or look like an e-mail address."""
    direct = {column.name for table in TABLES.values() for column in table.columns if column.pii is Pii.DIRECT}
    found = []
    for name, kind in rows.dtypes:
        if name in direct:
            found.append(F.lit(1).alias(name))  # the column itself is the breach, whatever it holds
        elif kind == "string":
            # Looked for at first: the expression alone would be tried at each character of each value.
            looks_so = F.when(F.contains(F.col(name), F.lit("@")), F.col(name).rlike(LOOKS_LIKE_AN_EMAIL))
            found.append(F.count(F.when(looks_so, 1)).alias(name))
    return rows.agg(*found, F.count(F.lit(None)).alias("none"))  # also where no column is a text


no_direct_identifiers = TableCheck(
    "no_direct_identifiers",
    "No name, e-mail address, phone number or birthday is among the columns, and no value looks like an e-mail "
    "address: the training table must not tell who somebody is.",
    query=identifiers,
    measure=each_column,
    evaluate=_evaluate_privacy,
)


# Keys ---------------------------------------------------------------------------------------------------------


@blocking_check
def one_row_per_customer(rows: DataFrame) -> DataFrame:
    """No customer (e-mail address, whatever its letter case or surrounding blanks) has more than one row."""
    return rows.groupBy(person("email").alias("person")).agg(F.count("*").alias("rows")).where("rows > 1")


@partial(blocking_check, against_today=False)
def only_latest_records(rows: DataFrame, customer_records: DataFrame) -> DataFrame:
    """No row is from an older record than its customer's newest, or names another Step Trainer than that does."""
    newest = newest_says(customer_records).select("person", "lastupdatedate", "serialnumber")
    return rows.withColumn("person", person("email")).join(newest, newest.columns, "left_anti")


# Worth a look -------------------------------------------------------------------------------------------------


@warning_check("readings occur more than once")
def equal_readings(rows: DataFrame) -> DataFrame:
    """Equal readings inside a file may be true ones, so they are retained; many of them hint at a faulty phone app."""
    return rows.groupBy(person("user"), "timestamp", "x", "y", "z").agg(F.count("*").alias("times")).where("times > 1")


@warning_check("distance readings occur more than once")
def equal_distances(rows: DataFrame) -> DataFrame:
    """Equal readings inside a file may be true ones, so they are retained; many of them hint at a faulty sensor."""
    distance = ("serialnumber", "sensorreadingtime", "distancefromobject")
    return rows.groupBy(*distance).agg(F.count("*").alias("times")).where("times > 1")


@warning_check("moments at which a Step Trainer measured distances that disagree")
def distances_disagree(rows: DataFrame) -> DataFrame:
    """One sensor cannot be at two distances in one millisecond: two devices may share a serial number, or a clock."""
    moments = rows.groupBy("serialnumber", "sensorreadingtime")
    return moments.agg(F.countDistinct("distancefromobject").alias("distances")).where("distances > 1")


@warning_check("accelerometer readings were taken before their owner consented")
def readings_before_consent(rows: DataFrame, customer_records: DataFrame) -> DataFrame:
    """Readings from before their owner's consent: under STEDI_CONSENT=customer they are shared, and counted here."""
    since = newest_says(customer_records).select("person", SINCE)
    return rows.select(person("user").alias("person"), "timestamp").join(since, "person").where(f"timestamp < {SINCE}")


@warning_check("rows were measured before all holders consented")
def distances_before_consent(rows: DataFrame, customer_records: DataFrame) -> DataFrame:
    """Readings from before their holders' consent: under STEDI_CONSENT=customer they are shared, and counted here."""
    since = consent_of_serials(newest_says(customer_records)).select("serialnumber", SINCE)
    readings = rows.select("serialnumber", "sensorreadingtime").join(since, "serialnumber")
    return readings.where(f"sensorreadingtime < {SINCE}")


@warning_check("serial numbers are held by several customers", Covers.AT_ONCE)
def shared_serial_numbers(customer_records: DataFrame) -> DataFrame:
    """A serial number should have one holder. Shared ones are trusted only if all agree, and never trained on."""
    return consent_of_serials(newest_says(customer_records)).where("holders > 1")
