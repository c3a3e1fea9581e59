"""The domain's vocabulary: consent, latest record, owner, as small Spark expressions and functions.

Belongs here: what the words in the tables' definitions mean, each once. A change here changes the code version of
every table that uses them. Does not belong here: a whole table (`trusted.py`, `curated.py`), or a check: checks state a
promise in their own words, so that a mistake made here cannot hide there (`checks/independent_rules.py`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets import contracts
from stedi_assets.contracts import CUSTOMER_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, window
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")
    window = LazyModule("pyspark.sql.window")

CONSENT = contracts.CONSENT.name
SINCE = "consented_since"


class Consent(StrEnum):
    """Which readings a consenting customer shares."""

    CUSTOMER = "customer"  # all of them
    AS_OF_DATE = "as-of-date"  # those taken at or after the moment of consent


def person(email: str) -> Column:
    """Who an e-mail address means: letter case and surrounding blanks do not make another person."""
    return F.lower(F.trim(F.col(email)))


def consented() -> Column:
    """Whether a customer record says that its customer shares data for research. Never null."""
    return F.coalesce(F.col(CONSENT) > 0, F.lit(False))


def taken_with_consent(consent: Consent, taken: str) -> Column:
    """Whether the consent covers a reading taken at `taken`, given the owner's `consented_since`."""
    return F.lit(True) if consent is Consent.CUSTOMER else F.col(taken) >= F.col(SINCE)


def latest_record(customers: DataFrame) -> DataFrame:
    """Each customer's latest record, by `lastupdatedate`.

    Where records tie, the one without consent wins, then the one with the later consent. The remaining columns
    only make the choice the same on every run and every engine.
    """
    rest = [F.desc_nulls_last(column.name) for column in reversed(CUSTOMER_COLUMNS)]
    order = (
        F.desc("lastupdatedate"),
        consented().asc(),
        F.desc_nulls_last(CONSENT),
        F.desc("serialnumber"),
        *rest,
    )
    newest_first = window.Window.partitionBy(person("email")).orderBy(*order)
    ranked = customers.withColumn("_rank", F.row_number().over(newest_first))
    return ranked.where("_rank = 1").select(*(column.name for column in CUSTOMER_COLUMNS))


def owners(customer_trusted: DataFrame) -> DataFrame:
    """Who has consented and since when. Columns: person, consented_since (epoch ms)."""
    return customer_trusted.select(person("email").alias("person"), F.col(CONSENT).alias(SINCE))


def consented_serials(customer_records: DataFrame) -> DataFrame:
    """Serial numbers all of whose holders have consented. Columns: serialnumber, consented_since (epoch ms).

    A customer holds the serial number of their latest record. Where several hold the same one, the consent counts
    from the moment when the last of them gave it.
    """
    by_serial = latest_record(customer_records).groupBy("serialnumber")
    serials = by_serial.agg(F.min(consented().cast("int")).alias("all_consented"), F.max(CONSENT).alias(SINCE))
    return serials.where("all_consented = 1").select("serialnumber", SINCE)


def sole_holders(customer_trusted: DataFrame) -> DataFrame:
    """Serial numbers that exactly one consenting customer holds. Columns: serialnumber, person."""
    serials = customer_trusted.groupBy("serialnumber").agg(
        F.count("*").alias("holders"), F.min(person("email")).alias("person")
    )
    return serials.where("holders = 1").select("serialnumber", "person")
