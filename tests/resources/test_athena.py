"""SQL on Athena: typed answers, sentences for what fails, and no query that runs on when nobody waits for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from resources.athena import AthenaQuery, reason_of
from resources.errors import LakehouseError
from resources.query import Query
from resources.settings import Settings
from stedi_assets.definitions import build_resources
from tests.servers.ministack import Aws
from tests.support import ROOT

LONG = "SELECT sleep_ms(2000)"  # DuckDB's function: the server's part in this is DuckDB
DDL = """-- Steps of people.
CREATE EXTERNAL TABLE IF NOT EXISTS `steps` (`user` string, `steps` bigint, `far` double, `kept` boolean)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION '${location}';
"""


@pytest.fixture
def athena(aws: Aws) -> AthenaQuery:
    """Athena with an empty database and a workgroup of the test's own."""
    return AthenaQuery(workgroup=aws.new_workgroup(), database=aws.new_database())


@pytest.fixture
def steps(aws: Aws, athena: AthenaQuery) -> AthenaQuery:
    """The same, with two rows of JSON in the table `steps`."""
    bucket = aws.new_bucket()
    rows = [{"user": "ann", "steps": 7, "far": 2.5, "kept": True}, {"user": "bob"}]
    body = "\n".join(map(json.dumps, rows))
    aws.client("s3").put_object(Bucket=bucket, Key="steps/1.json", Body=body)
    athena.ensure_table("steps", DDL, f"s3://{bucket}/steps/")
    return athena


def states(aws: Aws, athena: AthenaQuery) -> list[str]:
    """What has become of the workgroup's queries."""
    client = aws.client("athena")
    ids = client.list_query_executions(WorkGroup=athena.workgroup)["QueryExecutionIds"]
    return [client.get_query_execution(QueryExecutionId=one)["QueryExecution"]["Status"]["State"] for one in ids]


def until_running(aws: Aws, athena: AthenaQuery) -> str:
    """The id of the workgroup's query, once there is one."""
    for _ in range(200):
        if ids := aws.client("athena").list_query_executions(WorkGroup=athena.workgroup)["QueryExecutionIds"]:
            return str(ids[0])
        time.sleep(0.05)
    raise AssertionError("no query was started")


def test_an_answer_has_the_values_of_the_files_in_their_types(steps: AthenaQuery) -> None:
    answer = steps.run("SELECT user, steps, far, kept FROM steps ORDER BY user", {})
    assert answer.columns == ["user", "steps", "far", "kept"]
    assert [[repr(value) for value in row] for row in answer.rows] == [
        ["'ann'", "7", "2.5", "True"],
        ["'bob'", "None", "None", "None"],
    ]


def test_every_type_of_a_number_is_a_number_and_an_empty_text_is_not_null(athena: AthenaQuery) -> None:
    sql = (
        "SELECT CAST(1 AS tinyint), CAST(2 AS integer), CAST(1.5 AS real), CAST(2.25 AS decimal(5, 2)), false, '', NULL"
    )
    (row,) = athena.run(sql, {}).rows
    assert list(map(repr, row)) == ["1", "2", "1.5", "Decimal('2.25')", "False", "''", "None"]


def test_an_answer_tells_what_the_query_cost(aws: Aws, steps: AthenaQuery) -> None:
    answer = steps.run("SELECT count(*) AS people FROM steps", {})
    assert answer.rows == [(2,)]
    assert answer.statistics.keys() == {"query id", "bytes scanned", "engine time (ms)", "queue time (ms)"}
    told = aws.client("athena").get_query_execution(QueryExecutionId=answer.statistics["query id"])["QueryExecution"]
    assert answer.statistics["bytes scanned"] == told["Statistics"]["DataScannedInBytes"] > 0
    assert answer.seconds > 0


def test_an_answer_may_have_more_rows_than_a_page_holds_and_none(athena: AthenaQuery) -> None:
    answer = athena.run("SELECT range AS number FROM range(2500) ORDER BY 1", {})
    assert answer.rows == [(number,) for number in range(2500)]
    answer = athena.run("SELECT range AS number FROM range(0)", {})
    assert (answer.columns, answer.rows) == (["number"], [])


def test_what_show_answers_is_all_rows_and_has_no_header(athena: AthenaQuery) -> None:
    assert athena.run("SHOW DATABASES", {}).rows == [("memory",)]  # DuckDB's only one


def test_a_failed_query_is_told_with_its_id_and_the_reason(aws: Aws, athena: AthenaQuery) -> None:
    with pytest.raises(LakehouseError, match=r"The query [0-9a-f-]{36} failed in Athena: .*nowhere") as failed:
        athena.run("SELECT * FROM nowhere", {})
    assert failed.value.allow_retries is False
    assert states(aws, athena) == ["FAILED"]


