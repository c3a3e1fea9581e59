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
    Column,
    Pii,
)
from stedi_assets.pipeline.reconciliation import rows_reconciled
from stedi_assets.pipeline.table import LakehouseTable
from stedi_assets.rules import Consent, consented, consented_serials, latest_record, owners, person, sole_holders
from tests.stedi_assets.examples import T
from tests.stedi_assets.runs import ASSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

NO_CONSENT_FILTER = "the consent filter is removed"
REVERSED = "the latest-record rule is reversed: the oldest decides"
TIMESTAMP_ONLY = "the sensors are joined by timestamp alone"
ADDRESS_KEPT = "the e-mail address is kept"
ANY_DATE = "the consent rule as-of-date is not asked for: earlier readings are shared too"
ALLOWED = "is kept, and the contract allows it"


@dataclass(frozen=True)
class Mutant:
    """A rule, what breaks it in place of a table's own function, and the checks that fail: they and no others.

    `rows` makes the table's rows of the published tables, which are its argument's attributes.
    """

    rule: str
    table: str
    rows: Callable[[Any], DataFrame]
    caught_by: frozenset[str]
    consent: Consent = Consent.CUSTOMER
    differences: Mapping[str, Any] = field(default_factory=dict)

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

MUTANTS: list[Mutant] = []
"""Evaluated as a run would."""


def broken(table: str, rule: str, rows: Callable[[Any], DataFrame], *caught_by: str, **more: Any) -> None:
    MUTANTS.append(Mutant(rule, table, rows, frozenset(caught_by), **more))


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


DATED = "sharewithresearchasofdate is not null"
broken(CUSTOMERS, NO_CONSENT_FILTER, lambda t: latest_record(t.customer_records), CONSENTING, SUM)
broken(
    CUSTOMERS,
    "any date is consent, zero too",
    lambda t: latest_record(t.customer_records).where(DATED),
    CONSENTING,
    SUM,
)
broken(CUSTOMERS, REVERSED, lambda t: oldest_decides(t.customer_records), CONSENTING, LATEST)
broken(CUSTOMERS, "an older record is kept", lambda t: an_older_record(t.customer_records), LATEST)
broken(CUSTOMERS, "letter case makes another customer", lambda t: by_letter_case(t.customer_records), LATEST, ONE, SUM)
broken(
    CURATED,
    NO_CONSENT_FILTER,
    lambda t: active(latest_record(t.customer_records), t.accelerometer_records),
    *(CONSENTING, SUM),
)
broken(CURATED, REVERSED, lambda t: active(oldest_decides(t.customer_records), t.accelerometer_trusted), LATEST, SUM)
broken(CURATED, "customers without readings are kept", lambda t: t.customer_trusted, SUM)
broken(
    CURATED,
    "a customer is there for each reading",
    lambda t: active(t.customer_trusted, t.accelerometer_trusted, "inner"),
    *(SUM, ONE),
)

# Readings -----------------------------------------------------------------------------------------------------


def readings_of(readings: DataFrame, customers: DataFrame) -> DataFrame:
    known = customers.select(person("email").alias("person")).distinct()
    owned = readings.withColumn("person", person("user")).join(known, "person", "left_semi")
    return owned.select(*ACCELEROMETER_TRUSTED.column_names)


def after_consent_only(readings: DataFrame, customers: DataFrame) -> DataFrame:
    owned = readings.withColumn("person", person("user")).join(owners(customers), "person")
    return owned.where("timestamp > consented_since").select(*ACCELEROMETER_TRUSTED.column_names)


def lossy_sum(accelerometer_records: DataFrame, customer_records: DataFrame, consent: Consent) -> DataFrame:
    return reconciliation.accelerometer_trusted(accelerometer_records.where("x <> 1.5"), customer_records, consent)


LOSSY = {"reconciliation": lossy_sum, "checks": (rows_reconciled(lossy_sum),)}
broken(
    READINGS, NO_CONSENT_FILTER, lambda t: readings_of(t.accelerometer_records, t.customer_records), OF_CUSTOMERS, SUM
)
broken(READINGS, "strangers' readings are kept", lambda t: t.accelerometer_records.drop("file"), OF_CUSTOMERS, SUM)
broken(
    READINGS,
    "who ever consented counts",
    lambda t: readings_of(t.accelerometer_records, t.customer_records.where(consented())),
    *(OF_CUSTOMERS, SUM),
)
broken(
    READINGS,
    REVERSED,
    lambda t: readings_of(t.accelerometer_records, oldest_decides(t.customer_records)),
    OF_CUSTOMERS,
)
broken(
    READINGS,
    ANY_DATE,
    lambda t: readings_of(t.accelerometer_records, t.customer_trusted),
    *(OF_CUSTOMERS, SUM),
    consent=Consent.AS_OF_DATE,
)
broken(
    READINGS,
    "the millisecond of consent is too early",
    lambda t: after_consent_only(t.accelerometer_records, t.customer_trusted),
    SUM,
    consent=Consent.AS_OF_DATE,
)
broken(
    READINGS,
    "table and reconciliation both overlook a row",
    lambda t: readings_of(t.accelerometer_records.where("x <> 1.5"), t.customer_trusted),
    SUM,
    differences=LOSSY,
)

