"""The yardstick: STEDI's five trusted and curated tables as one plain PySpark script, without any framework.

Usage: `python -m bench.plain_spark SOURCE OUTPUT`, where SOURCE holds `customer/landing/*.json` and likewise
`accelerometer` and `step_trainer`. Writes one Parquet folder per table into OUTPUT and prints each row count.

The rules of the tables are the lakehouse's own (consent rule `customer`). What a framework is for is absent
on purpose: no quarantine, no audits, no atomic publishing, no history, only today's spelling of the feeds.
"""

import sys
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from bench.delivered import COLUMNS, delivered_files, feed_folder


def start_spark() -> SparkSession:
    """Return a session that suits one machine: few shuffle partitions, no UI, no network but the loopback."""
    return (
        SparkSession.builder.master("local[*]")
        .appName("plain_spark")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )


def read_feed(spark: SparkSession, source: Path, name: str) -> DataFrame:
    """Read a feed, its columns named in lower case."""
    schema = ", ".join(f"{column} {type_}" for column, type_ in COLUMNS[name].items())
    feed = spark.read.schema(schema).json(delivered_files(feed_folder(source, name)))
    return feed.toDF(*(column.lower() for column in feed.columns))


def write(table: DataFrame, output: Path, name: str) -> DataFrame:
    """Write a table, print its row count, and return it as written, so that nothing is computed twice."""
    path = str(output / name)
    table.write.mode("overwrite").parquet(path)
    written = table.sparkSession.read.schema(table.schema).parquet(path)
    print(name, written.count())
    return written


def person(email: str) -> Column:
    """Return who an e-mail address means: letter case and surrounding blanks do not make another person."""
    return F.lower(F.trim(F.col(email)))


def latest_record(customer: DataFrame) -> DataFrame:
    """Return each customer's latest record, with `person` and `consented`; where two tie, the one without wins."""
    rest = (F.desc_nulls_last(column) for column in reversed(customer.columns))
    order = (F.desc("lastupdatedate"), F.asc("consented"), F.desc("sharewithresearchasofdate"), F.desc("serialnumber"))
    newest_first = Window.partitionBy("person").orderBy(*order, *rest)
    return (
        customer.where("email IS NOT NULL")
        .withColumn("person", person("email"))
        .withColumn("consented", F.expr("coalesce(sharewithresearchasofdate > 0, false)"))
        .withColumn("rank", F.row_number().over(newest_first))
        .where("rank = 1")
        .drop("rank")
    )


def customer_trusted(latest: DataFrame) -> DataFrame:
    """Return the customers who agreed to share for research."""
    return latest.where("consented").drop("person", "consented")


def accelerometer_trusted(accelerometer: DataFrame, customers: DataFrame) -> DataFrame:
    """Return the readings of trusted customers."""
    owners = customers.select(person("email").alias("person"))
    readings = accelerometer.withColumn("person", person("user"))
    return readings.join(owners, "person", "left_semi").drop("person")


def customers_curated(customers: DataFrame, motions: DataFrame) -> DataFrame:
    """Return the trusted customers who have a trusted reading."""
    users = motions.select(person("user").alias("person"))
    return customers.withColumn("person", person("email")).join(users, "person", "left_semi").drop("person")


def serial_numbers(latest: DataFrame, curated: DataFrame) -> DataFrame:
    """Return the serial numbers whose holders all consented and are, one at least, in customers_curated."""
    holders = latest.groupBy("serialnumber").agg(
        F.every("consented").alias("all_consented"), F.count("*").alias("holders")
    )
    return holders.where("all_consented").join(curated, "serialnumber", "left_semi")


def step_trainer_trusted(step_trainer: DataFrame, serials: DataFrame) -> DataFrame:
    """Return the distance readings under these serial numbers."""
    return step_trainer.join(serials, "serialnumber", "left_semi")


def machine_learning_curated(steps: DataFrame, motions: DataFrame, curated: DataFrame, serials: DataFrame) -> DataFrame:
    """Return each trusted distance with the readings of the same customer at the same millisecond."""
    # A reading belongs to a person only where the serial number has one holder.
    devices = curated.join(serials.where("holders = 1"), "serialnumber", "left_semi")
    devices = devices.select("serialnumber", person("email").alias("person"))
    readings = motions.select(person("user").alias("person"), F.col("timestamp").alias("sensorreadingtime"), *"xyz")
    return (
        steps.join(devices, "serialnumber")
        .join(readings, ["person", "sensorreadingtime"])
        .select("sensorreadingtime", "serialnumber", "distancefromobject", "x", "y", "z")
    )


def main(source: Path, output: Path) -> None:
    """Build the five tables."""
    spark = start_spark()
    latest = latest_record(read_feed(spark, source, "customer")).cache()
    customers = write(customer_trusted(latest), output, "customer_trusted")
    accelerometer = read_feed(spark, source, "accelerometer")
    motions = write(accelerometer_trusted(accelerometer, customers), output, "accelerometer_trusted")
    curated = write(customers_curated(customers, motions), output, "customers_curated")
    serials = serial_numbers(latest, curated).cache()
    step_trainer = read_feed(spark, source, "step_trainer")
    steps = write(step_trainer_trusted(step_trainer, serials), output, "step_trainer_trusted")
    learning = machine_learning_curated(steps, motions, curated, serials)
    write(learning, output, "machine_learning_curated")
    spark.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python -m bench.plain_spark SOURCE OUTPUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
