"""Keys are rotated while a table is computed or checked: whatever is done after that is done with the new ones."""

from __future__ import annotations

import json
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
