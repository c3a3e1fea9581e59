"""Who has consented, worked out a second time by other means.

Belongs here: the few facts that checks and reconciliations need and must not take from the functions that they check.
`rules.py` ranks each customer's records with a window; here, the greatest of them is looked for instead. Nothing
but words (a column's name, who an e-mail address means) comes from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lazy import LazyModule
from stedi_assets.rules import CONSENT, SINCE, Consent, person

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

LEAST, LATEST = -(2**63), 2**63 - 1  # no date is before or after; null is before all
DIGITS = 20  # of the largest distance between two dates


def newest_says(customer_records: DataFrame) -> DataFrame:
    """What each customer's newest record says; of several of the same moment, the most reluctant.

    Columns: person, records (how many there are of the customer), lastupdatedate, serialnumber, agreed,
    consented_since (epoch ms; null where they did not).
    """
    refuses = F.when(F.col(CONSENT) > 0, "0").otherwise("1")
    # One text that sorts as the four would: engines find the greatest of texts many times faster than of structs.
    says = F.concat(_sortable("lastupdatedate"), refuses, _sortable(CONSENT), F.coalesce("serialnumber", F.lit("")))
    customers = customer_records.groupBy(person("email").alias("person"))
    newest = customers.agg(F.count("*").alias("records"), F.max(says).alias("says"))
    agreed = F.substring("says", DIGITS + 1, 1) == "0"
    return newest.select(
        "person",
        "records",
        _sorted(1).alias("lastupdatedate"),
        F.expr(f"substring(says, {2 * DIGITS + 2})").alias("serialnumber"),
        agreed.alias("agreed"),
        F.when(agreed, _sorted(DIGITS + 2)).alias(SINCE),
    )


def _sortable(moment: str) -> Column:
    """A moment as digits that sort as it does; null is before all."""
    above = F.coalesce(F.col(moment), F.lit(LEAST)).cast("decimal(20,0)") - F.lit(LEAST).cast("decimal(20,0)")
    return F.lpad(above.cast("decimal(20,0)").cast("string"), DIGITS, "0")


def _sorted(position: int) -> Column:
    """The moment whose digits begin there."""
    above = F.substring("says", position, DIGITS).cast("decimal(20,0)")
    return (above + F.lit(LEAST).cast("decimal(20,0)")).cast("bigint")


def consent_of_customers(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """What is known of each customer's consent: what their newest record says, unless an unreadable one may be newer.

    Columns: those of `newest_says`, where `agreed` is false for a customer in doubt; doubted, whether that is why.
    """
    # Of several unreadable records the latest decides; one of no known moment may be newer than all.
    unread = _unreadable_records(customer_quarantine).groupBy("person")
    unread_until = unread.agg(F.max(F.coalesce("said", F.lit(LATEST))).alias("unread_until"))
    resolved = F.coalesce(F.col("lastupdatedate") > F.col("unread_until"), F.lit(False))
    doubted = F.col("unread_until").isNotNull() & ~resolved & F.col("agreed")
    known = newest_says(customer_records).join(unread_until, "person", "left")
    known = known.withColumn("doubted", doubted).drop("unread_until")
    return known.withColumn("agreed", F.col("agreed") & ~F.col("doubted"))


def consent_as_said(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """What decides on a customer's readings: where it changes, they are looked at again.

    Columns: person, serialnumber, agreed, doubted, consented_since (epoch ms).
    """
    known = consent_of_customers(customer_records, customer_quarantine)
    return known.select("person", "serialnumber", "agreed", "doubted", SINCE)


def consent_on_serials(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """What decides on the readings of a serial number. Columns: those of `consent_of_serials`."""
    return consent_of_serials(consent_of_customers(customer_records, customer_quarantine))


def _unreadable_records(customer_quarantine: DataFrame) -> DataFrame:
    """Whom the text of each unreadable customer record names, and of when it says to be. Columns: person, said."""
    text = F.lower("text")
    marked = F.regexp_replace(F.replace(text, F.lit("\\/"), F.lit("/")), r"\\[^u]", " ")
    marked = F.regexp_replace(marked, r"\\u([0-9a-f]{4})", "\x01$1")  # of escapes
    ends = '"\\,;:<>(){}[]' + "".join(chr(code) for code in range(32) if code != 1)
    words = F.filter(
        F.split(F.translate(marked, ends, " " * len(ends)), " "),
        lambda word: F.contains(word, F.lit("@")) | F.contains(word, F.lit("\x010040")),
    )
    # Cast, because the embedded engine cuts into another kind of text, which its regular expressions do not take.
    behind = F.split(F.substring_index(text, '"lastupdatedate"', -1).cast("string"), r"[,}\r\n]")
    value = F.translate(F.trim(F.translate(behind[0], '\t":', "   ")), " ", "-").cast("string")
    once = F.size(F.split(text, '"lastupdatedate"')) == 2
    said = F.when(once & value.rlike("^[0-9]{13}$"), value.try_cast("bigint"))
    # Both are found before the words become rows: a text of a megabyte once went along with each of its words.
    read = customer_quarantine.select(F.array_distinct(words).alias("words"), said.alias("said"))
    read = read.withColumn("said", F.when(F.size("words") < 2, F.col("said")))  # else, nobody knows whose it is
    named = read.select("said", F.explode("words").alias("word"))
    spelled = F.replace("word", F.lit("\x01"), F.lit("\\u"))
    decoded = F.from_json(F.concat(F.lit('{"it":"'), spelled, F.lit('"}')), "it string")["it"]
    named = named.select("said", F.lower(F.coalesce(decoded, spelled)).alias("word"))
    # Also what is left of it where signs that an address seldom has are no part of it.
    ends += "=&|*/?!#$^~`\u00a0\u2007\u202f\u200b\ufeff\ufffd"
    parts = F.array_append(F.split(F.translate("word", ends, " " * len(ends)), " "), F.col("word"))
    named = named.select("said", F.explode(parts).alias("part"))
    blanks = " \t\r\n\u00a0\u2007\u202f\u200b\ufeff"
    bare = [F.trim("part", F.lit(around)) for around in (blanks, f"{blanks}'`\u00b4\u2018\u2019\u201c\u201d\".=*_-")]
    named = named.select("said", F.explode(F.array(*bare)).alias("person"))
    return named.where(F.contains("person", F.lit("@")))


def consent_of_serials(customers: DataFrame) -> DataFrame:
    """What the holders of each serial number say together, of customers as one of the functions above gives them.

    Columns: serialnumber, holders (how many), person (one of them), all_agreed, consented_since (epoch ms; the
    latest of theirs), all_agreed_or_doubted.
    """
    agreed = F.col("agreed").cast("int")
    doubted = F.col("doubted").cast("int") if "doubted" in customers.columns else F.lit(0)
    return customers.groupBy("serialnumber").agg(
        F.count("*").alias("holders"),
        F.min("person").alias("person"),
        (F.min(agreed) == 1).alias("all_agreed"),
        (F.min(F.greatest(agreed, doubted)) == 1).alias("all_agreed_or_doubted"),
        F.max(SINCE).alias(SINCE),
    )


def too_early(consent: Consent, taken: str) -> Column:
    """Whether a reading taken at `taken` is from before the `consented_since` that the consent rule asks for."""
    return F.lit(False) if consent is Consent.CUSTOMER else F.col(taken) < F.col(SINCE)
