"""Who has consented, worked out a second time by other means.

Belongs here: the few facts that audits and accounting need and must not take from the functions that they check.
`rules.py` ranks each customer's records with a window; here, the greatest of them is looked for instead. Nothing
but words (a column's name, who an e-mail address means) comes from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from resources.settings import Consent
from stedi_assets.rules import CONSENT, SINCE, person

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

LEAST = -(2**63)  # below every date, as null is


def verdicts(customer_landing: DataFrame) -> DataFrame:
    """What each customer's newest record says; of several of the same moment, the most reluctant.

    Columns: person, records (how many there are of the customer), lastupdatedate, serialnumber, agreed,
    consented_since (epoch ms; null where they did not).
    """
    refuses = F.when(F.col(CONSENT) > 0, 0).otherwise(1)
    since = F.coalesce(F.col(CONSENT), F.lit(LEAST))
    says = F.struct("lastupdatedate", refuses.alias("refuses"), since.alias("since"), "serialnumber")
    customers = customer_landing.groupBy(person("email").alias("person"))
    newest = customers.agg(F.count("*").alias("records"), F.max(says).alias("newest"))
    agreed = F.col("newest.refuses") == 0
    return newest.select(
        "person",
        "records",
        "newest.lastupdatedate",
        "newest.serialnumber",
        agreed.alias("agreed"),
        F.when(agreed, F.col("newest.since")).alias(SINCE),
    )


def serial_verdicts(customer_landing: DataFrame) -> DataFrame:
    """What the holders of each serial number say together.

    Columns: serialnumber, holders (how many), person (one of them), all_agreed, consented_since (epoch ms; the
    latest of theirs).
    """
    return (
        verdicts(customer_landing)
        .groupBy("serialnumber")
        .agg(
            F.count("*").alias("holders"),
            F.min("person").alias("person"),
            (F.min(F.col("agreed").cast("int")) == 1).alias("all_agreed"),
            F.max(SINCE).alias(SINCE),
        )
    )


def too_early(consent: Consent, taken: str) -> Column:
    """Whether a reading taken at `taken` is from before the `consented_since` that the consent rule asks for."""
    return F.lit(False) if consent is Consent.CUSTOMER else F.col(taken) < F.col(SINCE)
