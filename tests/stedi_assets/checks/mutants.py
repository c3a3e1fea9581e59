"""Every rule of the tables, broken on purpose, and what notices it.

Belongs here: what stands in place of a table's own function, and the checks that fail. Does not belong here: what may
happen to any table (`accidents.py`), or to the reading of a feed (`mutant_readers.py`). What is held of them is in
`test_mutants.py`; the page `docs/audits.md` is made from the lists (`page.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resources.lazy import LazyModule
from stedi_assets.checks import reconciliation
from stedi_assets.contracts import (
    ACCELEROMETER_TRUSTED,
    CUSTOMER_COLUMNS,
    MACHINE_LEARNING_CURATED,
    STEP_TRAINER_TRUSTED,
    USER,
    Pii,
)
from stedi_assets.pipeline.reconciliation import rows_reconciled
from stedi_assets.pipeline.table import LakehouseTable
from stedi_assets.rules import (
    CONSENT,
    Consent,
    consented,
    consented_serials,
    delivered_once,
    in_doubt,
    latest_record,
    owners,
    person,
    sole_holders,
)
from tests.stedi_assets.examples import T
from tests.stedi_assets.runs import ASSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

Rows = Callable[[Any], "DataFrame"]

NO_CONSENT_FILTER = "the consent filter is removed"
REVERSED = "the latest-record rule is reversed: the oldest decides"
TIMESTAMP_ONLY = "the sensors are joined by timestamp alone"
ADDRESS_KEPT = "the e-mail address is kept"
ANY_DATE = "the consent rule as-of-date is not asked for: earlier readings are shared too"
DOUBT = "a customer of whom a record cannot be read counts as one who consents"
HELD_IN_DOUBT = "a serial number that an unreadable record of a stranger names is trusted"
ONCE = "what another file delivers again counts again"


@dataclass(frozen=True)
class Mutant:
    """A rule, what breaks it in place of a table's own function, and the checks that fail: they and no others.

    `rows` makes the table's rows of the published tables, which are its argument's attributes; the text of a customer
    record that nobody can read may be quarantined before they are checked.
    """

    rule: str
    table: str
    rows: Rows
    caught_by: frozenset[str]
    consent: Consent = Consent.CUSTOMER
    differences: Mapping[str, Any] = field(default_factory=dict)
    unreadable: str | None = None

    @property
    def checked(self) -> LakehouseTable:
        return replace(ASSETS[self.table], **self.differences)

    def __str__(self) -> str:
        return f"{self.table}: {self.rule}"


CUSTOMERS, CURATED = "customer_trusted", "customers_curated"
READINGS, DISTANCES, TRAINING = "accelerometer_trusted", "step_trainer_trusted", "machine_learning_curated"
SUM = "rows_reconciled"
CONSENTING, LATEST, ONE = "only_consenting_customers", "only_latest_records", "one_row_per_customer"
OF_CUSTOMERS, OF_HOLDERS = "only_readings_of_consenting_customers", "only_readings_of_consenting_holders"
OF_ONE, UNNAMED, MATCHED = "no_row_pairs_two_customers", "no_direct_identifiers", "accelerometer_readings_matched"
UNDOUBTED = "no_customer_in_doubt"

MUTANTS: list[Mutant] = []
"""Evaluated as a run would."""


def breaks(table: str, rules: Mapping[str, tuple[Any, ...]], **more: Any) -> None:
    """By rule: what makes the table's rows of the published tables, and the checks that fail."""
    MUTANTS.extend(Mutant(rule, table, rows, frozenset(caught), **more) for rule, (rows, *caught) in rules.items())


# Customers ----------------------------------------------------------------------------------------------------


def oldest(customers: DataFrame) -> DataFrame:
    backwards = F.col("lastupdatedate") * -1
    return latest_record(customers.withColumn("lastupdatedate", backwards)).withColumn("lastupdatedate", backwards)


def oldest_decides(customers: DataFrame) -> DataFrame:
    return oldest(customers).where(consented())


def an_older_record(customers: DataFrame) -> DataFrame:
    agreed = latest_record(customers).where(consented()).select(person("email"))
    return oldest(customers.where(consented())).where(person("email").isin([row[0] for row in agreed.collect()]))


def by_letter_case(customers: DataFrame) -> DataFrame:
    capitals = F.col("email") != F.lower("email")
    one, other = (latest_record(customers.where(which)) for which in (capitals, ~capitals))
    return one.unionByName(other).where(consented())


def active(customers: DataFrame, readings: DataFrame, how: str = "left_semi") -> DataFrame:
    of = readings.select(person("user").alias("person"))
    return customers.withColumn("person", person("email")).join(of, "person", how).drop("person")


