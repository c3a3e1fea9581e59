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
    """As `consented_serials`, with everybody doubted who is."""
    return consented_serials(customer_records, in_doubt(customer_records, customer_quarantine))


def curated_serials(customers_curated: DataFrame) -> DataFrame:
    """The serial numbers of customers who have readings. Columns: serialnumber."""
    return customers_curated.select("serialnumber").distinct()


def sole_holders(customer_trusted: DataFrame) -> DataFrame:
    """Serial numbers that exactly one consenting customer holds. Columns: serialnumber, person."""
    serials = customer_trusted.groupBy("serialnumber").agg(
        F.count("*").alias("holders"), F.min(person("email")).alias("person")
    )
    return serials.where("holders = 1").select("serialnumber", "person")


def delivered_once(records: DataFrame) -> DataFrame:
    """Each record as often as it occurs in the one file that has it most often; columns as given, `file` among them.

    A file that is saved again with other line ends, a cumulative export or an at-least-once stream adds nothing, and
    equal readings inside one file stay. Where two files tie, the one with the greater name has the record.
    """
    values = [name for name in records.columns if name != FILE]
    # One hash in place of all columns: grouping by five took the embedded engine several times as long, and the least
    # and greatest of texts in place of numbers three times as long again, and twice the memory. Nearly always every
    # record is in one file only, and nothing more is to be done.
    hashed = records.withColumn("_hash", F.xxhash64(*values))
    by_hash = hashed.select("_hash", F.xxhash64(FILE).alias("_file")).groupBy("_hash")
    files = by_hash.agg(F.min("_file").alias("first"), F.max("_file").alias("last"))
    again = files.where("first <> last").select("_hash")
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
    # A mark in place of what JSON spells a letter with; every other backslash ends a word, as a quote does.
    spelled = F.regexp_replace(F.replace(F.lower(TEXT), F.lit(r"\/"), F.lit("/")), r"\\[^u]", " ")
    spelled = F.regexp_replace(spelled, r"\\u([0-9a-f]{4})", "\x01$1")
    # Both are found before the words become rows, or the whole text would go along with each of them.
    with_address = F.filter(
        F.regexp_extract_all(spelled, F.lit(_WORD), F.lit(0)),
        lambda word: F.contains(word, F.lit("@")) | F.contains(word, F.lit("\x010040")),
    )
    found = customer_quarantine.select(_moment(TEXT).alias("said"), F.array_distinct(with_address).alias("words"))
    # A record that was cut off swallows the next one: of several persons, nobody knows whose moment it is.
    said = F.when(F.size("words") == 1, F.col("said"))
    words = found.select(said.alias("said"), F.explode("words").alias("word"))
    words = words.withColumn("word", F.replace("word", F.lit("\x01"), F.lit(r"\u")))
    decoded = F.from_json(F.concat(F.lit('{"it":"'), "word", F.lit('"}')), "it string")["it"]
    whole = words.select("said", F.lower(F.coalesce(decoded, "word")).alias("word"))
    parts = whole.select("said", F.explode(F.concat(F.array("word"), F.split("word", _ENDS))).alias("part"))
    # An apostrophe may be a part of an address, or the quote around it, as Python writes those.
    bare = F.array(F.trim("part", F.lit(_BLANKS)), F.trim("part", F.lit(_BLANKS + _QUOTES)))
    unread = parts.select("said", F.explode(bare).alias("person"))
    newest = customer_records.groupBy(person("email").alias("person")).agg(F.max("lastupdatedate").alias("newest"))
    return unread.join(newest, "person").where("said IS NULL OR newest <= said").select("person").distinct()


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