def test_a_value_that_cannot_be_read_is_not_told(athena: AthenaQuery) -> None:
    with pytest.raises(LakehouseError, match="failed in Athena") as failed:
        athena.run("SELECT CAST(who AS bigint) FROM (SELECT 'ada@example.com' AS who)", {})
    assert "ada" not in str(failed.value.description)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("INVALID_CAST_ARGUMENT: Cannot cast 'ada@example.com' to BIGINT", "INVALID_CAST_ARGUMENT."),
        ("INVALID_CAST_ARGUMENT: Value cannot be cast to date: ada@example.com", "INVALID_CAST_ARGUMENT."),
        ("HIVE_BAD_DATA: Error parsing column '0': target scale must be larger: ada@example.com", "HIVE_BAD_DATA."),
        ("SYNTAX_ERROR: line 1:8: Column 'value' cannot be resolved", "Column 'value' cannot be resolved."),
    ],
)
def test_of_a_reason_that_quotes_a_row_the_name_is_told(said: str, told: str) -> None:
    sentence = reason_of({"StateChangeReason": said})
    assert told in sentence
    assert "ada" not in sentence


def test_a_query_beyond_the_time_limit_is_stopped(aws: Aws, athena: AthenaQuery) -> None:
    # The shortest limit that dagster-aws's fields can say is a second.
    assert athena.time_limit == 600
    hasty = AthenaQuery(workgroup=athena.workgroup, database=athena.database, polling_interval=1, max_polls=1)
    with pytest.raises(LakehouseError, match="took longer than 1 s"):
        hasty.run(LONG, {})
    assert states(aws, athena) == ["CANCELLED"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_terminated_stops_its_query(aws: Aws, athena: AthenaQuery, sign: signal.Signals) -> None:
    script = f"""
import dagster as dg
from resources.athena import AthenaQuery
@dg.asset
def answer(query: AthenaQuery) -> None:
    query.run({LONG.replace("2000", "5000")!r}, {{}})
query = AthenaQuery(workgroup={athena.workgroup!r}, database={athena.database!r})
dg.materialize([answer], resources={{"query": query}})
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL) as run:
        try:
            until_running(aws, athena)
            run.send_signal(sign)
            assert run.wait(30) != 0
            assert states(aws, athena) == ["CANCELLED"]
        finally:
            run.kill()


def test_a_query_that_cannot_be_followed_is_stopped(
    aws: Aws, athena: AthenaQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as(aws, monkeypatch, "athena:StartQueryExecution", "athena:StopQueryExecution")
    with pytest.raises(LakehouseError, match=r"Could not follow the query .*: athena:GetQueryExecution is not allowed"):
        athena.run(LONG, {})
    assert states(aws, athena) == ["CANCELLED"]


def test_a_query_that_cannot_even_be_stopped_fails_for_the_first_reason(
    aws: Aws, athena: AthenaQuery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    act_as(aws, monkeypatch, "athena:StartQueryExecution")
    with pytest.raises(LakehouseError, match="athena:GetQueryExecution is not allowed"):
        athena.run("SELECT 1", {})
    assert "which may run on in Athena: athena:StopQueryExecution is not allowed" in caplog.text


def test_a_query_that_somebody_else_cancels_is_told_so(aws: Aws, athena: AthenaQuery) -> None:
    with ThreadPoolExecutor(1) as beside:
        answer = beside.submit(athena.run, LONG, {})
        aws.client("athena").stop_query_execution(QueryExecutionId=until_running(aws, athena))
        with pytest.raises(
            LakehouseError, match=r"The query \S+ was cancelled in Athena: Query was cancelled by user\."
        ):
            answer.result()


@pytest.mark.parametrize(
    ("workgroup", "told"),
    [
        ("nobodys", "no Athena workgroup 'nobodys'. Set STEDI_ATHENA_WORKGROUP"),
        ("primary", "'primary' has no location .*aws athena update-work-group --work-group primary"),
    ],
    ids=["does not exist", "has no place for results"],
)
def test_a_workgroup_that_cannot_be_used_is_told_with_what_to_do(
    athena: AthenaQuery, workgroup: str, told: str
) -> None:
    with pytest.raises(LakehouseError, match=told):
        AthenaQuery(workgroup=workgroup, database=athena.database).run("SELECT 1", {})


def test_a_refused_start_names_the_missing_action(
    aws: Aws, athena: AthenaQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as(aws, monkeypatch, "athena:GetQueryExecution")
    with pytest.raises(
        LakehouseError, match="Could not start a query in Athena: athena:StartQueryExecution is not allowed"
    ):
        athena.run("SELECT 1", {})


def test_it_is_dagster_aws_s_resource_too(athena: AthenaQuery) -> None:
    assert athena.get_client().workgroup == athena.workgroup
    assert athena.get_client().client.meta.region_name == os.environ["AWS_REGION"]


def test_a_lakehouse_in_s3_is_queried_on_athena() -> None:
    environment = {
        "STEDI_LAKEHOUSE": "s3://bucket/lake",
        "STEDI_ATHENA_WORKGROUP": "people",
        "STEDI_DATABASE": "steps",
    }
    query: Query = build_resources(Settings.from_environment(environment))["query"]
    assert isinstance(query, AthenaQuery)
    assert (query.workgroup, query.database) == ("people", "steps")


def act_as(aws: Aws, monkeypatch: pytest.MonkeyPatch, *actions: str) -> None:
    """From here on, the process is a user who may do these actions and nothing else."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for name, value in aws.new_user(policy).items():
        monkeypatch.setenv(name, value)
