"""On S3 and Glue, too, a version is invisible until it is published, published in one commit, or leaves no trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ConnectionClosedError

from resources.errors import LakehouseError
from resources.iceberg import staging
from resources.iceberg.catalogs import GlueLakehouse
from resources.iceberg.version import Staged, Version
from tests.resources.iceberg.test_lakehouse import ANN, BOB, EVE, SPEED, STEPS, USER, WALKS, Row, Table, arrow_rows
from tests.resources.writers import hold_to_the_history, publish_at_once
from tests.servers import CREDENTIALS, REGION
from tests.servers.ministack import Aws

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import DataFrame, SparkSession


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass
class House:
    """A lakehouse in a bucket, and the engine that fills it."""

    aws: Aws
    bucket: str
    database: str
    spark: SparkSession

    @property
    def lakehouse(self) -> GlueLakehouse:
        """Another process's view of it: nothing is shared but the bucket and the catalog."""
        return GlueLakehouse(root=f"s3://{self.bucket}/prod", namespace=self.database)

    @property
    def folders(self) -> set[str]:
        """The folders of data files, published or not."""
        return {key.split("/")[4] for key in self.keys if "/data/" in key}

    @property
    def keys(self) -> set[str]:
        listing = self.aws.client("s3").list_objects_v2(Bucket=self.bucket)
        return {entry["Key"] for entry in listing.get("Contents", ()) if not entry["Key"].endswith("/")}

    @property
    def iceberg(self) -> IcebergTable:
        """The table as any other Iceberg reader opens it: from Glue alone."""
        from pyiceberg.catalog import load_catalog

        place = {"s3.endpoint": self.aws.endpoint, "glue.endpoint": self.aws.endpoint, "client.region": REGION}
        return load_catalog("any", type="glue", **place).load_table(f"{self.database}.walks")

    def frame(self, *rows: Row, table: Table = WALKS) -> DataFrame:
        ddl = ", ".join(f"{column.name} {column.type}" for column in table.columns)
        return self.spark.createDataFrame(list(rows), ddl)

    def stage(self, *rows: Row, table: Table = WALKS) -> Staged:
        return self.lakehouse.stage(self.frame(*rows, table=table), table, "run")

    def publish(self, *rows: Row, table: Table = WALKS) -> Version:
        return self.lakehouse.publish(self.stage(*rows, table=table), {"stedi.run-id": "r1"})

    def rows(self, snapshot_id: int | None = None) -> list[Row]:
        frame, _ = self.lakehouse.read(self.spark, WALKS, snapshot_id)
        return sorted((tuple(row) for row in frame.collect()), key=repr)


@pytest.fixture
def house(aws: Aws, spark: SparkSession) -> House:
    return House(aws, aws.new_bucket(), aws.new_database(), spark)


def test_a_table_lies_below_the_lakehouse_in_the_format_that_athena_reads(house: House) -> None:
    version = house.publish(ANN, BOB)
    table = house.iceberg
    assert table.location() == f"s3://{house.bucket}/prod/{house.database}/walks" == house.lakehouse.uri("walks")
    assert table.metadata.format_version == 2
    assert arrow_rows(table.scan().to_arrow()) == house.rows() == [ANN, BOB]
    assert (version.rows, version.properties["stedi.run-id"]) == (2, "r1")
    in_glue = house.aws.client("glue").get_table(DatabaseName=house.database, Name="walks")["Table"]
    columns = [(column["Name"], column["Type"]) for column in in_glue["StorageDescriptor"]["Columns"]]
    assert columns == [("user", "string"), ("steps", "bigint")]


def test_staged_rows_are_invisible_until_they_are_published(house: House) -> None:
    first = house.publish(ANN)
    staged = house.stage(BOB, EVE)
    assert sorted(map(tuple, house.lakehouse.read_staged(house.spark, staged).collect())) == [BOB, EVE]
    assert (staged.rows, staged.columns) == (2, [("user", "string"), ("steps", "bigint")])
    assert house.rows() == [ANN]
    house.lakehouse.publish(staged, {})
    assert house.rows() == [BOB, EVE]
    assert house.rows(first.snapshot_id) == [ANN]
    assert [version.rows for version in house.lakehouse.history("walks")] == [1, 2]


def test_discarding_removes_the_staged_files_and_nothing_else(house: House) -> None:
    house.publish(ANN)
    before = house.keys
    staged = house.stage(BOB)
    assert house.keys > before
    staged.directory.discard()
    staged.directory.discard()
    assert house.keys == before
    published = house.stage(BOB)
    house.lakehouse.publish(published, {})
    published.directory.discard()
    assert house.rows() == [BOB]


def test_a_table_can_be_empty(house: House) -> None:
    house.publish(ANN)
    house.publish()
    assert house.rows() == []


def test_the_shape_of_a_table_can_change(house: House) -> None:
    house.publish(ANN)
    house.publish(("bob", 2, 1.5), table=Table("walks", (USER, STEPS, SPEED)))
    assert arrow_rows(house.iceberg.scan().to_arrow()) == [("bob", 2, 1.5)]


