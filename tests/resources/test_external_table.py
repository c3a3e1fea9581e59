"""External tables over raw files: made from their DDL, left alone while they are right, made anew when they are not."""

from __future__ import annotations

from typing import Any

import pytest

from resources.athena import AthenaQuery, ExternalTable, statement_of
from resources.errors import LakehouseError
from resources.query import EngineQuery
from stedi_assets.contracts import FEEDS, Feed
from tests.servers.ministack import Aws
from tests.support import ROOT

NAME = "accelerometer_landing"
DDL = (ROOT / "sql" / f"{NAME}.sql").read_text()
PLACE = "s3://bucket/lake/accelerometer_landing/"
JSON, PARQUET = "org.openx.JsonSerDe", "ql.io.parquet.ParquetHiveSerDe"


@pytest.fixture
def athena(aws: Aws) -> AthenaQuery:
    """Athena with an empty database and a workgroup of the test's own."""
    return AthenaQuery(workgroup=aws.new_workgroup(), database=aws.new_database())


def in_glue(aws: Aws, athena: AthenaQuery) -> dict[str, Any]:
    table: dict[str, Any] = aws.client("glue").get_table(DatabaseName=athena.database, Name=NAME)["Table"]
    return table


def statements(aws: Aws, athena: AthenaQuery) -> list[str]:
    """The first words of the statements that were executed, in order."""
    client = aws.client("athena")
    ids = client.list_query_executions(WorkGroup=athena.workgroup)["QueryExecutionIds"]
    told = (client.get_query_execution(QueryExecutionId=one)["QueryExecution"] for one in ids)
    return [" ".join(one["Query"].split()[:2]) for one in told]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_ddl_makes_a_table_with_the_columns_of_the_contract(aws: Aws, athena: AthenaQuery, feed: Feed) -> None:
    name = feed.landing.name
    ddl = (ROOT / "sql" / f"{name}.sql").read_text()
    done = athena.ensure_table(name, ddl, f"s3://bucket/lake/{name}/")
    assert done == f"external table {athena.database}.{name} made over s3://bucket/lake/{name}/"
    table = aws.client("glue").get_table(DatabaseName=athena.database, Name=name)["Table"]
    storage = table["StorageDescriptor"]
    assert storage["Location"].rstrip("/") == f"s3://bucket/lake/{name}"
    assert [(column["Name"], column["Type"], column["Comment"]) for column in storage["Columns"]] == [
        (column.name, column.type, column.meaning) for column in feed.landing.columns
    ]
    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    assert storage["SerdeInfo"]["Parameters"]["use.null.for.invalid.data"] == "TRUE"
    assert table["Parameters"]["comment"].startswith(f"{feed.landing.grain}. To look at what was delivered, not to ")
    assert table["Parameters"]["comment"].endswith(feed.records.name)


def test_a_table_that_is_right_is_left_alone(aws: Aws, athena: AthenaQuery) -> None:
    athena.ensure_table(NAME, DDL, PLACE)
    made = in_glue(aws, athena)
    assert athena.ensure_table(NAME, DDL, PLACE) is None
    assert statements(aws, athena) == ["CREATE EXTERNAL"]
    assert in_glue(aws, athena) == made


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${location}", "s3://bucket/other/"),
        ("  `z` double", "  `depth` double"),
        ("`timestamp` bigint", "`timestamp` string"),
        ("along the x axis", "from left to right"),
        ("one accelerometer reading", "a reading"),
        ("'case.insensitive' = 'TRUE'", "'case.insensitive' = 'FALSE'"),
        ("org.openx.data.jsonserde.JsonSerDe", "org.apache.hive.hcatalog.data.JsonSerDe"),
    ],
    ids=[
        "the location",
        "a column's name",
        "its type",
        "its comment",
        "the table's comment",
        "a property",
        "the SerDe",
    ],
)
def test_a_changed_ddl_is_applied(aws: Aws, athena: AthenaQuery, old: str, new: str) -> None:
    athena.ensure_table(NAME, DDL.replace(old, new), PLACE)
    before = in_glue(aws, athena)
    done = athena.ensure_table(NAME, DDL, PLACE)
    assert done == f"external table {athena.database}.{NAME} made anew over {PLACE}"
    assert statements(aws, athena) == ["CREATE EXTERNAL", "DROP TABLE", "CREATE EXTERNAL"]
    assert ExternalTable.of_glue(in_glue(aws, athena)) != ExternalTable.of_glue(before)
    assert athena.ensure_table(NAME, DDL, PLACE) is None


@pytest.mark.parametrize(
    ("kind", "serde", "parameters"),
    [
        ("EXTERNAL_TABLE", JSON, {"table_type": "ICEBERG", "metadata_location": "s3://bucket/x.json"}),
        ("EXTERNAL_TABLE", PARQUET, {}),
        ("MANAGED_TABLE", JSON, {}),
    ],
    ids=["iceberg", "parquet", "managed"],
)
def test_a_table_that_is_none_over_json_files_is_never_dropped(
    aws: Aws, athena: AthenaQuery, kind: str, serde: str, parameters: dict[str, str]
) -> None:
    storage = {"Location": PLACE, "SerdeInfo": {"SerializationLibrary": serde}}
    table = {"Name": NAME, "TableType": kind, "Parameters": parameters, "StorageDescriptor": storage}
    aws.client("glue").create_table(DatabaseName=athena.database, TableInput=table)
    with pytest.raises(LakehouseError, match="no external table over JSON files, so it is left as it is"):
        athena.ensure_table(NAME, DDL, PLACE)
    assert statements(aws, athena) == []
    assert in_glue(aws, athena)["TableType"] == kind


def test_a_database_that_does_not_exist_is_told(athena: AthenaQuery) -> None:
    nowhere = AthenaQuery(workgroup=athena.workgroup, database="nowhere")
    with pytest.raises(LakehouseError, match=r"failed in Athena: .*nowhere"):
        nowhere.ensure_table(NAME, DDL, PLACE)


def test_the_statement_has_neither_comments_nor_an_end_sign() -> None:
    statement = statement_of(DDL, PLACE)
    assert statement.startswith("CREATE EXTERNAL TABLE")
    assert statement.endswith(f"LOCATION '{PLACE}'")


def test_where_no_catalog_keeps_external_tables_there_is_nothing_to_do() -> None:
    assert EngineQuery().ensure_table(NAME, DDL, "file:///lake/") is None
