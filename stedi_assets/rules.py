"""The domain's vocabulary: consent, latest record, owner, as small Spark expressions and functions.

Belongs here: what the words in the tables' definitions mean, each once. A change here changes the code version of
every table that uses them. Does not belong here: a whole table (`trusted.py`, `curated.py`), or a check: checks state a
promise in their own words, so that a mistake made here cannot hide there (`checks/independent_rules.py`).
"""

from __future__ import annotations

from collections.abc import Collection
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

CONSENT, FILE, TEXT = contracts.CONSENT.name, contracts.FILE.name, contracts.TEXT.name
SINCE = "consented_since"


class Consent(StrEnum):
    """Which readings a consenting customer shares."""

    CUSTOMER = "customer"
    AS_OF_DATE = "as-of-date"

    @property
    def explained(self) -> str:
        """The rule in a sentence, for who meets it."""
        if self is Consent.CUSTOMER:
            return f"{self}: who agreed shares all their readings, also those from before they did (STEDI_CONSENT)"
        return f"{self}: only readings taken at or after the moment of consent are shared (STEDI_CONSENT)"


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


def consented_serials(customer_records: DataFrame, doubted: DataFrame) -> DataFrame:
    """Serial numbers all of whose holders have consented. Columns: serialnumber, consented_since (epoch ms).

    A customer holds the serial number of their latest record. Where several hold the same one, the consent counts
    from the moment when the last of them gave it. A holder who is `doubted` counts as one without consent.
    """
    doubt = doubted.withColumn("doubted", F.lit(1))
    holders = latest_record(customer_records).withColumn("person", person("email")).join(doubt, "person", "left")
    agreed = (consented() & F.col("doubted").isNull()).cast("int")
    serials = holders.groupBy("serialnumber").agg(F.min(agreed).alias("all_consented"), F.max(CONSENT).alias(SINCE))
    return serials.where("all_consented = 1").select("serialnumber", SINCE)