def test_of_two_writers_glue_lets_one_win_and_the_other_is_told(house: House) -> None:
    house.publish(ANN)
    one, two = house.stage(BOB), house.stage(EVE)
    house.lakehouse.publish(one, {})
    with pytest.raises(LakehouseError, match="Another run published walks at the same time") as refused:
        house.lakehouse.publish(two, {})
    assert refused.value.allow_retries
    assert house.rows() == [BOB]
    assert two.directory.name not in house.folders


@pytest.mark.parametrize("before", [[], [ANN]], ids=["never published", "published"])
def test_a_writer_that_is_faster_by_a_moment_wins(house: House, before: list[Row]) -> None:
    if before:
        house.publish(*before)
    faster, lakehouse = house.stage(BOB), house.lakehouse
    slower = lakehouse.stage(house.frame(EVE), WALKS, "run")
    call = "UpdateTable" if before else "CreateTable"

    def meanwhile(**_: Any) -> None:
        """Between the slower one's last look at the catalog and its commit."""
        house.lakehouse.publish(faster, {})

    once(lakehouse, f"before-call.glue.{call}", meanwhile)
    with pytest.raises(LakehouseError, match="at the same time"):
        lakehouse.publish(slower, {})
    assert slower.directory.name not in house.folders
    assert house.rows() == [BOB]


def once(lakehouse: GlueLakehouse, event: str, do: Callable[..., Any]) -> None:
    """Do this when botocore's event first happens in the lakehouse's client of Glue."""
    events = lakehouse.catalog.glue.meta.events  # type: ignore[attr-defined]

    def happen(**arguments: Any) -> Any:
        events.unregister(event, happen)
        return do(**arguments)

    events.register_first(event, happen)


