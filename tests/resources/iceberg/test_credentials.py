"""Keys are rotated while a table is computed or checked: whatever is done after that is done with the new ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.files.s3 import S3Folder
from tests.resources.iceberg.house import BOB, WALKS, GlueHouse

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def by_environment(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """As a scheduler does that renews what it gives to its workers."""
    for name in KEYS:
        patch.setenv(name, keys[name])


def by_file(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """As people and tools do that sign in for an hour at a time."""
    (folder / "credentials").write_text("\n".join(["[default]", *(f"{name.lower()} = {keys[name]}" for name in KEYS)]))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))


def by_session(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """As a role does, whose keys botocore renews before they end."""
    ends = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    session = {"Version": 1, "AccessKeyId": keys[KEYS[0]], "SecretAccessKey": keys[KEYS[1]], "Expiration": ends}
    (folder / "session.json").write_text(json.dumps(session))
    (folder / "config").write_text(f"[default]\ncredential_process = cat {folder}/session.json\n")
    patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


@pytest.fixture(params=[by_environment, by_file, by_session], ids=lambda way: way.__name__)
def rotate(
    request: pytest.FixtureRequest, glue_house: GlueHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Gives this process other keys, and lets AWS accept the former ones no more."""
    iam, user, former = glue_house.aws.client("iam"), glue_house.bucket, list[str]()
    iam.create_user(UserName=user)
    everything = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}, "Version": "2012-10-17"}
    iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=json.dumps(everything))

    def rotate() -> None:
        key = iam.create_access_key(UserName=user)["AccessKey"]
        keys = dict(zip(KEYS, (key["AccessKeyId"], key["SecretAccessKey"]), strict=True))
        request.param(keys, tmp_path, monkeypatch)
        for old in former:
            iam.delete_access_key(UserName=user, AccessKeyId=old)
        former[:] = [key["AccessKeyId"]]

    for name in KEYS:
        monkeypatch.delenv(name)
    rotate()
    return rotate


@pytest.fixture
def rotated_while_it_computes(
    rotate: Callable[[], None], glue_house: GlueHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine with keys of its own, and long work."""

    def write(frame: Any, path: str, taken: str | None) -> None:
        rows = BytesIO()
        pq.write_table(pa.table({"user": ["bob"], "steps": [2]}), rows)
        glue_house.write(f"data/{path.rpartition('/')[2]}/part-0.parquet", rows.getvalue())
        rotate()

    monkeypatch.setattr("resources.iceberg.lakehouse.write", write)


@pytest.mark.usefixtures("rotated_while_it_computes")
def test_a_version_is_published_though_the_keys_were_rotated_meanwhile(
    glue_house: GlueHouse, rotate: Callable[[], None]
) -> None:
    lakehouse = glue_house.lakehouse
    for _ in range(2):
        with lakehouse.stage([glue_house.frame(BOB)], WALKS, "run") as staged:
            rotate()  # checks may take long, too
            lakehouse.publish(staged, {})
    rotate()
    assert lakehouse.preview("walks", lakehouse.version("walks").snapshot_id, ["user"], 2) == [{"user": "bob"}]


@pytest.mark.usefixtures("rotated_while_it_computes")
def test_a_version_that_is_not_published_is_removed_though_the_keys_were_rotated_meanwhile(
    glue_house: GlueHouse, rotate: Callable[[], None]
) -> None:
    before = glue_house.paths
    with glue_house.lakehouse.stage([glue_house.frame(BOB)], WALKS, "run"):
        assert glue_house.paths > before
        rotate()
    assert glue_house.paths == before


def test_a_client_that_was_made_before_uses_the_new_keys(glue_house: GlueHouse, rotate: Callable[[], None]) -> None:
    folder = S3Folder.at(f"s3://{glue_house.bucket}/feed", "own")
    assert folder.files() == []
    rotate()
    assert folder.files() == []


ENGINE = """
import sys
from contextlib import closing
from resources.engines.embedded import EmbeddedSpark
from resources.errors import LakehouseError
from resources.iceberg.catalogs import GlueLakehouse
from tests.resources.iceberg.house import BOB, WALKS

lakehouse = GlueLakehouse(root=sys.argv[1], namespace=sys.argv[2])
with closing(EmbeddedSpark()) as engine:
    def publish():
        frame = engine.spark_session.createDataFrame([BOB], "user string, steps bigint")
        with engine.at_work(), lakehouse.stage([frame], WALKS, "run") as staged:
            lakehouse.publish(staged, {})

    def read():
        with engine.at_work():
            lakehouse.read(engine.spark_session, WALKS)[0].collect()

    publish()
    print("published", flush=True)
    input()
    for work in (publish, read):
        try:
            work()
        except LakehouseError as error:
            print(error.allow_retries, error.description)
"""


@pytest.mark.parametrize("rotate", [by_file], ids=["by_file"], indirect=True)
def test_an_engine_that_keeps_its_keys_says_that_the_next_run_takes_the_new_ones(
    glue_house: GlueHouse, rotate: Callable[[], None]
) -> None:
    command = [sys.executable, "-c", ENGINE, glue_house.lakehouse.root, glue_house.database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin
        assert run.stdout
        assert run.stdout.readline() == "published\n"
        before = glue_house.paths
        rotate()
        told = run.communicate("\n")[0].splitlines()
    for sentence, code in zip(told, ("InvalidAccessKeyId", "403 Forbidden"), strict=True):
        assert sentence.startswith(f"False S3 refuses the engine's keys ({code}). ")
        assert "start the run again; it takes the new ones" in sentence
    assert glue_house.paths == before