def serials_agreed_on(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """As `consented_serials`, but for those in doubt, and with everybody doubted who is."""
    agreed = consented_serials(customer_records, in_doubt(customer_records, customer_quarantine))
    return agreed.join(serials_in_doubt(customer_records, customer_quarantine), "serialnumber", "left_anti")


def curated_serials(customers_curated: DataFrame) -> DataFrame:
    """The serial numbers of customers who have readings. Columns: serialnumber."""
    return customers_curated.select("serialnumber").distinct()


def sole_holders(customer_trusted: DataFrame) -> DataFrame:
    """Serial numbers that exactly one consenting customer holds. Columns: serialnumber, person."""
    serials = customer_trusted.groupBy("serialnumber").agg(
        F.count("*").alias("holders"), F.min(person("email")).alias("person")
    )
    return serials.where("holders = 1").select("serialnumber", "person")


def delivered_once(records: DataFrame, spelled: Collection[str] = ()) -> DataFrame:
    """Each record as often as it occurs in the one file that has it most often; columns as given, `file` among them.

    A file that is saved again with other line ends, a cumulative export or an at-least-once stream adds nothing, and
    equal readings inside one file stay. Where two files tie, the one with the greater name has the record. Columns that
    are `spelled` in several ways make no other record: beside them is one that says what they mean.
    """
    values = [name for name in records.columns if name not in (FILE, *spelled)]
    # One hash in place of all columns: grouping by five took the embedded engine several times as long. Of 32 bits, as
    # the one of 64 ends the embedded engine where all columns are constant; rows that share one are compared by value.
    # No file is looked at where a record occurs once, as nearly all do: the least and greatest file of each took three
    # times as long, and twice the memory.
    hashed = records.withColumn("_hash", F.hash(*values))
    again = hashed.groupBy("_hash").agg(F.count("*").alias("times")).where("times > 1").select("_hash")
    repeated = hashed.join(again, "_hash", "left_semi")
    times = repeated.groupBy("_hash", *values, FILE).agg(F.count("*").alias("times"))
    # The greatest of texts is found many times faster than that of structs.
    most = F.max(F.concat(F.lpad(F.col("times").cast("string"), 10, "0"), FILE))
    chosen = times.groupBy("_hash", *values).agg(F.substring(most, 11, 2**31 - 1).alias("has_it"))
    equal = " and ".join(f"record.{name} <=> chosen.{name}" for name in values)
    found = hashed.alias("record").join(
        chosen.alias("chosen"), F.expr(f"record._hash = chosen._hash and {equal}"), "left"
    )
    return found.where(f"has_it IS NULL OR has_it = {FILE}").select(*(f"record.{name}" for name in records.columns))


def in_doubt(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """Customers of whom a record could not be read, and no readable one is known to be newer. Columns: person.

    Nobody knows what such a record said: its customer counts as one without consent, until a readable record has a
    later `lastupdatedate` than the one in the unreadable text (where a moment can be found there), or it is mended.
    """
    named = _of_customers(_words(customer_quarantine, "addresses"), customer_records, "inner")
    return named.where("NOT known").select("person").distinct()


def serials_in_doubt(customer_records: DataFrame, customer_quarantine: DataFrame) -> DataFrame:
    """Words of records that could not be read but name somebody, of whom no readable one is known to be newer.

    Whoever such a record is of may hold the serial number that it names, and nobody knows whether they agreed: a serial
    number that is one of these words counts as one without consent. A record without any address decides nothing.
    Columns: serialnumber.
    """
    words = _of_customers(_words(customer_quarantine, "words"), customer_records, "left").groupBy("record")
    # Once more through all words for those of known customers would take as long again.
    named = F.max("person").alias("named")
    records = words.agg(named, F.bool_and("known").alias("known"), F.collect_set("word").alias("words"))
    doubted = records.where("named IS NOT NULL AND (known IS NULL OR NOT known)")
    return doubted.select(F.explode("words").alias("serialnumber")).distinct()


def _of_customers(words: DataFrame, customer_records: DataFrame, how: str) -> DataFrame:
    """The words that are a customer's address, beside them `known`: whether a readable record of theirs is newer."""
    newest = customer_records.groupBy(person("email").alias("person")).agg(F.max("lastupdatedate").alias("newest"))
    named = words.withColumn("person", F.when(F.contains("word", F.lit("@")), F.lower("word"))).join(
        newest, "person", how
    )
    later = F.coalesce(F.col("newest") > F.col("said"), F.lit(False))
    return named.withColumn("known", F.when(F.col("newest").isNotNull(), later))


def _words(customer_quarantine: DataFrame, which: str) -> DataFrame:
    """The `words` of unreadable records, or the `addresses` among them, as JSON, Python and people may spell them.

    Columns: record (a hash of its text), said (the moment in it, or null), word.
    """
    # A mark in place of what JSON spells a letter with; every other backslash ends a word, as a quote does.
    spelled = F.regexp_replace(F.replace(TEXT, F.lit(r"\/"), F.lit("/")), r"\\[^uU]", " ")
    spelled = F.regexp_replace(spelled, r"\\[uU]([0-9A-Fa-f]{4})", "\x01$1")
    # All are found before the words become rows, or the whole text would go along with each of them.
    words = F.regexp_extract_all(spelled, F.lit(_WORD), F.lit(0))
    addresses = F.filter(words, lambda word: F.contains(word, F.lit("@")) | F.contains(word, F.lit("\x010040")))
    serials = F.regexp_extract_all(spelled, F.lit(r'(?i)"serialNumber"\s*:\s*"([^"]*)'), F.lit(1))
    found = customer_quarantine.select(
        F.sha2(TEXT, 256).alias("record"),
        _moment(TEXT).alias("moment"),
        F.array_distinct(F.transform(addresses, F.lower)).alias("addresses"),
        F.array_distinct(F.concat(words, serials)).alias("words"),
    )
    # A record that was cut off swallows the next one: of several persons, nobody knows whose moment it is.
    said = F.when(F.size("addresses") == 1, F.col("moment")).alias("said")
    each = found.select("record", said, which).select("record", "said", F.explode(which).alias("word"))
    escaped = F.replace("word", F.lit("\x01"), F.lit(r"\u"))
    decoded = F.from_json(F.concat(F.lit('{"it":"'), escaped, F.lit('"}')), "it string")["it"]
    # Half a character means nothing, and engines read something else each.
    paired = F.regexp_replace("word", "\x01[dD][89abAB]..\x01[dD][c-fC-F]..", "")
    read = F.when(~paired.rlike("\x01[dD][89a-fA-F]"), F.coalesce(decoded, escaped)).otherwise(escaped)
    whole = F.when(F.contains("word", F.lit("\x01")), read).otherwise(F.col("word"))
    each = each.withColumn("word", whole)
    parts = each.withColumn("word", F.explode(F.concat(F.array("word"), F.split("word", _ENDS))))
    # An apostrophe may be a part of an address, or the quote around it, as Python writes those.
    bare = F.array(F.trim("word", F.lit(_BLANKS)), F.trim("word", F.lit(_BLANKS + _QUOTES)))
    return parts.withColumn("word", F.explode(bare))


def without(customers: DataFrame, persons: DataFrame) -> DataFrame:
    """The customers but for these persons."""
    return customers.join(persons, person("email") == persons["person"], "left_anti")


# One class, repeated: Java follows a repeated choice of two by recursion, and a long word ended its whole process.
_WORD = r"[^\x00\x02-\x20\"\\,;:<>(){}\[\]]+"
_ENDS = r"[\x00-\x20\"\\,;:<>(){}\[\]=&|*/?!#$^~`\x{a0}\x{2007}\x{202f}\x{200b}\x{feff}\x{fffd}]+"
"""What an address seldom has: it is looked for with these signs, and without."""
_BLANKS = " \t\r\n\u00a0\u2007\u202f\u200b\ufeff"
_QUOTES = "'`\u00b4\u2018\u2019\u201c\u201d\".=*_-"


def _moment(text: str) -> Column:
    """The `lastUpdateDate` in the text (epoch milliseconds), or null where none can be one, or there are several."""
    fields = F.regexp_extract_all(text, F.lit(r'(?i)"lastUpdateDate"'), F.lit(0))
    digits = F.regexp_extract(text, r'(?i)"lastUpdateDate"[ \t":]*([0-9]{13})[ \t":]*(?:[},\r\n]|$)', 1)
    return F.when((F.size(fields) == 1) & (digits != ""), digits.cast("bigint"))