breaks(
    CUSTOMERS,
    {
        NO_CONSENT_FILTER: (lambda t: latest_record(t.customer_records), CONSENTING, SUM),
        "zero is consent": (lambda t: latest_record(t.customer_records).where(f"{CONSENT} >= 0"), CONSENTING, SUM),
        REVERSED: (lambda t: oldest_decides(t.customer_records), CONSENTING, LATEST),
        "an older record is kept": (lambda t: an_older_record(t.customer_records), LATEST),
        "letter case makes another customer": (lambda t: by_letter_case(t.customer_records), LATEST, ONE, SUM),
    },
)
breaks(
    CURATED,
    {
        NO_CONSENT_FILTER: (
            lambda t: active(latest_record(t.customer_records), t.accelerometer_records),
            *(CONSENTING, SUM),
        ),
        REVERSED: (lambda t: active(oldest_decides(t.customer_records), t.accelerometer_trusted), LATEST, SUM),
        "customers without readings are kept": (lambda t: t.customer_trusted, SUM),
        "a customer is there for each reading": (
            lambda t: active(t.customer_trusted, t.accelerometer_trusted, "inner"),
            *(SUM, ONE),
        ),
    },
)

# Readings -----------------------------------------------------------------------------------------------------


def readings_of(readings: DataFrame, customers: DataFrame, *, once: bool = True) -> DataFrame:
    known = customers.select(person("email").alias("person")).distinct()
    owned = readings.withColumn("person", person("user")).join(known, "person", "left_semi")
    return (delivered_once(owned) if once else owned).select(*ACCELEROMETER_TRUSTED.column_names)


def after_consent_only(readings: DataFrame, customers: DataFrame) -> DataFrame:
    owned = readings.withColumn("person", person("user")).join(owners(customers), "person")
    return delivered_once(owned.where("timestamp > consented_since")).select(*ACCELEROMETER_TRUSTED.column_names)


def lossy_sum(
    accelerometer_records: DataFrame, customer_records: DataFrame, customer_quarantine: DataFrame, consent: Consent
) -> DataFrame:
    records = accelerometer_records.where("x <> 1.5")
    return reconciliation.accelerometer_trusted(records, customer_records, customer_quarantine, consent)


def of_customers(whose: Rows) -> Rows:
    return lambda t: readings_of(t.accelerometer_records, whose(t))


breaks(
    READINGS,
    {
        NO_CONSENT_FILTER: (of_customers(lambda t: t.customer_records), OF_CUSTOMERS, SUM),
        REVERSED: (of_customers(lambda t: oldest_decides(t.customer_records)), OF_CUSTOMERS),
        "strangers' readings are kept": (lambda t: t.accelerometer_records.drop("file"), OF_CUSTOMERS, SUM),
        "who ever consented counts": (
            of_customers(lambda t: t.customer_records.where(consented())),
            *(OF_CUSTOMERS, SUM),
        ),
        ONCE: (lambda t: readings_of(t.accelerometer_records, t.customer_trusted, once=False), SUM),
    },
)
breaks(
    READINGS,
    {
        ANY_DATE: (of_customers(lambda t: t.customer_trusted), OF_CUSTOMERS, SUM),
        "the millisecond of consent is too early": (
            lambda t: after_consent_only(t.accelerometer_records, t.customer_trusted),
            SUM,
        ),
    },
    consent=Consent.AS_OF_DATE,
)
LOSSY = (lambda t: readings_of(t.accelerometer_records.where("x <> 1.5"), t.customer_trusted), SUM)
breaks(
    READINGS,
    {"table and reconciliation both overlook a row": LOSSY},
    differences={"reconciliation": lossy_sum, "checks": (rows_reconciled(lossy_sum),)},
)

# Distances ----------------------------------------------------------------------------------------------------


def distances_of(distances: DataFrame, holders: DataFrame) -> DataFrame:
    held = delivered_once(distances).join(holders.select("serialnumber"), "serialnumber")
    return held.select(*STEP_TRAINER_TRUSTED.column_names)


def agreed_serials(t: Any, customers: DataFrame) -> DataFrame:
    return consented_serials(customers, in_doubt(t.customer_records, t.customer_quarantine))


def trusted_again(t: Any) -> DataFrame:
    retained = t.step_trainer_trusted.select("serialnumber").distinct()
    held = t.step_trainer_records.join(retained, "serialnumber", "left_semi")
    return held.select(*STEP_TRAINER_TRUSTED.column_names)


def ever_held(customers: DataFrame, curated: DataFrame) -> DataFrame:
    return active(customers, curated.select(F.col("email").alias("user")))


def of_holders(which: Rows) -> Rows:
    return lambda t: distances_of(t.step_trainer_records, which(t).select("serialnumber").distinct())


WHOLLY_AGREED = "serialnumber <> 'half'"
breaks(
    DISTANCES,
    {
        NO_CONSENT_FILTER: (of_holders(lambda t: latest_record(t.customer_records)), OF_HOLDERS, SUM),
        REVERSED: (of_holders(lambda t: agreed_serials(t, oldest(t.customer_records))), OF_HOLDERS, SUM),
        "one consenting holder is enough": (of_holders(lambda t: t.customers_curated), OF_HOLDERS, SUM),
        "a device once held still counts": (
            of_holders(lambda t: ever_held(t.customer_records, t.customers_curated).where(WHOLLY_AGREED)),
            *(OF_HOLDERS, SUM),
        ),
        "holders without readings count": (of_holders(lambda t: agreed_serials(t, t.customer_records)), SUM),
        "several holders multiply a reading": (
            lambda t: distances_of(t.step_trainer_records, t.customers_curated.where(WHOLLY_AGREED)),
            SUM,
        ),
        ONCE: (trusted_again, SUM),
    },
)
REGARDLESS = (
    lambda t: replace(t.inputs, options={"consent": Consent.CUSTOMER}).bind(ASSETS[DISTANCES].function),
    *(OF_HOLDERS, SUM),
)
breaks(DISTANCES, {ANY_DATE: REGARDLESS}, consent=Consent.AS_OF_DATE)