@pytest.mark.parametrize("before", [[], [ANN]], ids=["never published", "published"])
@pytest.mark.parametrize("answer", ["lost", "an error of the server"])
def test_a_commit_that_arrived_although_its_answer_was_lost_is_a_commit(
    house: House, before: list[Row], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it sent again, it would be refused, and PyIceberg would remove what the table is made of by then."""
    if before:
        house.publish(*before)
    lakehouse = house.lakehouse
    staged = lakehouse.stage(house.frame(BOB), WALKS, "run")
    network = lakehouse.catalog.glue._endpoint.http_session  # type: ignore[attr-defined]
    send, lost = network.send, list[str]()

    def lose(request: Any) -> Any:
        response = send(request)
        if lost or not request.headers["X-Amz-Target"].endswith((b"CreateTable", b"UpdateTable")):
            return response
        lost.append(request.headers["X-Amz-Target"])
        if answer == "lost":
            raise ConnectionClosedError(endpoint_url=house.aws.endpoint)
        response.status_code, response._content = 500, b"{}"
        return response

    monkeypatch.setattr(network, "send", lose)
    version = lakehouse.publish(staged, {})
    assert version == house.lakehouse.version("walks")
    assert house.rows() == [BOB]
    house.publish(EVE)
    assert house.rows() == [EVE]


def test_files_that_may_be_live_are_never_deleted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks after the request was sent, and stays broken: the next run resolves it."""
    house.publish(ANN)
    lakehouse = house.lakehouse
    staged = lakehouse.stage(house.frame(BOB), WALKS, "run")

    def broken(**_: Any) -> None:
        raise ConnectionClosedError(endpoint_url=house.aws.endpoint)

    events = lakehouse.catalog.glue.meta.events  # type: ignore[attr-defined]
    events.register("after-call.glue.UpdateTable", lambda **_: events.register("before-call.glue", broken))
    events.register("after-call.glue.UpdateTable", broken)
    with pytest.raises(LakehouseError, match="Could not publish walks"):
        lakehouse.publish(staged, {})
    assert house.rows() == [BOB]
    monkeypatch.setattr(staging, "ABANDONED", timedelta(0))
    house.publish(EVE)
    assert house.rows() == [EVE]
    assert staged.directory.name in house.folders  # an older version is made of it


def test_what_a_crashed_run_left_is_removed_once_no_run_can_be_writing_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish(ANN)
    published = house.folders
    crashed = house.stage(BOB).directory.name
    house.stage(EVE).directory.discard()
    assert house.folders == published | {crashed}
    monkeypatch.setattr(staging, "ABANDONED", timedelta(0))
    house.stage(EVE).directory.discard()
    assert house.folders == published
    assert house.rows() == [ANN]


def test_folders_that_no_run_left_are_not_touched(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.publish(ANN)
    house.aws.client("s3").put_object(Bucket=house.bucket, Key=f"prod/{house.database}/walks/data/day=1/x.parquet")
    monkeypatch.setattr(staging, "ABANDONED", timedelta(0))
    house.publish(BOB)
    assert "day=1" in house.folders


def test_files_that_another_engine_s_version_has_taken_over_are_no_leftover(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Athena's INSERT and VACUUM leave: a version that does not say where its files were staged."""
    first = house.publish(ANN)
    table = house.iceberg
    table.append(house.frame(BOB).toArrow().cast(table.schema().as_arrow()))
    table.maintenance.expire_snapshots().by_id(first.snapshot_id).commit()
    monkeypatch.setattr(staging, "ABANDONED", timedelta(0))
    house.stage(EVE).directory.discard()
    # As any reader of Iceberg does; the engine would not read PyIceberg's own files, whose texts are of another kind.
    assert {row["user"] for row in house.iceberg.scan().to_arrow().to_pylist()} == {ANN[0], BOB[0]}


def test_data_whose_table_the_catalog_has_lost_is_no_leftover(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.publish(ANN)
    lost = house.folders
    house.aws.client("glue").delete_table(DatabaseName=house.database, Name="walks")
    monkeypatch.setattr(staging, "ABANDONED", timedelta(0))
    house.stage(BOB).directory.discard()
    assert house.folders == lost


def test_whoever_works_in_another_role_reads_and_writes_in_that_role(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Arrow's client for S3 knows nothing of such a profile, so it is given what boto3 finds."""
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = house.aws.client("iam").create_role(
        RoleName=house.bucket, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": ["s3:*", "glue:*"], "Resource": "*"}
    house.aws.client("iam").put_role_policy(
        RoleName=house.bucket,
        PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    config = tmp_path / "config"
    keys = "".join(f"{name.lower()} = {CREDENTIALS[name]}\n" for name in KEYS)
    config.write_text(f"[profile me]\n{keys}[profile lake]\nrole_arn = {role}\nsource_profile = me\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    for name in KEYS:
        monkeypatch.delenv(name)
    lakehouse = house.lakehouse
    rows = pa.table({"user": ["ann"], "steps": [1]})
    area = lakehouse.staging_area("walks")
    pq.write_table(rows, f"{area.open('run')}/1.parquet".removeprefix("s3://"), filesystem=area._files)
    staged = Staged(WALKS, area, None, tuple(area.data_files()), 1, rows.schema)
    lakehouse.publish(staged, {})
    assert lakehouse.version("walks") is not None
    assert lakehouse.catalog.properties["client.session-token"]


def test_credentials_that_were_renewed_are_used_from_then_on(house: House) -> None:
    import boto3

    house.publish(ANN)
    lakehouse = house.lakehouse
    assert lakehouse.version("walks") is not None
    nothing = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    nobody = house.aws.new_user(json.dumps({"Version": "2012-10-17", "Statement": [nothing]}))
    lakehouse._session = boto3.Session(nobody["AWS_ACCESS_KEY_ID"], nobody["AWS_SECRET_ACCESS_KEY"])
    with pytest.raises(dg.Failure, match="glue:GetDatabase is not allowed"):
        lakehouse.version("walks")


def test_a_data_file_that_was_deleted_behind_the_tables_back_is_missed(house: House) -> None:
    house.publish(ANN)
    [key] = [key for key in house.keys if key.endswith(".parquet")]
    house.aws.client("s3").delete_object(Bucket=house.bucket, Key=key)
    with pytest.raises(LakehouseError, match=f"1 of 1 data files of walks are gone, s3://{house.bucket}/{key}"):
        house.rows()
    house.publish(BOB)
    assert house.rows() == [BOB]


def test_a_table_that_was_never_published_says_so(house: House) -> None:
    assert house.lakehouse.version("walks") is None
    with pytest.raises(LakehouseError, match=f"walks has never been published in s3://{house.bucket}/prod"):
        house.rows()


def test_a_database_that_is_missing_is_made(house: House) -> None:
    lakehouse = GlueLakehouse(root=f"s3://{house.bucket}/prod", namespace=f"{house.database}_new")
    assert lakehouse.version("walks") is None
    house.aws.client("glue").get_database(Name=f"{house.database}_new")


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
    house: House, monkeypatch: pytest.MonkeyPatch, allowed: list[str], missing: str
) -> None:
    house.publish(ANN)
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    for name, value in house.aws.new_user(json.dumps({"Version": "2012-10-17", "Statement": [statement]})).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(dg.Failure) as refused:
        house.publish(BOB)
    monkeypatch.undo()
    assert f"{missing} is not allowed" in str(refused.value.description)
    assert "arn:" not in told_of(refused.value)


def told_of(error: BaseException | None) -> str:
    """What Dagster keeps of an error: its words, and those of its causes."""
    if error is None:
        return ""
    return f"{error} {told_of(error.__cause__ or (None if error.__suppress_context__ else error.__context__))}"


@pytest.mark.slow
def test_of_many_writers_every_commit_is_in_the_history_or_reported_as_a_conflict(
    house: House, rounds: Callable[[int, int], int]
) -> None:
    house.publish(ANN)
    told = publish_at_once(house.lakehouse, rounds(3, 5), rounds(5, 10), house.aws.environment)
    hold_to_the_history(told, house.iceberg)
