"""The lower bound of one machine: the same five tables in DuckDB SQL, from the same JSON, to Parquet.

Usage: `python -m bench.duckdb_lower_bound SOURCE OUTPUT`, with the folders of `plain_spark.py`. The rules are those
of that script; there is no framework, and nothing that would serve more than one machine.
"""

import sys
from pathlib import Path

import duckdb

from bench.delivered import COLUMNS, FEEDS, delivered_files, feed_folder

LATEST = """
    SELECT *, coalesce(sharewithresearchasofdate > 0, false) AS consented
    FROM customer WHERE email IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY lower(trim(email))
        ORDER BY lastupdatedate DESC NULLS LAST, consented, sharewithresearchasofdate DESC NULLS LAST,
            serialnumber DESC NULLS LAST, sharewithfriendsasofdate DESC NULLS LAST,
            sharewithpublicasofdate DESC NULLS LAST, registrationdate DESC NULLS LAST, birthday DESC NULLS LAST,
            phone DESC NULLS LAST, email DESC NULLS LAST, customername DESC NULLS LAST
    ) = 1
"""
SERIALS = """
    SELECT serialnumber, count(*) AS holders FROM latest
    WHERE serialnumber IS NOT NULL GROUP BY serialnumber
    HAVING bool_and(consented) AND serialnumber IN (SELECT serialnumber FROM customers_curated)
"""
TABLES = {
    "customer_trusted": "SELECT * EXCLUDE (consented) FROM latest WHERE consented",
    "accelerometer_trusted": """
        SELECT * FROM accelerometer
        WHERE lower(trim("user")) IN (SELECT lower(trim(email)) FROM customer_trusted)
    """,
    "customers_curated": """
        SELECT * FROM customer_trusted
        WHERE lower(trim(email)) IN (SELECT lower(trim("user")) FROM accelerometer_trusted)
    """,
    "step_trainer_trusted": "SELECT * FROM step_trainer WHERE serialnumber IN (SELECT serialnumber FROM serials)",
    # A reading belongs to a person only where the serial number has one holder.
    "machine_learning_curated": """
        SELECT steps.*, x, y, z
        FROM step_trainer_trusted AS steps
        JOIN serials ON serials.serialnumber = steps.serialnumber AND holders = 1
        JOIN customers_curated AS devices ON devices.serialnumber = steps.serialnumber
        JOIN accelerometer_trusted AS motions
            ON lower(trim("user")) = lower(trim(email)) AND "timestamp" = sensorreadingtime
    """,
}


def read_feed(connection: duckdb.DuckDBPyConnection, source: Path, name: str) -> None:
    """Make a feed a view, its columns named in lower case."""
    files = delivered_files(feed_folder(source, name))
    feed = connection.read_json(files, columns=COLUMNS[name], format="newline_delimited")
    feed.project(", ".join(f'"{column}" AS "{column.lower()}"' for column in COLUMNS[name])).create_view(name)


def write(connection: duckdb.DuckDBPyConnection, output: Path, name: str) -> None:
    """Write a table, print its row count, and make it a view as written, so that nothing is computed twice."""
    folder = output / name
    connection.sql(TABLES[name]).write_parquet(str(folder), per_thread_output=True)
    written = connection.read_parquet(f"{folder}/*.parquet")
    written.create_view(name)
    print(name, written.count("*").fetchall()[0][0])


def main(source: Path, output: Path) -> None:
    """Build the five tables."""
    output.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(config={"preserve_insertion_order": "false", "temp_directory": str(output / "spill")})
    for feed in FEEDS:
        read_feed(connection, source, feed)
    connection.sql(LATEST).create("latest")
    for name in ("customer_trusted", "accelerometer_trusted", "customers_curated"):
        write(connection, output, name)
    connection.sql(SERIALS).create("serials")
    for name in ("step_trainer_trusted", "machine_learning_curated"):
        write(connection, output, name)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python -m bench.duckdb_lower_bound SOURCE OUTPUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