# What is trained on -------------------------------------------------------------------------------------------


def pairs(distances: DataFrame, readings: DataFrame, holders: DataFrame, *more: str) -> DataFrame:
    readings = readings.withColumn("person", person("user")).withColumnRenamed("timestamp", "sensorreadingtime")
    paired = distances.join(holders, "serialnumber").join(readings, ["person", "sensorreadingtime"])
    return paired.select(*MACHINE_LEARNING_CURATED.column_names, *more)


def pairs_by(t: Any, holders: DataFrame, *more: str) -> DataFrame:
    return pairs(t.step_trainer_trusted, t.accelerometer_trusted, holders, *more)


def pairs_of_anybody(t: Any) -> DataFrame:
    holders = sole_holders(latest_record(t.customer_records))
    return pairs(t.step_trainer_records.drop("file"), t.accelerometer_records.drop("file"), holders)


def pairs_of_the_same_moment(t: Any) -> DataFrame:
    readings = t.accelerometer_trusted.withColumnRenamed("timestamp", "sensorreadingtime")
    return t.step_trainer_trusted.join(readings, "sensorreadingtime").select(*MACHINE_LEARNING_CURATED.column_names)


def pairs_with(t: Any, column: str) -> DataFrame:
    if column == "user":
        return pairs_by(t, sole_holders(t.customer_trusted), column)
    known = t.customer_trusted.select("serialnumber", F.coalesce(column, F.lit("nobody's")).alias(column))
    return pairs_by(t, sole_holders(t.customer_trusted).join(known, "serialnumber"), column)


def any_holders(customers: DataFrame) -> DataFrame:
    return customers.select("serialnumber", person("email").alias("person"))


def one_altered(t: Any) -> DataFrame:
    made = ASSETS[TRAINING](t.step_trainer_trusted, t.accelerometer_trusted, t.customer_trusted)
    rows = [*made.collect()[1:], (T + 20, "ann", 3, 99.0, 0.0, 0.0)]
    return made.sparkSession.createDataFrame(rows, made.schema)


breaks(
    TRAINING,
    {
        NO_CONSENT_FILTER: (pairs_of_anybody, OF_HOLDERS, OF_ONE, SUM),
        REVERSED: (lambda t: pairs_by(t, sole_holders(oldest_decides(t.customer_records))), SUM, MATCHED),
        TIMESTAMP_ONLY: (pairs_of_the_same_moment, OF_ONE, SUM),
        "shared Step Trainers are trained on": (lambda t: pairs_by(t, any_holders(t.customer_trusted)), OF_ONE, SUM),
        "a value changes on the way": (one_altered, OF_ONE),
        ADDRESS_KEPT: (lambda t: pairs_with(t, "user"), "matches_contract"),
        f"{ADDRESS_KEPT} in place of the serial number": (
            lambda t: pairs_with(t, "user").withColumn("serialnumber", F.col("user")).drop("user"),
            *(UNNAMED, OF_ONE, OF_HOLDERS, MATCHED),
        ),
    },
)
for column in (USER, *CUSTOMER_COLUMNS):
    if column.pii is Pii.DIRECT:
        allowing = replace(MACHINE_LEARNING_CURATED, columns=(*MACHINE_LEARNING_CURATED.columns, column))
        kept = (lambda t, name=column.name: pairs_with(t, name), UNNAMED)
        breaks(
            TRAINING, {f"{column.name} is kept, and the contract allows it": kept}, differences={"contract": allowing}
        )

# Doubt --------------------------------------------------------------------------------------------------------

CAUGHT = {
    CUSTOMERS: (UNDOUBTED, SUM),
    READINGS: (OF_CUSTOMERS, SUM),
    CURATED: (UNDOUBTED,),
    DISTANCES: (OF_HOLDERS, SUM),
    TRAINING: (OF_HOLDERS,),
}
for table, caught_by in CAUGHT.items():
    as_before = (lambda t, name=table: getattr(t, name), *caught_by)
    breaks(table, {DOUBT: as_before}, unreadable=f'{{"email": "Cleo@x.org", "lastUpdateDate": {T + 20}, "ser')
LENT = (lambda t: t.step_trainer_trusted, OF_HOLDERS, SUM)
breaks(DISTANCES, {f"{DOUBT}, where others hold the serial number too": LENT}, unreadable='"user": "dan\\u0040x.org"')
for table in (DISTANCES, TRAINING):
    as_before = (lambda t, name=table: getattr(t, name), *CAUGHT[table])
    breaks(table, {HELD_IN_DOUBT: as_before}, unreadable='{"email": "zed@x.org", "serialNumber": "ann", "ph')
