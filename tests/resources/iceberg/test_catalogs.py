"""What differs between the catalogs: who makes them, with whose rights, and what is told where a right is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.iceberg.catalogs import GlueLakehouse
from resources.iceberg.footers import read_footers
from resources.iceberg.version import Staged
from tests.resources.iceberg.house import ANN, BOB, EVE, WALKS, GlueHouse, LocalHouse
from tests.servers import CREDENTIALS
from tests.support import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


# On this machine


@pytest.mark.parametrize("name", ["my lake", "Müller ☃", "100%", "100%20", "day=1", "a+b&c;d", 'it\'s "it"'])
def test_the_lakehouse_may_lie_in_a_folder_of_any_name(tmp_path: Path, spark: SparkSession, name: str) -> None:
    house = LocalHouse(spark, tmp_path / name / "lakehouse")
    house.publish(ANN, BOB)
    house.stage(EVE).directory.release()
    house.clear_up()
    house.publish(BOB)
    assert house.rows() == [BOB]
    iceberg = house.lakehouse.load("walks")
    assert iceberg is not None
    assert iceberg.scan().to_arrow().to_pylist() == [{"user": "bob", "steps": 2}]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(house.folders) == 2


def test_of_two_first_runs_one_makes_the_catalog_and_the_other_waits_for_it(
    local_house: LocalHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes when the first one has seen that nothing is there yet."""
    from pyiceberg.catalog.sql import SqlCatalog

    look, others = SqlCatalog.namespace_exists, list[threading.Thread]()

    def meanwhile(self: SqlCatalog, namespace: Any) -> bool:
        found = look(self, namespace)
        if not others:
            others.append(threading.Thread(target=lambda: opened.append(local_house.lakehouse.catalog)))
            others[0].start()
            others[0].join(0.2)
        return found

    opened: list[Any] = []
    monkeypatch.setattr(SqlCatalog, "namespace_exists", meanwhile)
    opened.append(local_house.lakehouse.catalog)
    others[0].join()
    assert [catalog.list_namespaces() for catalog in opened] == [[("stedi",)], [("stedi",)]]


def test_a_lakehouse_on_this_machine_needs_nothing_of_aws(tmp_path: Path) -> None:
    script = f"""
import sys
from resources.iceberg.catalogs import LocalLakehouse
assert LocalLakehouse(root={str(tmp_path)!r}, namespace="stedi").version("walks") is None
assert not {{"boto3", "botocore", "pyspark"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": str(ROOT)})


# On AWS


def test_a_table_is_in_glue_with_the_columns_that_athena_reads(glue_house: GlueHouse) -> None:
    glue_house.publish(ANN)
    table = glue_house.aws.client("glue").get_table(DatabaseName=glue_house.database, Name="walks")["Table"]
    columns = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
    assert columns == [("user", "string"), ("steps", "bigint")]
    assert table["StorageDescriptor"]["Location"] == f"s3://{glue_house.bucket}/{glue_house.key}"


def test_a_database_that_is_missing_is_made(glue_house: GlueHouse) -> None:
    lakehouse = GlueLakehouse(root=f"s3://{glue_house.bucket}/prod", namespace=f"{glue_house.database}_new")
    assert lakehouse.version("walks") is None
    glue_house.aws.client("glue").get_database(Name=f"{glue_house.database}_new")


def test_a_commit_that_the_server_answers_with_its_own_error_is_not_sent_again(
    glue_house: GlueHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    glue_house.publish(ANN)
    lakehouse = glue_house.lakehouse
    staged = glue_house.stage(BOB, lakehouse=lakehouse)
    network = lakehouse.catalog.glue._endpoint.http_session  # type: ignore[attr-defined]
    send, sent = network.send, list[bytes]()

    def fail(request: Any) -> Any:
        response = send(request)
        if request.headers["X-Amz-Target"].endswith(b"UpdateTable"):
            sent.append(request.headers["X-Amz-Target"])
            response.status_code, response._content = 500, b"{}"
        return response

    monkeypatch.setattr(network, "send", fail)
    assert lakehouse.publish(staged, {}) == glue_house.lakehouse.version("walks")
    assert len(sent) == 1
    assert glue_house.everybody_reads([BOB])


def test_whoever_works_in_another_role_reads_and_writes_in_that_role(
    glue_house: GlueHouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Arrow's client for S3 knows nothing of such a profile, so it is given what boto3 finds."""
    iam, name = glue_house.aws.client("iam"), glue_house.bucket
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    allowed = policy({"Effect": "Allow", "Action": ["s3:*", "glue:*"], "Resource": "*"})
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=allowed)
    config = tmp_path / "config"
    keys = "".join(f"{name.lower()} = {CREDENTIALS[name]}\n" for name in KEYS)
    config.write_text(f"[profile me]\n{keys}[profile lake]\nrole_arn = {role}\nsource_profile = me\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    for name in KEYS:
        monkeypatch.delenv(name)
    lakehouse = glue_house.lakehouse
    directory = lakehouse.staging_dir("walks")
    path, rows = f"{directory.open('run')}/1.parquet", pa.table({"user": ["ann"], "steps": [1]})
    with lakehouse.io.new_output(path).create() as out:
        pq.write_table(rows, out)
    with Staged(WALKS, directory, None, read_footers(lakehouse.io, directory.data_files)) as staged:
        lakehouse.publish(staged, {})
    assert lakehouse.version("walks") is not None


@pytest.mark.parametrize(
    ("allowed", "missing"),
    [
        (["s3:*"], "glue:GetDatabase"),
        (["s3:*", "glue:GetDatabase"], "glue:GetTable"),
        (["s3:*", "glue:GetDatabase", "glue:GetTable"], "glue:UpdateTable"),
        (["s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "glue:*"], "s3:GetObject"),
    ],
    ids=lambda value: str(value),
)
def test_access_denied_names_the_missing_action(
    glue_house: GlueHouse, monkeypatch: pytest.MonkeyPatch, allowed: list[str], missing: str
) -> None:
    glue_house.publish(ANN)
    user = glue_house.aws.new_user(policy({"Effect": "Allow", "Action": allowed, "Resource": "*"}))
    with monkeypatch.context() as patch:
        for name, value in user.items():
            patch.setenv(name, value)
        with pytest.raises(dg.Failure) as refused:
            glue_house.publish(BOB)
    assert f"{missing} is not allowed" in str(refused.value.description)
    assert "arn:" not in told_of(refused.value)


def policy(statement: dict[str, Any]) -> str:
    """The statement as a document of IAM."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def told_of(error: BaseException | None) -> str:
    """What Dagster keeps of an error: its words, and those of its causes."""
    if error is None:
        return ""
    return f"{error} {told_of(error.__cause__ or (None if error.__suppress_context__ else error.__context__))}"
