"""The whole graph on AWS: raw files and tables in S3, the catalog in Glue, queries in Athena, on both engines there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from resources.engines.engine import SparkEngine
from resources.files.landing_zone import LandingZone, folder_at
from sample.feeds import write_feeds
from stedi_assets.contracts import ASSETS, TABLES
from stedi_assets.definitions import build_definitions, build_resources
from stedi_assets.evidence import PICTURED, queries
from tests.servers.emr_serverless import APPLICATION
from tests.servers.ministack import Aws
from tests.servers.sessions import ROLE, SessionService
from tests.stedi_assets.counts import COUNTS
from tests.stedi_on_aws import LANDING, StediOnAws
from tests.support import REFERENCE, Stedi, require_reference

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
def stedi_on_aws(tmp_path_factory: pytest.TempPathFactory, aws: Aws, spark: Any) -> StediOnAws:
    return StediOnAws(tmp_path_factory.mktemp("aws"), aws=aws)


SETTINGS = {
    "emr-serverless": {"STEDI_EMR_APPLICATION_ID": APPLICATION, "STEDI_EMR_EXECUTION_ROLE_ARN": ROLE},
    "glue": {"STEDI_GLUE_EXECUTION_ROLE_ARN": ROLE},
}


@pytest.mark.slow
def test_the_reference_data_on_each_service_with_s3_glues_catalog_and_athena(
    stedi_on_aws: StediOnAws, aws: Aws, service: SessionService
) -> None:
    require_reference()
    stedi = stedi_on_aws
    service.elsewhere = aws.endpoint  # Glue's catalog and its sessions have one endpoint
    stedi.environment |= {"STEDI_SOURCE": str(REFERENCE), "STEDI_SPARK": service.API, **SETTINGS[service.API]}
    done = stedi.materialize(resources={"spark": build_resources(stedi.settings)["spark"]})
    assert done.failure == ""
    assert stedi.counts() == COUNTS["customer"]
    (session,) = service.sessions.values()
    assert {done.metadata(table)[service.METADATA] for table in TABLES} == {session.id}
    assert not session.alive
    # Every asset's name in the UI is that of a table in Glue, and the landing tables are external ones.
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    glue = aws.client("glue")
    for name in ASSETS:
        database, _, table = graph.get(dg.AssetKey(name)).metadata["dagster/table_name"].partition(".")
        found = glue.get_table(DatabaseName=database, Name=table)["Table"]
        if name in LANDING:
            assert found["StorageDescriptor"]["Location"].rstrip("/") == f"{stedi.lakehouse.root}/{name}"
        else:
            assert found["Parameters"]["table_type"].lower() == "iceberg"
    # Athena alone answers, and no engine is started for it.
    shown = stedi.materialize("query_evidence", resources={"query": stedi.show_to_athena(), "spark": NoEngine()})
    assert shown.failure == ""
    assert stedi.objects("prod/evidence/") == sorted(f"{name}.png" for name in PICTURED)
    listed = shown.metadata("query_evidence")
    assert "engine" not in listed
    for name in queries():
        assert len(listed[f"query id: {name}"]) == 36
        assert min(listed[f"bytes scanned: {name}"], listed[f"seconds: {name}"]) > 0
    assert listed["customer_landing.png"].endswith(f"/{stedi.bucket}?prefix=prod/evidence/customer_landing.png")
    for name, rows in COUNTS["customer"].items():
        if not name.endswith("_quarantine"):
            assert f"| {name} | {rows} |" in listed["table_counts"]


@pytest.mark.slow
def test_the_embedded_engine_makes_the_same_lakehouse_in_s3_as_in_a_folder(
    stedi_on_aws: StediOnAws, stedi: Stedi
) -> None:
    feeds = stedi.folder / "feeds"
    write_feeds(feeds, customers=10)
    for one in (stedi, stedi_on_aws):
        one.environment["STEDI_SOURCE"] = str(feeds)
        assert one.materialize().failure == ""
        assert one.materialize("accelerometer_landing").metadata("accelerometer_landing")["files unchanged"] > 0
    assert stedi_on_aws.counts() == stedi.counts()
    for table in TABLES:
        assert without_run(table, stedi_on_aws) == without_run(table, stedi)
    for name in LANDING:
        landed = folder_at(str(stedi.folder / "lakehouse")).below(name).files()
        assert stedi_on_aws.objects(f"prod/{name}/") == [file.name for file in landed]


def without_run(table: str, stedi: Stedi) -> list[tuple[Any, ...]]:
    """The table's rows. In quarantine, each ends with the run that read it, which is another one here and there."""
    return [row[:-1] if table.endswith("_quarantine") else row for row in stedi.rows(table)]


def test_a_feed_that_another_machine_took_over_while_it_was_read_is_read_again_before_anything_is_published(
    stedi_on_aws: StediOnAws, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would say of the table that it is made of files that may not be those which were read."""
    stedi, feed, times = stedi_on_aws, "accelerometer", []
    stedi.deliver(feed, [{"user": "ada@example.com", "timestamp": 1655564376361, "x": 1.0, "y": -0.5, "z": 0.25}])
    readable = LandingZone.readable

    def taken_over(zone: LandingZone, *arguments: Any) -> Any:
        times.append(aws)
        if len(times) == 1:
            key = f"prod/landing/.{feed}.lock"
            aws.client("s3").put_object(Bucket=stedi.bucket, Key=key, Body=b"another run's")
        return readable(zone, *arguments)

    monkeypatch.setattr(LandingZone, "readable", taken_over)
    monkeypatch.setattr("resources.files.s3.LASTS", timedelta(seconds=1))
    done = stedi.materialize(f"{feed}_landing", f"{feed}_records", f"{feed}_quarantine")
    (retried,) = [event for event in done.result.all_events if event.is_step_up_for_retry]
    assert "another one has taken over its lock" in str(retried.step_retry_data.error)
    said = " ".join(record.user_message for record in stedi.instance.all_logs(done.result.run_id))
    assert "accelerometer_landing: its lock was taken over from a run of which S3 had heard nothing for 0:00:0" in said
    assert done.failure == ""
    assert len(stedi.lakehouse.history(f"{feed}_records")) == 1


def test_the_sample_is_generated_on_this_machine_and_lands_in_s3(
    stedi_on_aws: StediOnAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(stedi_on_aws.folder))
    stedi_on_aws.environment["STEDI_SOURCE"] = "sample"
    assert stedi_on_aws.materialize("customer_landing").failure == ""
    assert stedi_on_aws.objects("prod/customer_landing/")
