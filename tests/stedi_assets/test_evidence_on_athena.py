"""Evidence on AWS: Athena answers over the files in S3, and no engine is started for it.

The lakehouse is made in a folder and its files are laid into S3, because the server's Athena reads no Iceberg table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resources.athena import AthenaQuery
from resources.engines.engine import SparkEngine
from stedi_assets.contracts import FEEDS, TABLES
from stedi_assets.evidence import PICTURED, queries
from tests.servers.ministack import Aws
from tests.stedi_assets.examples import CUSTOMERS, T, deliver_all
from tests.support import ROOT, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROFILE = {
    **dict.fromkeys(("customername", "phone", "birthday"), "x"),
    **dict.fromkeys(("registrationdate", "sharewithpublicasofdate", "sharewithfriendsasofdate"), T),
}
"""What the example customers leave out: the server's Athena knows no columns but those of the files."""
LANDING = {feed.landing.name for feed in FEEDS}


class NoEngine(SparkEngine):
    """An engine that must not be asked."""

    @property
    def engine(self) -> str:
        raise AssertionError("the engine is named")

    def start(self) -> SparkSession:
        raise AssertionError("the engine is started")

    def stop(self) -> None:
        pass


@pytest.fixture
def athena(aws: Aws, stedi: Stedi) -> AthenaQuery:
    """Athena over the files of a lakehouse that is made from the example feeds."""
    deliver_all(stedi, [{**PROFILE, **row} for row in CUSTOMERS])
    assert stedi.materialize().success
    athena = AthenaQuery(workgroup=aws.new_workgroup(), database=aws.new_database())
    s3, bucket = aws.client("s3"), aws.new_bucket()
    for name in TABLES:
        if name.endswith("_quarantine"):
            continue
        for number, path in enumerate(files_of(stedi, name)):
            s3.upload_file(str(path), bucket, f"{name}/{number}{path.suffix}")
        ddl = (ROOT / "sql" / f"{name}.sql").read_text() if name in LANDING else parquet_ddl(name)
        if name in LANDING:
            athena.ensure_table(name, ddl, f"s3://{bucket}/{name}/")
        else:
            athena.run(ddl.replace("${location}", f"s3://{bucket}/{name}/"), {})
    return athena


def files_of(stedi: Stedi, name: str) -> list[Path]:
    if name in LANDING:
        return sorted(Path(stedi.lakehouse.root, name).glob("*.json"))
    table = stedi.lakehouse.load(name)
    assert table is not None
    return [Path(task.file.file_path.removeprefix("file://")) for task in table.scan().plan_files()]


def parquet_ddl(name: str) -> str:
    columns = ", ".join(f"`{column.name}` {column.type}" for column in TABLES[name].columns)
    return f"CREATE EXTERNAL TABLE `{name}` ({columns}) STORED AS PARQUET LOCATION '${{location}}'"


def test_athena_answers_with_the_lakehouse_s_counts_and_no_engine_is_started(stedi: Stedi, athena: AthenaQuery) -> None:
    outcome = stedi.materialize("query_evidence", resources={"query": athena, "spark": NoEngine()})
    assert outcome.failure == ""
    shown = outcome.metadata("query_evidence")
    counts = {name: rows for name, rows in stedi.counts().items() if not name.endswith("_quarantine")}
    assert len(set(counts.values())) > 3
    for name, rows in counts.items():
        assert f"| {name} | {rows} |" in shown["table_counts"]
    assert (
        f"| {counts['customer_trusted']} | {counts['customer_trusted']} | 0 |" in shown["consent_of_customer_trusted"]
    )
    for name in queries():
        assert len(shown[f"query id: {name}"]) == 36
        assert shown[f"bytes scanned: {name}"] > 0
        assert shown[f"seconds: {name}"] > 0
    for name in PICTURED:
        assert (Path(stedi.lakehouse.root) / "evidence" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "engine" not in shown


def test_evidence_says_which_engine_made_the_tables_of_its_run(stedi: Stedi, athena: AthenaQuery) -> None:
    outcome = stedi.materialize("customer_trusted", "query_evidence", resources={"query": athena})
    assert outcome.metadata("query_evidence")["engine"] == outcome.metadata("customer_trusted")["engine"]


def test_landing_makes_its_external_table_once(aws: Aws, stedi: Stedi) -> None:
    deliver_all(stedi)
    athena = AthenaQuery(workgroup=aws.new_workgroup(), database=aws.new_database())
    for _ in range(2):
        assert stedi.materialize("customer_landing", resources={"query": athena}).success
    table = aws.client("glue").get_table(DatabaseName=athena.database, Name="customer_landing")["Table"]
    assert table["StorageDescriptor"]["Location"].rstrip("/").endswith("/lakehouse/customer_landing")
    assert len(aws.client("athena").list_query_executions(WorkGroup=athena.workgroup)["QueryExecutionIds"]) == 1
