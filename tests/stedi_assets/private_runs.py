"""Runs that go well and runs that fail in many ways, on marked feeds, in one process and with a Dagster that remembers.

`python -m tests.stedi_assets.private_runs FOLDER ENGINE RUN...` makes these runs, in this order, in the lakehouse of
that folder, or on AWS where STEDI_LAKEHOUSE is there. Belongs here: the runs. What they must not leave behind is in
`test_privacy.py`.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from resources.engines.embedded import EmbeddedSpark
from resources.engines.remote import RemoteSpark
from resources.lazy import LazyModule
from stedi_assets.contracts import ASSETS as ALL
from stedi_assets.definitions import build_definitions, build_resources
from stedi_assets.rules import latest_record
from tests.stedi_assets.examples import T, as_delivered
from tests.stedi_assets.marked import address, serial, someone
from tests.stedi_assets.runs import ASSETS, changed, run
from tests.support import ENGINES, Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

RECORDS = ("customer_landing", "customer_records", "customer_quarantine")


def everything(stedi: Stedi) -> Outcome:
    return stedi.materialize(*ALL, "query_evidence")


def customers_alone(stedi: Stedi) -> Outcome:
    return replace(stedi, engine="embedded").materialize(*RECORDS, "customer_trusted")


def checks_only(stedi: Stedi) -> Outcome:
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    return stedi.materialize(checks=sorted(graph.get_check_keys_for_assets({dg.AssetKey(name) for name in ALL})))


def too_much_in_quarantine(stedi: Stedi) -> Outcome:
    return replace(stedi, environment={"STEDI_QUARANTINE_LIMIT": "0"}).materialize(*RECORDS)


def a_broken_check(stedi: Stedi) -> Outcome:
    def without_the_consent_filter(customer_records: DataFrame) -> DataFrame:
        return latest_record(customer_records)

    return run(stedi, [changed("customer_trusted", function=without_the_consent_filter)])


def _failing(table: Callable[[DataFrame], DataFrame]) -> Callable[[Stedi], Outcome]:
    """A run of customer_trusted whose query fails on a value."""

    def function(customer_records: DataFrame) -> DataFrame:
        return table(customer_records)

    return lambda stedi: run(stedi, [changed("customer_trusted", function=function)])


def a_query_that_stumbles_in_a_check(stedi: Stedi) -> Outcome:
    def stumble(rows: DataFrame) -> DataFrame:
        return rows.where(F.col("phone").cast("bigint") + F.col("email").cast("bigint") > 0)

    check = replace(ASSETS["customer_trusted"].checks[0], query=stumble)
    return run(stedi, [changed("customer_trusted", checks=(check,))])


def a_withdrawal(stedi: Stedi) -> Outcome:
    stedi.deliver("customer", as_delivered("customer", [someone(7, updated=T + 9, consent=None)]), "withdrawal.json")
    stedi.materialize(*RECORDS)
    return checks_only(stedi)


def a_file_that_cannot_be_read(stedi: Stedi) -> Outcome:
    cut_off = stedi.deliver("customer", gzip.compress(str(someone(1)).encode())[:-9], "cut off.json.gz")
    outcome = stedi.materialize(*RECORDS)
    cut_off.unlink()
    return outcome


def a_feed_that_cannot_be_read_at_all(stedi: Stedi) -> Outcome:
    source = stedi.folder / "unreadable"
    (source / "customers").mkdir(parents=True)
    (source / "customers" / "1.json.gz").write_bytes(b"\x1f\x8b" + str(someone(1)).encode())
    environment = {"STEDI_SOURCE": str(source), "STEDI_LAKEHOUSE": str(stedi.folder / "lakehouse" / "second")}
    return replace(stedi, environment=environment).materialize("customer_landing")


def a_data_file_that_is_gone(stedi: Stedi) -> Outcome:
    next(stedi.location("customer_trusted").rglob("*.parquet")).unlink()
    return stedi.materialize("customers_curated")


def a_data_file_that_is_damaged(stedi: Stedi) -> Outcome:
    for path in stedi.location("customer_records").rglob("*.parquet"):
        path.write_text(str(someone(1)))
    return stedi.materialize("customer_trusted")


def metadata_that_is_damaged(stedi: Stedi) -> Outcome:
    for path in stedi.location("accelerometer_records").rglob("*.metadata.json"):
        path.write_text(json.dumps({"format-version": address(1), "location": [address(1)]}))
    return stedi.materialize("accelerometer_trusted")


def a_table_that_somebody_partitioned(stedi: Stedi) -> Outcome:
    table = stedi.lakehouse.load("customer_trusted")
    assert table is not None
    with table.update_spec() as spec:
        spec.add_identity("email")
    return stedi.materialize("customer_trusted", "customers_curated")


def _quoting(fail: Callable[[], object]) -> Callable[[Stedi], Outcome]:
    """A run of customer_trusted in which something that is no query of the engine's stumbles over an address."""

    def table(rows: DataFrame) -> DataFrame:
        fail()
        return rows

    return _failing(table)


