"""Spark SQL over the published tables: `python -m stedi_assets.sql 'SELECT count(*) FROM customer_trusted'`.

Belongs here: a session in which every published table is a view of its own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import dagster as dg

from resources.engines.engine import SparkEngine, analysed
from resources.errors import LakehouseError, query_error
from resources.iceberg.lakehouse import Lakehouse
from resources.settings import Settings
from stedi_assets.contracts import FEEDS, TABLES
from stedi_assets.definitions import build_resources
from stedi_assets.pipeline.publish import Tables
from stedi_assets.rules import Consent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def lakehouse(settings: Settings | None = None) -> Iterator[SparkSession]:
    """A session of the engine that the settings (default: the environment's) name, with the tables as views."""
    settings = settings or Settings.from_environment()
    resources = build_resources(settings)
    spark: SparkEngine = resources["spark"]
    store: Lakehouse = resources["lakehouse"]
    stored = {feed.landing.name: feed.records.name for feed in FEEDS}
    try:
        tables = Tables(spark, store, Consent(settings.consent))
        for name in TABLES:
            if store.version(stored.get(name, name)) is not None:
                tables.frame(name).createOrReplaceTempView(name)
        yield spark.spark_session
    finally:
        spark.close()


@contextmanager
def told_alone() -> Iterator[None]:
    """End the command with the sentence of what failed, and no traceback."""
    try:
        yield
    except dg.Failure as error:
        raise click.ClickException(error.description or "") from None


@click.command(context_settings={"ignore_unknown_options": True})  # a statement may start with a comment
@click.argument("statement")
def main(statement: str) -> None:
    """Run one SQL statement over the lakehouse's tables, and print its rows."""
    from pyspark.errors import PySparkException

    with told_alone(), lakehouse() as spark:
        try:
            click.echo(analysed(spark.sql(statement)).toArrow().to_pandas().to_string(index=False))
        except LakehouseError as error:
            raise click.ClickException(f"The statement cannot be run: {error.description}") from None
        except PySparkException as error:
            raise click.ClickException(f"The statement cannot be run: {query_error(error).description}") from None


if __name__ == "__main__":
    main()
