"""The same five tables as ordinary Dagster assets, the way the first tutorial would have them written.

Each asset starts a SparkSession of its own, reads what it needs, and writes Parquet. Dagster's default executor runs
each asset in a process of its own, so each pays for a JVM. The rules are those of `plain_spark.py`.

Usage: `NAIVE_SOURCE=... NAIVE_OUTPUT=... dagster asset materialize -m bench.naive_dagster --select '*'`
"""

import os
from pathlib import Path

import dagster as dg
from pyspark.sql import DataFrame, SparkSession

from bench import plain_spark as rules

SOURCE = Path(os.environ["NAIVE_SOURCE"])
OUTPUT = Path(os.environ["NAIVE_OUTPUT"])


def read_table(spark: SparkSession, name: str) -> DataFrame:
    """Read a table that another asset wrote."""
    return spark.read.parquet(str(OUTPUT / name))


@dg.asset
def customer_trusted() -> None:
    """Customers who agreed to share for research."""
    spark = rules.start_spark()
    latest = rules.latest_record(rules.read_feed(spark, SOURCE, "customer"))
    rules.write(rules.customer_trusted(latest), OUTPUT, "customer_trusted")


@dg.asset(deps=[customer_trusted])
def accelerometer_trusted() -> None:
    """Accelerometer readings of trusted customers."""
    spark = rules.start_spark()
    accelerometer = rules.read_feed(spark, SOURCE, "accelerometer")
    table = rules.accelerometer_trusted(accelerometer, read_table(spark, "customer_trusted"))
    rules.write(table, OUTPUT, "accelerometer_trusted")


@dg.asset(deps=[customer_trusted, accelerometer_trusted])
def customers_curated() -> None:
    """Trusted customers who have a trusted reading."""
    spark = rules.start_spark()
    customers, motions = read_table(spark, "customer_trusted"), read_table(spark, "accelerometer_trusted")
    rules.write(rules.customers_curated(customers, motions), OUTPUT, "customers_curated")


@dg.asset(deps=[customers_curated])
def step_trainer_trusted() -> None:
    """Distance readings of customers in customers_curated."""
    spark = rules.start_spark()
    latest = rules.latest_record(rules.read_feed(spark, SOURCE, "customer"))
    serials = rules.serial_numbers(latest, read_table(spark, "customers_curated"))
    step_trainer = rules.read_feed(spark, SOURCE, "step_trainer")
    rules.write(rules.step_trainer_trusted(step_trainer, serials), OUTPUT, "step_trainer_trusted")


@dg.asset(deps=[step_trainer_trusted, accelerometer_trusted, customers_curated])
def machine_learning_curated() -> None:
    """Each trusted distance with the readings of the same customer at the same millisecond."""
    spark = rules.start_spark()
    steps, motions = read_table(spark, "step_trainer_trusted"), read_table(spark, "accelerometer_trusted")
    curated = read_table(spark, "customers_curated")
    latest = rules.latest_record(rules.read_feed(spark, SOURCE, "customer"))
    serials = rules.serial_numbers(latest, curated)
    table = rules.machine_learning_curated(steps, motions, curated, serials)
    rules.write(table, OUTPUT, "machine_learning_curated")
