"""Who has consented, worked out a second time by other means.

Belongs here: the few facts that audits and accounting need and must not take from the functions that they check.
`rules.py` ranks each customer's records with a window; here, records are grouped and compared instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.rules import CONSENT, SINCE, latest_record, person

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")


def verdicts(customer_landing: DataFrame) -> DataFrame:
    """What each customer's newest records say.

    Columns: person, records (how many there are of the customer), agreed (all newest records say so),
    consented_since (epoch ms; the latest of them).
    """
    records = customer_landing.select(person("email").alias("person"), "lastupdatedate", CONSENT)
    newest = records.groupBy("person").agg(
        F.max("lastupdatedate").alias("lastupdatedate"), F.count("*").alias("records")
    )
    agrees = F.when(F.col(CONSENT) > 0, 1).otherwise(0)
    tied = records.join(newest, ["person", "lastupdatedate"]).groupBy("person", "records")
    said = tied.agg(F.min(agrees).alias("agreed"), F.max(CONSENT).alias(SINCE))
    return said.select("person", "records", (F.col("agreed") == 1).alias("agreed"), SINCE)


def serial_verdicts(customer_landing: DataFrame) -> DataFrame:
    """What the holders of each serial number say together.

    Columns: serialnumber, holders (how many), person (one of them), all_agreed, consented_since (epoch ms; the
    latest of theirs).
    """
    held = latest_record(customer_landing).select(person("email").alias("person"), "serialnumber")
    return (
        held.join(verdicts(customer_landing), "person")
        .groupBy("serialnumber")
        .agg(
            F.count("*").alias("holders"),
            F.min("person").alias("person"),
            (F.min(F.col("agreed").cast("int")) == 1).alias("all_agreed"),
            F.max(SINCE).alias(SINCE),
        )
    )
