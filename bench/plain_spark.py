"""The yardstick: STEDI's five trusted and curated tables as one plain PySpark script, without any framework.

Usage: `python bench/plain_spark.py SOURCE OUTPUT`, where SOURCE holds `customer/landing/*.json` and likewise
`accelerometer` and `step_trainer`. Writes one Parquet folder per table into OUTPUT and prints each row count.

The rules of the tables are the lakehouse's own (consent rule `customer`). What a framework is for is absent
on purpose: no quarantine, no audits, no atomic publishing, no history, only today's spelling of the feeds.
"""

import sys
from hashlib import file_digest
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

CUSTOMER = """
    customerName STRING, email STRING, phone STRING, birthDay STRING, serialNumber STRING,
    registrationDate BIGINT, lastUpdateDate BIGINT,
    shareWithResearchAsOfDate BIGINT, shareWithPublicAsOfDate BIGINT, shareWithFriendsAsOfDate BIGINT
"""
ACCELEROMETER = "user STRING, timestamp BIGINT, x DOUBLE, y DOUBLE, z DOUBLE"
STEP_TRAINER = "sensorReadingTime BIGINT, serialNumber STRING, distanceFromObject BIGINT"


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


def delivered_files(folder: Path) -> list[str]:
    """Return the feed's files; of files with equal content only one, since a second delivery adds nothing."""
    by_content: dict[bytes, str] = {}
    for path in sorted(folder.glob("*.json")):
        with path.open("rb") as file:
            by_content.setdefault(file_digest(file, "sha256").digest(), str(path))
    if not by_content:
        sys.exit(f"There is no .json file in {folder}.")
    return list(by_content.values())


def read_feed(spark: SparkSession, folder: Path, schema: str) -> DataFrame:
    """Read a feed, its columns named in lower case."""
    feed = spark.read.schema(schema).json(delivered_files(folder))
    return feed.toDF(*(name.lower() for name in feed.columns))


def write(table: DataFrame, output: Path, name: str) -> DataFrame:
    """Write a table, print its row count, and return it as written, so that nothing is computed twice."""
    path = str(output / name)
    table.write.mode("overwrite").parquet(path)
    written = table.sparkSession.read.schema(table.schema).parquet(path)
    print(name, written.count())
    return written


def latest_record(customer: DataFrame) -> DataFrame:
    """Return each customer's latest record, with `consented`; where two tie, the one without consent wins."""
    newest_first = Window.partitionBy("email").orderBy(F.desc("lastupdatedate"), F.asc("consented"))
    return (
        customer.where("email IS NOT NULL")
        .withColumn("consented", F.expr("coalesce(sharewithresearchasofdate > 0, false)"))
        .withColumn("rank", F.row_number().over(newest_first))
        .where("rank = 1")
        .drop("rank")
    )


def serial_numbers(latest: DataFrame, curated: DataFrame) -> DataFrame:
    """Return the serial numbers whose holders all consented and are, one at least, in customers_curated."""
    holders = latest.groupBy("serialnumber").agg(
        F.every("consented").alias("all_consented"), F.count("*").alias("holders")
    )
    return holders.where("all_consented").join(curated, "serialnumber", "left_semi")


def main(source: Path, output: Path) -> None:
    """Build the five tables."""
    spark = start_spark()
    customer = read_feed(spark, source / "customer/landing", CUSTOMER)
    accelerometer = read_feed(spark, source / "accelerometer/landing", ACCELEROMETER)
    step_trainer = read_feed(spark, source / "step_trainer/landing", STEP_TRAINER)

    latest = latest_record(customer).cache()
    customers = write(latest.where("consented").select(customer.columns), output, "customer_trusted")

    owners = customers.select(F.col("email").alias("user"))
    motions = accelerometer.join(owners, "user", "left_semi")
    motions = write(motions, output, "accelerometer_trusted")

    users = motions.select(F.col("user").alias("email"))
    curated = write(customers.join(users, "email", "left_semi"), output, "customers_curated")

    serials = serial_numbers(latest, curated).cache()
    steps = step_trainer.join(serials, "serialnumber", "left_semi")
    steps = write(steps, output, "step_trainer_trusted")

    # A reading belongs to a person only where the serial number has one holder.
    devices = curated.join(serials.where("holders = 1"), "serialnumber", "left_semi")
    devices = devices.select("serialnumber", F.col("email").alias("user"))
    learning = (
        steps.join(devices, "serialnumber")
        .withColumnRenamed("sensorreadingtime", "timestamp")
        .join(motions, ["user", "timestamp"])
        .select(F.col("timestamp").alias("sensorreadingtime"), "serialnumber", "distancefromobject", "x", "y", "z")
    )
    write(learning, output, "machine_learning_curated")
    spark.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python bench/plain_spark.py SOURCE OUTPUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
