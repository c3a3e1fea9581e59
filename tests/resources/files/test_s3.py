"""What S3 is asked, with whose rights, and what it refuses. What it shares with folders is tested beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from s3transfer.exceptions import RetriesExceededError

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone, folder_at
from resources.files.s3 import S3Folder
from tests.resources.files.zones import ONE, THREE, TWO, Zone, contents, put
from tests.servers.ministack import Aws


def client(zone: LandingZone, location: str) -> Any:
    """The zone's own client for that location."""
    folder = zone._at(location, zone.source_access if location == zone.source else "credentials")
    assert isinstance(folder, S3Folder)
    return folder.client()


def calls(zone: LandingZone, location: str) -> list[str]:
    """The operations that the zone asks of S3 through the client of that location, as they happen."""
    seen: list[str] = []
    events = client(zone, location).meta.events
    events.register("before-call.s3", lambda model, **_: seen.append(model.name))
    return seen


def headers(zone: LandingZone, location: str, name: str) -> set[str | None]:
    """The values of that header on every request that the zone sends to that location, as they are sent."""
    seen: set[str | None] = set()
    events = client(zone, location).meta.events
    events.register("before-send.s3", lambda request, **_: seen.add(request.headers.get(name)))
    return seen


@pytest.mark.parametrize(
    ("size", "operation"), [(10, "CopyObject"), (9 << 20, "UploadPartCopy")], ids=["small", "large, in parts"]
)
def test_from_bucket_to_bucket_s3_copies_itself_and_once(cloud: Zone, size: int, operation: str) -> None:
    content = b'{"email": "' + b"a" * size + b'"}\n'
    cloud.deliver("1.json", content)
    here, there = calls(cloud.zone, cloud.zone.root), calls(cloud.zone, cloud.zone.source)
    cloud.sync()
    assert operation in here
    assert cloud.files == {"1.json": content}
    here.clear()
    there.clear()
    assert cloud.sync().unchanged == ["1.json"]
    assert set(there) == {"ListObjectsV2"}
    assert not {"CopyObject", "UploadPartCopy"} & set(here)


@pytest.mark.parametrize(("source", "root"), [("", "/lake"), ("/lake", "")], ids=["from S3", "to S3"])
def test_files_come_from_s3_and_to_it(aws: Aws, tmp_path: Path, source: str, root: str) -> None:
    bucket = f"s3://{aws.new_bucket()}"
    zone = LandingZone(root=bucket if source else f"{tmp_path}{root}", source=bucket if root else f"{tmp_path}{source}")
    put(folder_at(zone.source).below("customers"), "may 1.json", ONE)
    [name] = zone.sync("customer").new
    assert contents(folder_at(zone.root).below("customer_landing")) == {name: ONE}
    assert zone.sync("customer").unchanged == [name]


def test_an_object_that_changes_after_it_was_looked_at_is_not_taken_for_what_was_seen(
    cloud: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.deliver("1.json", ONE)
    take = S3Folder.take

    def meanwhile(*arguments: Any) -> None:
        cloud.deliver("1.json", THREE)
        take(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(S3Folder, "take", meanwhile)
        with pytest.raises(LakehouseError, match=r"customers/1\.json to .* it was replaced meanwhile") as refused:
            cloud.sync()
    assert refused.value.allow_retries
    assert cloud.sync().new == ["1.json"]


def test_an_object_that_cannot_be_read_is_told_and_the_others_are_synced(
    cloud: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.deliver("1.json", ONE)
    cloud.deliver("2.json", TWO)
    source = client(cloud.zone, cloud.zone.source)
    fetch = source.download_fileobj

    def broken(*arguments: Any, **options: Any) -> Any:
        if arguments[1].endswith("2.json"):
            raise RetriesExceededError(OSError("the connection was reset"))
        return fetch(*arguments, **options)

    monkeypatch.setattr(source, "download_fileobj", broken)
    result = cloud.sync()
    assert result.new == ["1.json"]
    assert "cannot be reached" in result.unreadable["2.json"]


@pytest.fixture
def public(cloud: Zone, aws: Aws) -> Zone:
    """A source that everybody may read, and a lakehouse in a bucket that others may not."""
    bucket = cloud.base.removeprefix("s3://")
    allowed = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
    on = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    aws.client("s3").delete_public_access_block(Bucket=bucket)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**allowed, "Resource": on}]})
    aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    cloud.deliver("1.json", ONE)
    return cloud


def test_a_public_bucket_is_read_without_credentials_by_whoever_may_write_to_the_lakehouse_alone(
    public: Zone, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = aws.new_bucket()
    on = [f"arn:aws:s3:::{lake}", f"arn:aws:s3:::{lake}/*"]
    become(
        monkeypatch,
        aws,
        {"Effect": "Allow", "Action": "s3:*", "Resource": on},
        {"Effect": "Deny", "Action": "s3:*", "NotResource": on},
    )
    zone = LandingZone(root=f"s3://{lake}", source=public.zone.source, source_access="anonymous")
    reading, writing = headers(zone, zone.source, "Authorization"), headers(zone, zone.root, "Authorization")
    assert zone.sync("customer").new == ["1.json"]
    assert contents(folder_at(zone.root).below("customer_landing")) == {"1.json": ONE}
    assert reading == {None}
    assert None not in writing


@pytest.mark.parametrize(("access", "payer"), [("credentials", None), ("requester-pays", b"requester")])
def test_whoever_reads_pays_only_where_the_setting_says_so(cloud: Zone, access: str, payer: bytes | None) -> None:
    cloud.deliver("1.json", ONE)
    cloud.access = access
    zone = cloud.zone
    seen = headers(zone, zone.source, "x-amz-request-payer")
    copying = headers(zone, zone.root, "x-amz-request-payer")
    assert cloud.sync().new == ["1.json"]
    assert seen == {payer}
    assert copying == {None, payer}


def become(monkeypatch: pytest.MonkeyPatch, aws: Aws, *statements: dict[str, Any]) -> None:
    """From here on, new clients of this process are those of a user who may do this and nothing else."""
    for name, value in aws.new_user(json.dumps({"Version": "2012-10-17", "Statement": statements})).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("allowed", "missing"),
    [([], "s3:GetObject"), (["s3:GetObject"], "s3:ListBucket"), (["s3:ListBucket", "s3:GetObject"], "s3:PutObject")],
    ids=["nothing", "reading what it knows", "reading only"],
)
def test_access_denied_names_the_missing_action(
    cloud: Zone, aws: Aws, monkeypatch: pytest.MonkeyPatch, allowed: list[str], missing: str
) -> None:
    cloud.deliver("1.json", ONE)
    become(monkeypatch, aws, {"Effect": "Allow", "Action": ["sqs:ListQueues", *allowed], "Resource": "*"})
    with pytest.raises(LakehouseError, match=f"{missing} is not allowed") as refused:
        cloud.sync()
    assert not refused.value.allow_retries


def test_a_picture_in_s3_is_one_to_a_browser(cloud: Zone, aws: Aws) -> None:
    put(cloud.folder, "evidence/customer_trusted.png", b"png")
    bucket = cloud.base.removeprefix("s3://")
    found = aws.client("s3").head_object(Bucket=bucket, Key="evidence/customer_trusted.png")
    assert found["ContentType"] == "image/png"


def test_more_objects_than_one_call_takes_are_removed(cloud: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}.json" for number in range(5)]
    for name in names:
        put(cloud.folder, name, b"1")
    monkeypatch.setattr("resources.files.s3._AT_ONCE", 2)
    cloud.folder.remove(names)
    assert cloud.folder.files() == []
