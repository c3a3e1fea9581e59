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
    unread = _decoded(_unread(customer_quarantine).select("said", F.explode("addresses").alias("word")))
    by_person = unread.groupBy(F.lower("word").alias("person"))
    unread_until = by_person.agg(F.max(F.coalesce("said", F.lit(LATEST))).alias("unread_until"))
    resolved = F.coalesce(F.col("lastupdatedate") > F.col("unread_until"), F.lit(False))
    doubted = F.col("unread_until").isNotNull() & ~resolved & F.col("agreed")
    known = newest_says(customer_records).join(unread_until, "person", "left")
    known = known.withColumn("doubted", doubted).drop("unread_until")
    return known.withColumn("agreed", F.col("agreed") & ~F.col("doubted"))


def consent_as_said(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """What decides on a customer's readings: where it changes, they are looked at again.

    Columns: person, agreed, doubted, consented_since (epoch ms).
    """
    known = consent_of_customers(customer_records, customer_quarantine)
    return known.select("person", "agreed", "doubted", SINCE)


def consent_on_serials(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """What decides on the readings of a serial number. Columns: those of `consent_of_serials`.

    Whoever an unreadable record names may hold whatever number is in it. Unless they are customers who are known by
    newer records, they are one more holder, who is in doubt. It names whoever has an address in it.
    """
    newest = customer_records.groupBy(person("email").alias("person")).agg(F.max("lastupdatedate").alias("newest"))
    words = _decoded(_unread(customer_quarantine).select("id", "said", F.explode("words").alias("word")))
    words = words.withColumn("person", F.when(F.contains("word", F.lit("@")), F.lower("word")))
    since = F.coalesce(F.col("newest") > F.col("said"), F.lit(False)).cast("int")
    resolved = F.when(F.col("newest").isNotNull(), since)
    # One pass over the words: who they name, and what numbers they may be.
    by_record = words.join(newest, "person", "left").groupBy("id")
    addresses, unresolved = F.count("person").alias("addresses"), F.min(resolved).alias("resolved")
    records = by_record.agg(addresses, unresolved, F.collect_set("word").alias("words"))
    numbers = (
        records.where("addresses > 0 AND coalesce(resolved, 0) = 0")
        .select(F.explode("words").alias("serialnumber"))
        .distinct()
    )
    unsaid = {"person": F.lit(None).cast("string"), "agreed": F.lit(False), "doubted": F.lit(True)}
    known = consent_of_customers(customer_records, customer_quarantine)
    holders = known.select("person", "serialnumber", "agreed", "doubted", SINCE)
    nobody = numbers.withColumns({**unsaid, SINCE: F.lit(None).cast("bigint")})
    return consent_of_serials(holders.unionByName(nobody))


def _unread(customer_quarantine: DataFrame) -> DataFrame:
    """Unreadable customer records. Columns: id, said (when), words (and values with blanks), addresses among them."""
    escaped = F.regexp_replace(F.replace("text", F.lit("\\/"), F.lit("/")), r"\\[^Uu]", " ")
    marked = F.regexp_replace(escaped, r"\\[Uu]([0-9a-fA-F]{4})", "\x01$1")
    ends = '"\\,;:<>(){}[]' + "".join(chr(code) for code in range(32) if code != 1)
    words = F.split(F.translate(marked, ends, " " * len(ends)), " ")
    addresses = F.filter(words, lambda word: F.contains(word, F.lit("@")) | F.contains(word, F.lit("\x010040")))
    quoted = F.regexp_extract_all(marked, F.lit(r'(?i)"serialnumber"\s*:\s*"([^"]*)'), F.lit(1))
    # Cast, because the embedded engine cuts into another kind of text, which its regular expressions do not take.
    text = F.lower("text")
    behind = F.split(F.substring_index(text, '"lastupdatedate"', -1).cast("string"), r"[,}\r\n]")
    value = F.translate(F.trim(F.translate(behind[0], '\t":', "   ")), " ", "-").cast("string")
    once = F.size(F.split(text, '"lastupdatedate"')) == 2
    said = F.when(once & value.rlike("^[0-9]{13}$"), value.try_cast("bigint"))
    # All are found before the words become rows: a text of a megabyte once went along with each of its words.
    read = customer_quarantine.select(
        F.sha2("text", 256).alias("id"),
        F.array_distinct(F.concat(words, quoted)).alias("words"),
        F.array_distinct(F.transform(addresses, F.lower)).alias("addresses"),
        said.alias("said"),
    )
    return read.withColumn("said", F.when(F.size("addresses") < 2, F.col("said")))  # else, nobody knows whose it is


def _decoded(words: DataFrame) -> DataFrame:
    """Each `word` as what it may mean: with its escapes read, and without signs around it and within."""
    escaped = F.replace("word", F.lit("\x01"), F.lit("\\u"))
    decoded = F.from_json(F.concat(F.lit('{"it":"'), escaped, F.lit('"}')), "it string")["it"]
    # Half a character, without its other half, is read as something else by each engine: it stays as it is spelled.
    halves = F.regexp_replace("word", "\x01[dD][89abAB][0-9a-fA-F]{2}\x01[dD][c-fC-F][0-9a-fA-F]{2}", "")
    sound = F.when(halves.rlike("\x01[dD][89a-fA-F]"), escaped).otherwise(F.coalesce(decoded, escaped))
    words = words.withColumn("word", F.when(F.contains("word", F.lit("\x01")), sound).otherwise(F.col("word")))
    # Also what is left of it where signs that an address or a number seldom has are no part of it.
    ends = '"\\,;:<>(){}[]=&|*/?!#$^~`\u00a0\u2007\u202f\u200b\ufeff\ufffd' + "".join(map(chr, range(32)))
    parts = F.array_append(F.split(F.translate("word", ends, " " * len(ends)), " "), F.col("word"))
    words = words.withColumn("word", F.explode(parts))
    blanks = " \t\r\n\u00a0\u2007\u202f\u200b\ufeff"
    bare = [F.trim("word", F.lit(around)) for around in (blanks, f"{blanks}'`\u00b4\u2018\u2019\u201c\u201d\".=*_-")]
    return words.withColumn("word", F.explode(F.array(*bare))).where("word <> ''")


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
