"""What the lakehouse promises, as audits: each a query for the rows that break a promise, or a measured share.

Belongs here: consent, privacy, keys, and what is worth a look. Every audit runs on the staged files before a version
is published, and can be executed alone on the published table.
Does not belong here: shares and sums (`coverage.py`), or how audits run (`auditing.py`). A promise is stated in its
own words, not with the functions that made the table.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.checks.independent_rules import serial_verdicts, too_early, verdicts
from stedi_assets.contracts import TABLES, Pii, Table
from stedi_assets.pipeline.checks import (
    Audit,
    Facts,
    Numbers,
    Verdict,
    caution,
    each_column,
    promise,
)
from stedi_assets.rules import SINCE, Consent, person

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

LOOKS_LIKE_AN_EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"


# Consent ------------------------------------------------------------------------------------------------------


@promise
def only_consenting_customers(rows: DataFrame, customer_landing: DataFrame) -> DataFrame:
    """No customer is here who, by their newest record, does not share their data for research."""
    agreed = verdicts(customer_landing).where("agreed").select("person")
    return rows.withColumn("person", person("email")).join(agreed, "person", "left_anti")


@promise
def only_readings_of_consenting_customers(rows: DataFrame, customer_landing: DataFrame, consent: Consent) -> DataFrame:
    """No reading is here whose user is not a consenting customer, or that the consent rule does not cover."""
    agreed = verdicts(customer_landing).where("agreed").select("person", SINCE)
    readings = rows.select(person("user").alias("person"), "timestamp").join(agreed, "person", "left")
    return readings.where(F.col(SINCE).isNull() | too_early(consent, "timestamp"))


@promise
def only_readings_of_consenting_holders(rows: DataFrame, customer_landing: DataFrame, consent: Consent) -> DataFrame:
    """No distance reading is here whose serial number anybody without consent holds, or nobody at all."""
    agreed = serial_verdicts(customer_landing).where("all_agreed").select("serialnumber", SINCE)
    readings = rows.select("serialnumber", "sensorreadingtime").join(agreed, "serialnumber", "left")
    return readings.where(F.col(SINCE).isNull() | too_early(consent, "sensorreadingtime"))


@promise
def no_row_pairs_two_customers(
    rows: DataFrame, customer_landing: DataFrame, accelerometer_trusted: DataFrame
) -> DataFrame:
    """No row pairs one customer's distance with another's motion: its single holder took exactly that reading."""
    holders = serial_verdicts(customer_landing).where("holders = 1").select("serialnumber", "person")
    held = rows.join(holders, "serialnumber", "left").alias("held")
    taken = accelerometer_trusted.withColumn("person", person("user")).alias("taken")
    # Motions are compared by difference: equal ones would be keys of the join, which takes several times longer.
    pair = F.expr(
        "held.person = taken.person and held.sensorreadingtime = taken.timestamp "
        "and held.x - taken.x = 0 and held.y - taken.y = 0 and held.z - taken.z = 0"
    )
    return held.join(taken, pair, "left_anti")


# Privacy ------------------------------------------------------------------------------------------------------


def _judge_privacy(numbers: Numbers, facts: Facts) -> Verdict:
    found = {name: int(value) for name, value in numbers.items() if value}
    names = ", ".join(sorted(found))
    sentence = f"Personal data in: {names}." if found else "No direct identifier, and nothing like an e-mail address."
    return Verdict(not found, True, sentence, {"columns with personal data": names or "none", **found})


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


no_direct_identifiers = Audit(
    "no_direct_identifiers",
    "No name, e-mail address, phone number or birthday is among the columns, and no value looks like an e-mail "
    "address: the training table must not tell who somebody is.",
    query=identifiers,
    measure=each_column,
    judge=_judge_privacy,
)


# Keys ---------------------------------------------------------------------------------------------------------


@promise
def one_row_per_customer(rows: DataFrame) -> DataFrame:
    """No customer (e-mail address, whatever its letter case or surrounding blanks) has more than one row."""
    return rows.groupBy(person("email").alias("person")).agg(F.count("*").alias("rows")).where("rows > 1")


@partial(promise, against_today=False)
def only_latest_records(rows: DataFrame, customer_landing: DataFrame) -> DataFrame:
    """No row is from an older record than its customer's newest, or names another Step Trainer than that does."""
    newest = verdicts(customer_landing).select("person", "lastupdatedate", "serialnumber")
    return rows.withColumn("person", person("email")).join(newest, newest.columns, "left_anti")


def required_columns_filled(table: Table) -> Audit:
    """The audit that no required column of the table holds a null."""

    def query(rows: DataFrame) -> DataFrame:
        return rows.agg(*(F.count(F.when(F.col(name).isNull(), 1)).alias(name) for name in table.required))

    def judge(numbers: Numbers, facts: Facts) -> Verdict:
        nulls = {name: int(count) for name, count in numbers.items() if count}
        sentence = "Nulls in: " + ", ".join(nulls) + "." if nulls else "No null in a required column."
        return Verdict(not nulls, True, sentence, {"required columns": ", ".join(table.required), **nulls})

    promised = f"No null in a required column ({', '.join(table.required)})."
    return Audit("required_columns_filled", promised, query=query, measure=each_column, judge=judge)


# Worth a look -------------------------------------------------------------------------------------------------


@caution("readings occur more than once")
def equal_readings(rows: DataFrame) -> DataFrame:
    """Equal readings inside a file may be true ones, so they are kept; many of them hint at a faulty phone app."""
    return rows.groupBy("user", "timestamp", "x", "y", "z").agg(F.count("*").alias("times")).where("times > 1")


@caution("accelerometer readings were taken before their owner consented")
def readings_before_consent(rows: DataFrame, customer_landing: DataFrame) -> DataFrame:
    """Readings from before their owner's consent: under STEDI_CONSENT=customer they are shared, and counted here."""
    since = verdicts(customer_landing).select("person", SINCE)
    return rows.select(person("user").alias("person"), "timestamp").join(since, "person").where(f"timestamp < {SINCE}")


@caution("distance readings were taken before all holders consented")
def distances_before_consent(rows: DataFrame, customer_landing: DataFrame) -> DataFrame:
    """Readings from before their holders' consent: under STEDI_CONSENT=customer they are shared, and counted here."""
    since = serial_verdicts(customer_landing).select("serialnumber", SINCE)
    readings = rows.select("serialnumber", "sensorreadingtime").join(since, "serialnumber")
    return readings.where(f"sensorreadingtime < {SINCE}")


@caution("serial numbers are held by several customers")
def shared_serial_numbers(customer_landing: DataFrame) -> DataFrame:
    """A serial number should have one holder. Shared ones are trusted only if all agree, and never trained on."""
    return serial_verdicts(customer_landing).where("holders > 1")


@caution("records were not accepted")
def nothing_quarantined(rows: DataFrame) -> DataFrame:
    """Records that no rule could read are kept here with their text and the reason, until the feed is mended."""
    return rows