def what_pyiceberg_cannot_convert() -> object:
    from pyiceberg.expressions.literals import literal
    from pyiceberg.types import LongType

    return literal(address(1)).to(LongType())


def a_damaged_catalog(stedi: Stedi) -> Outcome:
    Path(stedi.lakehouse.root, "catalog.db").write_text("no database")
    return stedi.materialize("customer_trusted")


def on_aws(*assets: str, stranger: bool = False, **environment: str) -> Callable[[Stedi], Outcome]:
    """A run with the resources of the environment's settings, by the pipeline's user or by one who may do nothing."""

    def make(stedi: Stedi) -> Outcome:
        os.environ.update(json.loads(os.environ["STRANGER"]) if stranger else {})
        there = replace(stedi, environment={**stedi.environment, **environment})
        RemoteSpark.read_text = EmbeddedSpark.read_text  # type: ignore[method-assign]  # as in the fixture `emr`
        return there.materialize(*assets, resources={"spark": build_resources(there.settings)["spark"]})

    return make


SUCCEED = {
    "customers alone": customers_alone,
    "everything": everything,
    "checks only": checks_only,
    "a table that somebody partitioned": a_table_that_somebody_partitioned,
}
FAIL = {
    "too much in quarantine": too_much_in_quarantine,
    "a broken check": a_broken_check,
    "an address as a number": _failing(lambda rows: rows.withColumn("phone", F.col("email").cast("bigint"))),
    "a birthday as a date": _failing(lambda rows: rows.withColumn("phone", F.to_date("birthday", "MM/dd/yyyy"))),
    "a name in an error": _failing(lambda rows: rows.withColumn("phone", F.raise_error(F.col("customername")))),
    "a serial number in a pattern": _failing(lambda rows: rows.where(F.expr("phone rlike serialnumber || '['"))),
    "a column that is not there": _failing(lambda rows: rows.select("shoe_size")),
    "a query that stumbles in a check": a_query_that_stumbles_in_a_check,
    "a file that cannot be read": a_file_that_cannot_be_read,
    "a feed that cannot be read at all": a_feed_that_cannot_be_read_at_all,
    "a withdrawal": a_withdrawal,
    "a data file that is gone": a_data_file_that_is_gone,
    "a data file that is damaged": a_data_file_that_is_damaged,
    "an address as a number in our own code": _quoting(lambda: int(address(1))),
    "a key of our own code": _quoting(lambda: {serial(1): 1}[address(1)]),
    "what Arrow cannot convert": _quoting(lambda: pa.array([address(1)]).cast(pa.int64())),
    "what PyIceberg cannot convert": _quoting(what_pyiceberg_cannot_convert),
    "metadata that is damaged": metadata_that_is_damaged,
    "a damaged catalog": a_damaged_catalog,
}
DENIED_ON_AWS = {
    "a session that is denied": on_aws(*RECORDS),
    "a workgroup that is not there": on_aws("query_evidence", STEDI_ATHENA_WORKGROUP="nobodys"),
    "a stranger": on_aws("customer_landing", stranger=True),
}
RUNS = {**SUCCEED, **FAIL, "records on aws": on_aws(*RECORDS), **DENIED_ON_AWS}


def main(folder: str, engine: str, *names: str) -> None:
    """Make the runs, each of which must end as it is listed."""
    with dg.DagsterInstance.get() as instance:
        settings = {name: value for name, value in os.environ.items() if name.startswith("STEDI_")}
        stedi = Stedi(Path(folder), {**settings, "STEDI_QUARANTINE_LIMIT": "1"}, instance, engine)
        for name in names:
            outcome = RUNS[name](stedi)
            print(f"{name}: {outcome.failure or 'well'}")
            assert outcome.success is (name not in {**FAIL, **DENIED_ON_AWS}), name
    for used in {"embedded", engine}:
        ENGINES[used].close()


if __name__ == "__main__":
    main(*sys.argv[1:])