# Distances ----------------------------------------------------------------------------------------------------


def distances_of(distances: DataFrame, holders: DataFrame) -> DataFrame:
    held = distances.join(holders.select("serialnumber").distinct(), "serialnumber", "left_semi")
    return held.select(*STEP_TRAINER_TRUSTED.column_names)


def of_every_holder(distances: DataFrame, holders: DataFrame) -> DataFrame:
    held = distances.join(holders.select("serialnumber"), "serialnumber").where("serialnumber <> 'half'")
    return held.select(*STEP_TRAINER_TRUSTED.column_names)


def ever_held(customers: DataFrame, curated: DataFrame) -> DataFrame:
    one = curated.select(person("email").alias("person"))
    ever = customers.withColumn("person", person("email")).join(one, "person", "left_semi")
    return ever.where("serialnumber <> 'half'")


HOLDERS: dict[str, tuple[Callable[[Any], DataFrame], list[str]]] = {
    NO_CONSENT_FILTER: (lambda t: latest_record(t.customer_records), [OF_HOLDERS, SUM]),
    REVERSED: (lambda t: consented_serials(oldest(t.customer_records)), [OF_HOLDERS, SUM]),
    "one consenting holder is enough": (lambda t: t.customers_curated, [OF_HOLDERS, SUM]),
    "a device once held still counts": (
        lambda t: ever_held(t.customer_records, t.customers_curated),
        [OF_HOLDERS, SUM],
    ),
    "holders without readings count": (lambda t: consented_serials(t.customer_records), [SUM]),
}
for rule, (holders, caught_by) in HOLDERS.items():
    broken(DISTANCES, rule, lambda t, of=holders: distances_of(t.step_trainer_records, of(t)), *caught_by)
broken(
    DISTANCES,
    "several holders multiply a reading",
    lambda t: of_every_holder(t.step_trainer_records, t.customers_curated),
    SUM,
)
broken(
    DISTANCES,
    ANY_DATE,
    lambda t: ASSETS[DISTANCES](t.step_trainer_records, t.customers_curated, t.customer_records, Consent.CUSTOMER),
    *(OF_HOLDERS, SUM),
    consent=Consent.AS_OF_DATE,
)

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
    paired = t.step_trainer_trusted.join(readings, "sensorreadingtime")
    return paired.select(*MACHINE_LEARNING_CURATED.column_names)


def pairs_with_the_address(t: Any) -> DataFrame:
    return pairs_by(t, sole_holders(t.customer_trusted), "user")


def pairs_with(t: Any, column: str) -> DataFrame:
    known = t.customer_trusted.select("serialnumber", F.coalesce(column, F.lit("nobody's")).alias(column))
    return pairs_by(t, sole_holders(t.customer_trusted).join(known, "serialnumber"), column)


def address_for_a_serial_number(t: Any) -> DataFrame:
    return pairs_with_the_address(t).withColumn("serialnumber", F.col("user")).drop("user")


def any_holders(customers: DataFrame) -> DataFrame:
    return customers.select("serialnumber", person("email").alias("person"))


def one_altered(t: Any) -> DataFrame:
    made = ASSETS[TRAINING](t.step_trainer_trusted, t.accelerometer_trusted, t.customer_trusted)
    rows = [*made.collect()[1:], (T + 20, "ann", 3, 99.0, 0.0, 0.0)]
    return made.sparkSession.createDataFrame(rows, made.schema)


def allowing(column: Column) -> dict[str, Any]:
    """Even the contract has the column."""
    return {"contract": replace(MACHINE_LEARNING_CURATED, columns=(*MACHINE_LEARNING_CURATED.columns, column))}


broken(TRAINING, NO_CONSENT_FILTER, pairs_of_anybody, OF_HOLDERS, OF_ONE, SUM)
broken(TRAINING, REVERSED, lambda t: pairs_by(t, sole_holders(oldest_decides(t.customer_records))), SUM, MATCHED)
broken(TRAINING, TIMESTAMP_ONLY, pairs_of_the_same_moment, OF_ONE, SUM)
broken(
    TRAINING, "shared Step Trainers are trained on", lambda t: pairs_by(t, any_holders(t.customer_trusted)), OF_ONE, SUM
)
broken(TRAINING, "a value changes on the way", one_altered, OF_ONE)
broken(TRAINING, ADDRESS_KEPT, pairs_with_the_address, "matches_contract")
IN_PLACE = f"{ADDRESS_KEPT} in place of the serial number"
broken(TRAINING, IN_PLACE, address_for_a_serial_number, UNNAMED, OF_ONE, OF_HOLDERS, MATCHED)
broken(TRAINING, f"user {ALLOWED}", pairs_with_the_address, UNNAMED, differences=allowing(USER))
for column in CUSTOMER_COLUMNS:
    if column.pii is Pii.DIRECT:
        kept = f"{column.name} {ALLOWED}"
        broken(TRAINING, kept, lambda t, c=column.name: pairs_with(t, c), UNNAMED, differences=allowing(column))
