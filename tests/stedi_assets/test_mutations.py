"""The pipeline with one rule broken: an audit notices, and what came of it is not published."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

from resources.lazy import LazyModule
from resources.settings import Consent
from stedi_assets import accounting
from stedi_assets.contracts import MACHINE_LEARNING_CURATED, USER
from stedi_assets.coverage import rows_accounted_for
from stedi_assets.rules import consented, consented_serials, latest_record, owners, person, sole_holders
from stedi_assets.table import LakehouseTable
from tests.stedi_assets.examples import T, deliver_all
from tests.stedi_assets.runs import ASSETS, changed, data_folders, failed, run
from tests.support import Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

Function = Callable[..., "DataFrame"]


@pytest.fixture(scope="module")
def stedi(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Stedi:
    """A lakehouse in which everything is published as it should be."""
    made = Stedi(tmp_path_factory.mktemp("sound"))
    deliver_all(made)
    assert made.materialize().success
    return made


def under(consent: Consent, stedi: Stedi) -> Stedi:
    """The same lakehouse, made under that consent rule: a table is never made from tables of another rule."""
    made = Stedi(stedi.folder.parent / f"{stedi.folder.name}-{consent}", {"STEDI_CONSENT": consent.value})
    if consent is Consent.CUSTOMER:
        return stedi
    if not made.folder.exists():
        deliver_all(made)
        assert made.materialize().success
    return made


def is_caught(
    stedi: Stedi, mutant: LakehouseTable, by: set[str], consent: Consent = Consent.CUSTOMER, *, at_least: bool = False
) -> None:
    """The mutant is not published, and these checks fail: they and no others, or at least they."""
    stedi = under(consent, stedi)
    before = stedi.lakehouse.version(mutant.name), data_folders(stedi, mutant.name)
    outcome = run(stedi, [mutant], consent)
    assert not outcome.success
    assert by <= failed(outcome) if at_least else by == failed(outcome)
    assert outcome.failure.startswith(f"{mutant.name} was not published, the previous version is still served.")
    assert all(f"{name}: " in outcome.failure for name in by)
    assert outcome.materialized == set()
    assert (stedi.lakehouse.version(mutant.name), data_folders(stedi, mutant.name)) == before


# Whose customers ----------------------------------------------------------------------------------------------


def without_the_consent_filter(customer_landing: DataFrame) -> DataFrame:
    return latest_record(customer_landing)


def any_consent_date_is_consent(customer_landing: DataFrame) -> DataFrame:
    return latest_record(customer_landing).where("sharewithresearchasofdate is not null")


def the_oldest_record_decides(customer_landing: DataFrame) -> DataFrame:
    backwards = F.col("lastupdatedate") * -1
    oldest = latest_record(customer_landing.withColumn("lastupdatedate", backwards))
    return oldest.withColumn("lastupdatedate", backwards).where(consented())


def an_older_record_of_a_customer_who_consents(customer_landing: DataFrame) -> DataFrame:
    agreed = latest_record(customer_landing).where(consented()).select(person("email").alias("person"))
    older = the_oldest_record_decides(customer_landing.where(consented()))
    return older.where(person("email").isin([row[0] for row in agreed.collect()]))


def letter_case_makes_another_customer(customer_landing: DataFrame) -> DataFrame:
    spelled = customer_landing.withColumn("spelled", F.col("email"))
    rows = [latest_record(spelled.where(F.col("email") == email)) for email in emails(spelled)]
    together = rows[0]
    for one in rows[1:]:
        together = together.unionByName(one)
    return together.drop("spelled").where(consented())


def emails(customers: DataFrame) -> list[str]:
    return [row[0] for row in customers.select("email").distinct().collect()]


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (without_the_consent_filter, {"only_consenting_customers", "rows_accounted_for"}),
        (any_consent_date_is_consent, {"only_consenting_customers", "rows_accounted_for"}),
        (the_oldest_record_decides, {"only_consenting_customers", "only_latest_records"}),
        (an_older_record_of_a_customer_who_consents, {"only_latest_records"}),
        (letter_case_makes_another_customer, {"only_latest_records", "one_row_per_customer", "rows_accounted_for"}),
    ],
)
def test_customers_who_should_not_be_trusted_are_not_published(
    stedi: Stedi, mutant: Function, caught_by: set[str]
) -> None:
    is_caught(stedi, changed("customer_trusted", function=mutant), caught_by)


# Whose readings -----------------------------------------------------------------------------------------------


def readings_without_the_join(accelerometer_landing: DataFrame) -> DataFrame:
    return accelerometer_landing


def readings_of_any_customer(accelerometer_landing: DataFrame, customer_landing: DataFrame) -> DataFrame:
    known = customer_landing.select(person("email").alias("person")).distinct()
    readings = accelerometer_landing.withColumn("person", person("user")).join(known, "person", "left_semi")
    return readings.drop("person")


def readings_joined_with_every_record(accelerometer_landing: DataFrame, customer_landing: DataFrame) -> DataFrame:
    agreed = owners(customer_landing.where(consented()))
    return accelerometer_landing.withColumn("person", person("user")).join(agreed, "person").select(*reading_columns())


def readings_after_consent_only(accelerometer_landing: DataFrame, customer_trusted: DataFrame) -> DataFrame:
    owned = accelerometer_landing.withColumn("person", person("user")).join(owners(customer_trusted), "person")
    return owned.where("timestamp > consented_since").select(*reading_columns())


def reading_columns() -> tuple[str, ...]:
    return ASSETS["accelerometer_trusted"].contract.column_names


@pytest.mark.parametrize(
    ("mutant", "consent", "caught_by"),
    [
        *(
            (mutant, Consent.CUSTOMER, {"only_readings_of_consenting_customers", "rows_accounted_for"})
            for mutant in (readings_without_the_join, readings_of_any_customer, readings_joined_with_every_record)
        ),
        (
            # The rule that asks for no date, where a date is asked for.
            lambda accelerometer_landing, customer_trusted: ASSETS["accelerometer_trusted"](
                accelerometer_landing, customer_trusted, Consent.CUSTOMER
            ),
            Consent.AS_OF_DATE,
            {"only_readings_of_consenting_customers", "rows_accounted_for"},
        ),
        (readings_after_consent_only, Consent.AS_OF_DATE, {"rows_accounted_for"}),
    ],
)
def test_readings_that_are_not_shared_are_not_published(
    stedi: Stedi, mutant: Function, consent: Consent, caught_by: set[str]
) -> None:
    is_caught(stedi, changed("accelerometer_trusted", function=mutant), caught_by, consent)


def distances_whatever_other_holders_say(step_trainer_landing: DataFrame, customers_curated: DataFrame) -> DataFrame:
    return distances_of(step_trainer_landing, customers_curated)


def distances_joined_with_every_holder(step_trainer_landing: DataFrame, customers_curated: DataFrame) -> DataFrame:
    joined = step_trainer_landing.join(customers_curated.select("serialnumber"), "serialnumber")
    return joined.where("serialnumber <> 'half'").select(step_trainer_landing.columns)


def distances_of_devices_ever_held(
    step_trainer_landing: DataFrame, customers_curated: DataFrame, customer_landing: DataFrame
) -> DataFrame:
    curated = customers_curated.select(person("email").alias("person"))
    ever = customer_landing.withColumn("person", person("email")).join(curated, "person", "left_semi")
    return distances_of(step_trainer_landing, ever.where("serialnumber <> 'half'"))


def distances_of_customers_without_readings(
    step_trainer_landing: DataFrame, customer_landing: DataFrame, customers_curated: DataFrame
) -> DataFrame:
    return distances_of(step_trainer_landing, consented_serials(customer_landing))


def distances_of(step_trainer_landing: DataFrame, holders: DataFrame) -> DataFrame:
    held = step_trainer_landing.join(holders.select("serialnumber").distinct(), "serialnumber", "left_semi")
    return held.select(step_trainer_landing.columns)


@pytest.mark.parametrize(
    ("mutant", "consent", "caught_by"),
    [
        (
            distances_whatever_other_holders_say,
            Consent.CUSTOMER,
            {"only_readings_of_consenting_holders", "rows_accounted_for"},
        ),
        (distances_joined_with_every_holder, Consent.CUSTOMER, {"rows_accounted_for"}),
        (
            distances_of_devices_ever_held,
            Consent.CUSTOMER,
            {"only_readings_of_consenting_holders", "rows_accounted_for"},
        ),
        (distances_of_customers_without_readings, Consent.CUSTOMER, {"rows_accounted_for"}),
        (
            # The consent rule that asks for no date, where a date is asked for.
            lambda step_trainer_landing, customers_curated, customer_landing: ASSETS["step_trainer_trusted"](
                step_trainer_landing, customers_curated, customer_landing, Consent.CUSTOMER
            ),
            Consent.AS_OF_DATE,
            {"only_readings_of_consenting_holders", "rows_accounted_for"},
        ),
    ],
)
def test_distances_that_are_not_shared_are_not_published(
    stedi: Stedi, mutant: Function, consent: Consent, caught_by: set[str]
) -> None:
    is_caught(stedi, changed("step_trainer_trusted", function=mutant), caught_by, consent)


def customers_who_never_moved(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    return customer_trusted


def customers_once_for_each_reading(customer_trusted: DataFrame, accelerometer_trusted: DataFrame) -> DataFrame:
    readings = accelerometer_trusted.select(person("user").alias("person"))
    return customer_trusted.withColumn("person", person("email")).join(readings, "person").drop("person")


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (customers_who_never_moved, {"rows_accounted_for"}),
        (customers_once_for_each_reading, {"rows_accounted_for", "one_row_per_customer"}),
    ],
)
def test_curated_customers_are_those_with_readings_once_each(
    stedi: Stedi, mutant: Function, caught_by: set[str]
) -> None:
    is_caught(stedi, changed("customers_curated", function=mutant), caught_by)


# What is trained on -------------------------------------------------------------------------------------------


def pairs_of_the_same_moment(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    readings = accelerometer_trusted.withColumnRenamed("timestamp", "sensorreadingtime")
    paired = step_trainer_trusted.join(readings, "sensorreadingtime")
    return paired.select(*MACHINE_LEARNING_CURATED.column_names)


def pairs_with_the_address(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    holders = sole_holders(customer_trusted)
    readings = accelerometer_trusted.withColumn("person", person("user"))
    readings = readings.withColumnRenamed("timestamp", "sensorreadingtime")
    paired = step_trainer_trusted.join(holders, "serialnumber").join(readings, ["person", "sensorreadingtime"])
    return paired.select(*MACHINE_LEARNING_CURATED.column_names, "user")


def pairs_with_the_address_for_a_serial_number(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    named = pairs_with_the_address(step_trainer_trusted, accelerometer_trusted, customer_trusted)
    return named.withColumn("serialnumber", F.col("user")).drop("user")


def pairs_of_shared_step_trainers_too(
    step_trainer_trusted: DataFrame, accelerometer_trusted: DataFrame, customer_trusted: DataFrame
) -> DataFrame:
    holders = customer_trusted.select("serialnumber", person("email").alias("person"))
    readings = accelerometer_trusted.select(
        person("user").alias("person"), F.col("timestamp").alias("sensorreadingtime"), "x", "y", "z"
    )
    paired = step_trainer_trusted.join(holders, "serialnumber").join(readings, ["person", "sensorreadingtime"])
    return paired.select(*MACHINE_LEARNING_CURATED.column_names)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (pairs_of_the_same_moment, {"no_row_pairs_two_customers", "rows_accounted_for"}),
        (pairs_of_shared_step_trainers_too, {"no_row_pairs_two_customers", "rows_accounted_for"}),
        (
            pairs_with_the_address_for_a_serial_number,
            {"no_direct_identifiers", "no_row_pairs_two_customers", "only_readings_of_consenting_holders"},
        ),
        (pairs_with_the_address, {"matches_contract"}),
    ],
)
def test_what_mixes_or_names_customers_is_not_published_for_training(
    stedi: Stedi, mutant: Function, caught_by: set[str]
) -> None:
    is_caught(stedi, changed("machine_learning_curated", function=mutant), caught_by, at_least=True)


def test_an_address_that_even_the_contract_allows_is_found_by_the_audit(stedi: Stedi) -> None:
    contract = replace(MACHINE_LEARNING_CURATED, columns=(*MACHINE_LEARNING_CURATED.columns, USER))
    mutant = changed("machine_learning_curated", function=pairs_with_the_address, contract=contract)
    is_caught(stedi, mutant, {"no_direct_identifiers"})


# Lost and invented rows ---------------------------------------------------------------------------------------


@dataclass
class Accident:
    """Something that happens to one row, chosen at random, after a table was computed as it should be."""

    happens: Callable[[list[Any], int], list[Any]]

    def to(self, table: LakehouseTable) -> LakehouseTable:
        @wraps(table.function)
        def function(*args: Any, **kwargs: Any) -> DataFrame:
            frame = table.function(*args, **kwargs)
            rows = sorted(frame.collect(), key=repr)
            chosen = random.Random(table.name).randrange(len(rows))
            return frame.sparkSession.createDataFrame(self.happens(rows, chosen), frame.schema)

        return replace(table, function=function)


LOST = Accident(lambda rows, chosen: rows[:chosen] + rows[chosen + 1 :])
REPEATED = Accident(lambda rows, chosen: [*rows, rows[chosen]])


@pytest.mark.parametrize("table", [table for table in ASSETS.values() if table.account], ids=lambda table: table.name)
def test_a_row_that_is_lost_or_repeated_by_accident_stops_the_table(stedi: Stedi, table: LakehouseTable) -> None:
    repeated = {"rows_accounted_for"} | ({"one_row_per_customer"} if table.contract.key else set())
    is_caught(stedi, LOST.to(table), {"rows_accounted_for"})
    is_caught(stedi, REPEATED.to(table), repeated)


@pytest.mark.parametrize("table", [table for table in ASSETS.values() if table.account], ids=lambda table: table.name)
def test_the_table_as_it_should_be_is_published(stedi: Stedi, table: LakehouseTable) -> None:
    untouched = Accident(lambda rows, chosen: rows).to(table)
    before = stedi.rows(table.name)
    assert run(stedi, [untouched]).materialized == {table.name}
    assert stedi.rows(table.name) == before


def test_a_reading_whose_value_changed_on_the_way_is_not_paired_with_a_distance(stedi: Stedi) -> None:
    table = ASSETS["machine_learning_curated"]
    altered = Accident(lambda rows, chosen: [*rows[1:], (T + 20, "ann", 3, 99.0, 0.0, 0.0)]).to(table)
    is_caught(stedi, altered, {"no_row_pairs_two_customers"})


def lossy_readings(accelerometer_landing: DataFrame, customer_trusted: DataFrame, consent: Consent) -> DataFrame:
    table = ASSETS["accelerometer_trusted"]
    return table(accelerometer_landing.where("x <> 1.5"), customer_trusted, consent)


def lossy_account(accelerometer_landing: DataFrame, customer_landing: DataFrame, consent: Consent) -> DataFrame:
    return accounting.accelerometer_trusted(accelerometer_landing.where("x <> 1.5"), customer_landing, consent)


def test_a_row_that_a_table_and_its_account_both_overlook_is_missing_in_the_sum(stedi: Stedi) -> None:
    audits = (rows_accounted_for(lossy_account),)
    mutant = changed("accelerometer_trusted", function=lossy_readings, account=lossy_account, audits=audits)
    is_caught(stedi, mutant, {"rows_accounted_for"})
