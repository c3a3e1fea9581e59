"""What S3 is asked, with whose rights, and what it refuses. What it shares with folders is tested beside."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody
from s3transfer.exceptions import RetriesExceededError

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone, folder_at
from resources.files.s3 import S3Folder
from tests.resources.files.zones import ONE, THREE, TWO, Zone, contents, put, sync
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


@pytest.mark.parametrize(("at_once", "operation"), [(9 << 20, "CopyObject"), (8 << 20, "UploadPartCopy")])
def test_from_bucket_to_bucket_s3_copies_itself_and_once_in_parts_where_it_must(
    cloud: Zone, monkeypatch: pytest.MonkeyPatch, at_once: int, operation: str
) -> None:
    monkeypatch.setattr("resources.files.s3._WHOLE", at_once)
    size = (9 << 20) - 20
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


def test_a_new_object_costs_three_requests_and_one_that_was_there_before_none(cloud: Zone) -> None:
    """2,000 objects took 12,000 requests, and the engine that opened the 100 of the next day's by itself, 800."""
    seen = [calls(cloud.zone, cloud.zone.root), calls(cloud.zone, cloud.zone.source)]
    numbers = iter(range(100))

    def cost(new: int) -> Counter[str]:
        for _, number in zip(range(new), numbers, strict=False):
            cloud.deliver(f"{number}.json", ONE.replace(b"ann", str(number).encode()))
        for operations in seen:
            operations.clear()
        with cloud.zone.lock("customer", print):
            result = cloud.zone.sync("customer")
            fresh = [file for file in result.files if file.name in result.new]
            with cloud.zone.readable("customer", fresh) as texts:
                assert [text.file for text in texts] == [None] * bool(new)
        return Counter(operation for operations in seen for operation in operations)

    cost(2)
    few, many, none = cost(3), cost(13), cost(0)
    assert many - few == {"GetObject": 2 * 10, "CopyObject": 10}
    assert "HeadObject" not in few
    assert none <= few
    assert not {"CopyObject", "DeleteObjects"} & set(none)


@pytest.mark.parametrize(("source", "root"), [("", "/lake"), ("/lake", "")], ids=["from S3", "to S3"])
def test_files_come_from_s3_and_to_it(aws: Aws, tmp_path: Path, source: str, root: str) -> None:
    bucket = f"s3://{aws.new_bucket()}"
    zone = LandingZone(root=bucket if source else f"{tmp_path}{root}", source=bucket if root else f"{tmp_path}{source}")
    put(folder_at(zone.source).below("customers"), "may 1.json", ONE)
    [name] = sync(zone).new
    assert contents(folder_at(zone.root).below("customer_landing")) == {name: ONE}
    assert sync(zone).unchanged == [name]


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


def test_an_object_that_breaks_off_is_fetched_again_and_one_that_cannot_be_read_is_told(
    cloud: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.deliver("1.json", ONE)
    cloud.deliver("2.json", TWO)
    source = client(cloud.zone, cloud.zone.source)
    fetch, fetch_again, asked = source.get_object, source.download_fileobj, set[str]()

    def break_off(**options: Any) -> Any:
        answer, again = fetch(**options), options["Key"] in asked
        asked.add(options["Key"])
        # It is shorter when it is fetched again.
        return answer if again else {**answer, "Body": StreamingBody(BytesIO(3 * ONE), len(4 * ONE))}

    def broken(*arguments: Any, **options: Any) -> Any:
        if arguments[1].endswith("2.json"):
            raise RetriesExceededError(OSError("the connection was reset"))
        return fetch_again(*arguments, **options)

    monkeypatch.setattr(source, "get_object", break_off)
    monkeypatch.setattr(source, "download_fileobj", broken)
    result = cloud.sync()
    assert result.new == ["1.json"]
    assert cloud.files == {"1.json": ONE}
    assert "cannot be reached" in result.unreadable["2.json"]
    asked.clear()
    with cloud.zone._at(cloud.zone.source).open("customers/1.json") as stream:
        assert stream.read() == ONE


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
    assert sync(zone).new == ["1.json"]
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
    [([], "s3:PutObject"), (["s3:PutObject"], "s3:ListBucket"), (["s3:PutObject", "s3:ListBucket"], "s3:GetObject")],
    ids=["nothing", "writing only", "not reading"],
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
    monkeypatch.setattr("resources.files.s3._REMOVED_AT_ONCE", 2)
    cloud.folder.remove(names)
    assert cloud.folder.files() == []
