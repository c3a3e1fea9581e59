"""Runs that go well and runs that fail in many ways, on marked feeds, in one process and with a Dagster that remembers.

`python -m tests.stedi_assets.private_runs FOLDER ENGINE RUN...` makes these runs, in this order, in the lakehouse of
that folder. Belongs here: the runs. What they must not leave behind is in `test_privacy.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from resources.lazy import LazyModule
from stedi_assets.contracts import TABLES
from stedi_assets.definitions import build_definitions
from tests.stedi_assets.broken_functions import without_the_consent_filter
from tests.stedi_assets.examples import T, as_delivered
from tests.stedi_assets.marked import someone
from tests.stedi_assets.runs import ASSETS, changed, run
from tests.support import ENGINES, Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")


def everything(stedi: Stedi) -> Outcome:
    return stedi.materialize(*TABLES, "query_evidence")


def customers_alone(stedi: Stedi) -> Outcome:
    return stedi.materialize("customer_landing", "customer_trusted")


def checks_only(stedi: Stedi) -> Outcome:
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    return stedi.materialize(checks=sorted(graph.get_check_keys_for_assets({dg.AssetKey(name) for name in TABLES})))


def too_much_in_quarantine(stedi: Stedi) -> Outcome:
    return Stedi(stedi.folder, {"STEDI_QUARANTINE_LIMIT": "0"}, stedi.instance, stedi.engine).materialize(
        "customer_landing"
    )


def a_broken_audit(stedi: Stedi) -> Outcome:
    return run(stedi, [changed("customer_trusted", function=without_the_consent_filter)])


def _failing(table: Callable[[DataFrame], DataFrame]) -> Callable[[Stedi], Outcome]:
    """A run of customer_trusted whose query fails on a value."""

    def function(customer_landing: DataFrame) -> DataFrame:
        return table(customer_landing)

    return lambda stedi: run(stedi, [changed("customer_trusted", function=function)])


def a_query_that_stumbles_in_an_audit(stedi: Stedi) -> Outcome:
    def stumble(rows: DataFrame) -> DataFrame:
        return rows.where(F.col("phone").cast("bigint") + F.col("email").cast("bigint") > 0)

    audit = replace(ASSETS["customer_trusted"].audits[0], query=stumble)
    return run(stedi, [changed("customer_trusted", audits=(audit,))])


def a_withdrawal(stedi: Stedi) -> Outcome:
    stedi.deliver("customer", as_delivered("customer", [someone(1, updated=T + 9, consent=None)]), "withdrawal.json")
    stedi.materialize("customer_landing")
    return checks_only(stedi)


def a_feed_that_cannot_be_read_at_all(stedi: Stedi) -> Outcome:
    source = stedi.folder / "unreadable"
    (source / "customers").mkdir(parents=True)
    (source / "customers" / "1.json.gz").write_text(str(someone(1)))
    environment = {"STEDI_SOURCE": str(source), "STEDI_LAKEHOUSE": str(stedi.folder / "lakehouse" / "second")}
    return Stedi(stedi.folder, environment, stedi.instance, stedi.engine).materialize("customer_landing")


def a_data_file_that_is_gone(stedi: Stedi) -> Outcome:
    next(stedi.location("customer_trusted").rglob("*.parquet")).unlink()
    return stedi.materialize("customers_curated")


def a_data_file_that_is_damaged(stedi: Stedi) -> Outcome:
    for path in stedi.location("customer_records").rglob("*.parquet"):
        path.write_text(str(someone(1)))
    return stedi.materialize("customer_trusted")


def a_damaged_catalog(stedi: Stedi) -> Outcome:
    Path(stedi.lakehouse.root, "catalog.db").write_text("no database")
    return stedi.materialize("customer_trusted")


SUCCEED = {"customers alone": customers_alone, "everything": everything, "checks only": checks_only}
FAIL = {
    "too much in quarantine": too_much_in_quarantine,
    "a broken audit": a_broken_audit,
    "an address as a number": _failing(lambda rows: rows.withColumn("phone", F.col("email").cast("bigint"))),
    "a birthday as a date": _failing(lambda rows: rows.withColumn("phone", F.to_date("birthday", "MM/dd/yyyy"))),
    "a name in an error": _failing(lambda rows: rows.withColumn("phone", F.raise_error(F.col("customername")))),
    "a serial number in a pattern": _failing(lambda rows: rows.where(F.expr("phone rlike serialnumber || '['"))),
    "a column that is not there": _failing(lambda rows: rows.select("shoe_size")),
    "a query that stumbles in an audit": a_query_that_stumbles_in_an_audit,
    "a feed that cannot be read at all": a_feed_that_cannot_be_read_at_all,
    "a withdrawal": a_withdrawal,
    "a data file that is gone": a_data_file_that_is_gone,
    "a data file that is damaged": a_data_file_that_is_damaged,
    "a damaged catalog": a_damaged_catalog,
}


def main(folder: str, engine: str, *names: str) -> None:
    """Make the runs, each of which must end as it is listed."""
    with dg.DagsterInstance.get() as instance:
        stedi = Stedi(Path(folder), {"STEDI_QUARANTINE_LIMIT": "1"}, instance, engine)
        for name in names:
            outcome = {**SUCCEED, **FAIL}[name](stedi)
            print(f"{name}: {outcome.failure or 'well'}")
            assert outcome.success is (name in SUCCEED), name
    ENGINES[engine].close()


if __name__ == "__main__":
    main(*sys.argv[1:])
