"""The landing zone in S3 holds what the source delivered, as the one on this machine does."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3transfer.exceptions import RetriesExceededError

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone, folder_at
from resources.files.manifest import SyncResult
from tests.servers.ministack import Aws

ANN, BOB, EVE = (f'{{"email": "{name}@x.se"}}\n'.encode() for name in ("ann", "bob", "eve"))
PRETTY = b'[\n  {\n    "email": "ann@x.se"\n  }\n]\n'


@dataclass
class Cloud:
    """A bucket with a source in it, and the landing zone of the feed `customer` in another."""

    aws: Aws
    source: str
    lake: str
    access: str = "credentials"

    @property
    def zone(self) -> LandingZone:
        return LandingZone(root=f"s3://{self.lake}/prod", source=f"s3://{self.source}", source_access=self.access)

    def deliver(self, name: str, content: bytes) -> None:
        self.aws.client("s3").put_object(Bucket=self.source, Key=f"customers/{name}", Body=content)

    def withdraw(self, name: str) -> None:
        self.aws.client("s3").delete_object(Bucket=self.source, Key=f"customers/{name}")

    def sync(self) -> SyncResult:
        return self.zone.sync("customer")

    @property
    def landed(self) -> dict[str, bytes]:
        return contents(self.aws, self.lake, "prod/customer_landing/")


def contents(aws: Aws, bucket: str, prefix: str) -> dict[str, bytes]:
    s3 = aws.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]
    return {key.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def calls(zone: LandingZone, location: str) -> list[str]:
    """The operations that the zone asks of S3 through the client of that location, as they happen."""
    seen: list[str] = []
    folder: Any = zone._at(location, zone.source_access if location == zone.source else "credentials")
    folder.client().meta.events.register("before-call.s3", lambda model, **_: seen.append(model.name))
    return seen


@pytest.fixture
def cloud(aws: Aws) -> Cloud:
    return Cloud(aws, aws.new_bucket(), aws.new_bucket())


def test_every_object_of_the_source_lands_byte_for_byte(cloud: Cloud) -> None:
    zipped = gzip.compress(EVE)
    cloud.deliver("1.json", ANN)
    cloud.deliver("2022/may/2.json.gz", zipped)
    cloud.deliver("notes.txt", BOB)
    landing = cloud.sync()
    assert landing.new == ["1.json", "2022/may/2.json.gz"]
    assert cloud.landed == {"1.json": ANN, "2022/may/2.json.gz": zipped}
    assert [text.path for text in cloud.zone.readable("customer", landing)] == [
        f"s3://{cloud.lake}/prod/customer_landing/1.json",
        f"s3://{cloud.lake}/prod/customer_landing/2022/may/2.json.gz",
    ]
    assert cloud.zone.uri("customer") == f"s3://{cloud.lake}/prod/customer_landing/"


@pytest.mark.parametrize(
    ("size", "operation"), [(10, "CopyObject"), (9 << 20, "UploadPartCopy")], ids=["small", "large, in parts"]
)
def test_from_bucket_to_bucket_s3_copies_itself(cloud: Cloud, size: int, operation: str) -> None:
    content = b'{"email": "' + b"a" * size + b'"}\n'
    cloud.deliver("1.json", content)
    zone = cloud.zone
    seen = calls(zone, zone.root)
    zone.sync("customer")
    assert operation in seen
    assert cloud.landed == {"1.json": content}
    sent = contents(cloud.aws, cloud.lake, "prod/landing/customer/")
    assert set(sent) - {"manifest.json"} == {
        f"{file.sha256[:32]}.json" for file in zone.landed("customer").files if size > 10
    }


def test_what_was_brought_is_neither_read_nor_copied_again(cloud: Cloud) -> None:
    cloud.deliver("1.json", ANN)
    cloud.sync()
    zone = cloud.zone
    here, there = calls(zone, zone.root), calls(zone, zone.source)
    assert zone.sync("customer").unchanged == ["1.json"]
    assert set(there) == {"ListObjectsV2"}
    assert "CopyObject" not in here


def test_an_object_of_the_same_size_and_another_content_is_brought_anew(cloud: Cloud) -> None:
    cloud.deliver("1.json", ANN)
    cloud.sync()
    cloud.deliver("1.json", EVE)
    assert cloud.sync().replaced == ["1.json"]
    assert cloud.landed == {"1.json": EVE}


def test_an_object_that_changes_after_it_was_looked_at_is_not_taken_for_what_was_seen(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.deliver("1.json", ANN)
    take = LandingZone._take

    def meanwhile(*arguments: Any) -> None:
        cloud.deliver("1.json", EVE)
        take(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LandingZone, "_take", meanwhile)
        with pytest.raises(LakehouseError, match=r"customers/1\.json to .* it was replaced meanwhile") as refused:
            cloud.sync()
    assert refused.value.allow_retries
    assert cloud.sync().new == ["1.json"]
    assert cloud.landed == {"1.json": EVE}


def test_what_no_engine_reads_line_by_line_is_rewritten_beside(cloud: Cloud) -> None:
    cloud.deliver("1.json", PRETTY)
    landing = cloud.sync()
    [text] = cloud.zone.readable("customer", landing)
    assert landing.rewritten == ["1.json"]
    assert cloud.landed == {"1.json": PRETTY}
    name = text.path.removeprefix(f"s3://{cloud.lake}/")
    [lines] = contents(cloud.aws, cloud.lake, name).values()
    assert [json.loads(line) for line in lines.splitlines() if line] == [{"email": "ann@x.se"}]


def test_an_object_that_cannot_be_read_is_named_and_stops_no_other(cloud: Cloud) -> None:
    cloud.deliver("1.json", ANN)
    cloud.deliver("2.json.gz", b"no gzip")
    landing = cloud.sync()
    assert list(landing.unreadable) == ["2.json.gz"]
    assert cloud.landed == {"1.json": ANN}


def test_a_connection_that_breaks_off_for_good_is_told_as_one_that_stops_no_other_object(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.deliver("1.json", ANN)
    cloud.deliver("2.json", BOB)
    zone = cloud.zone
    source: Any = zone._at(zone.source, zone.source_access)

    def broken(*arguments: Any, **options: Any) -> Any:
        if arguments[1].endswith("2.json"):
            raise RetriesExceededError(OSError("the connection was reset"))
        return fetch(*arguments, **options)

    fetch = source.client().download_fileobj
    monkeypatch.setattr(source.client(), "download_fileobj", broken)
    landing = zone.sync("customer")
    assert landing.new == ["1.json"]
    assert "cannot be reached" in landing.unreadable["2.json"]


def test_a_folder_is_uploaded(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "customers" / "may 1.json"
    path.parent.mkdir()
    path.write_bytes(ANN)
    zone = LandingZone(root=f"s3://{cloud.lake}/prod", source=str(tmp_path))
    [name] = zone.sync("customer").new
    assert cloud.landed == {name: ANN}
    assert zone.sync("customer").unchanged == [name]


def test_objects_come_to_a_lakehouse_on_this_machine_too(cloud: Cloud, tmp_path: Path) -> None:
    cloud.deliver("1.json", ANN)
    zone = LandingZone(root=str(tmp_path), source=f"s3://{cloud.source}")
    assert zone.sync("customer").new == ["1.json"]
    assert (tmp_path / "customer_landing" / "1.json").read_bytes() == ANN
    assert zone.sync("customer").unchanged == ["1.json"]


def headers(zone: LandingZone, location: str, name: str) -> set[str | None]:
    """The values of that header on every request that the zone sends to that location, as they are sent."""
    seen: set[str | None] = set()
    folder: Any = zone._at(location, zone.source_access if location == zone.source else "credentials")
    folder.client().meta.events.register("before-send.s3", lambda request, **_: seen.add(request.headers.get(name)))
    return seen


def test_a_public_bucket_is_read_without_credentials(cloud: Cloud) -> None:
    cloud.aws.client("s3").delete_public_access_block(Bucket=cloud.source)
    cloud.aws.client("s3").put_bucket_policy(Bucket=cloud.source, Policy=public(cloud.source))
    cloud.deliver("1.json", ANN)
    cloud.access = "anonymous"
    zone = cloud.zone
    reading, writing = headers(zone, zone.source, "Authorization"), headers(zone, zone.root, "Authorization")
    assert zone.sync("customer").new == ["1.json"]
    assert cloud.landed == {"1.json": ANN}
    assert reading == {None}
    assert None not in writing


def test_what_everybody_may_read_is_brought_by_whoever_may_write_to_the_lakehouse_alone(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.aws.client("s3").delete_public_access_block(Bucket=cloud.source)
    cloud.aws.client("s3").put_bucket_policy(Bucket=cloud.source, Policy=public(cloud.source))
    cloud.deliver("1.json", ANN)
    cloud.access = "anonymous"
    lake = [f"arn:aws:s3:::{cloud.lake}", f"arn:aws:s3:::{cloud.lake}/*"]
    statements = [
        {"Effect": "Allow", "Action": "s3:*", "Resource": lake},
        {"Effect": "Deny", "Action": "s3:*", "NotResource": lake},
    ]
    for name, value in cloud.aws.new_user(json.dumps({"Version": "2012-10-17", "Statement": statements})).items():
        monkeypatch.setenv(name, value)
    assert cloud.sync().new == ["1.json"]
    assert cloud.landed == {"1.json": ANN}


@pytest.mark.parametrize(("access", "payer"), [("credentials", None), ("requester-pays", b"requester")])
def test_whoever_reads_pays_only_where_the_setting_says_so(cloud: Cloud, access: str, payer: bytes | None) -> None:
    cloud.deliver("1.json", ANN)
    cloud.access = access
    zone = cloud.zone
    seen = headers(zone, zone.source, "x-amz-request-payer")
    copying = headers(zone, zone.root, "x-amz-request-payer")
    assert zone.sync("customer").new == ["1.json"]
    assert seen == {payer}
    assert copying == {None, payer}


def public(bucket: str) -> str:
    allowed = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
    on = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return json.dumps({"Version": "2012-10-17", "Statement": [{**allowed, "Resource": on}]})


@pytest.mark.parametrize(
    ("allowed", "missing"),
    [([], "s3:GetObject"), (["s3:GetObject"], "s3:ListBucket"), (["s3:ListBucket", "s3:GetObject"], "s3:PutObject")],
    ids=["nothing", "reading what it knows", "reading only"],
)
def test_access_denied_names_the_missing_action(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, allowed: list[str], missing: str
) -> None:
    cloud.deliver("1.json", ANN)
    statement = {"Effect": "Allow", "Action": ["sqs:ListQueues", *allowed], "Resource": "*"}
    for name, value in cloud.aws.new_user(json.dumps({"Version": "2012-10-17", "Statement": [statement]})).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LakehouseError) as refused:
        cloud.sync()
    assert missing in str(refused.value.description)


def test_a_source_without_the_feed_says_where_it_looked(cloud: Cloud) -> None:
    with pytest.raises(
        LakehouseError, match=rf"in s3://{cloud.source}: looked for a folder customer/landing or customers"
    ):
        cloud.sync()


def test_a_lakehouse_is_no_source_of_itself(cloud: Cloud) -> None:
    zone = LandingZone(root=f"s3://{cloud.lake}", source=f"s3://{cloud.lake}")
    with pytest.raises(LakehouseError, match="into a part of itself"):
        zone.sync("customer")


Step = tuple[str, str, bytes]
steps = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "deliver", "withdraw"]),
        st.sampled_from(["1.json", "2.json", "a b/3.json", "4.json.gz"]),
        st.sampled_from([ANN, BOB, PRETTY, b"", b"\xff\n"]),
    ),
    max_size=6,
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=1, max_size=3))
def test_in_s3_and_on_this_machine_the_same_deliveries_land_alike(
    aws: Aws, tmp_path_factory: pytest.TempPathFactory, deliveries: list[list[Step]]
) -> None:
    folder = tmp_path_factory.mktemp("zones")
    cloud = Cloud(aws, aws.new_bucket(), aws.new_bucket())
    local = LandingZone(root=str(folder / "lake"), source=str(folder / "source"))
    for delivery in [[("deliver", "0.json", EVE)], *deliveries]:
        for what, name, content in delivery:
            body = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
            path = folder / "source" / "customers" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if what == "deliver":
                path.write_bytes(body)
                cloud.deliver(name, body)
            else:
                path.unlink(missing_ok=True)
                cloud.withdraw(name)
        assert summary(cloud.sync()) == summary(local.sync("customer"))
    for part in ("customer_landing", "landing/customer"):
        here = folder_at(str(folder / "lake")).below(part)
        there = contents(aws, cloud.lake, f"prod/{part}/")
        names = {file.name: file.open().read() for file in here.files()}
        assert names.keys() == there.keys()
        assert {name: names[name] for name in names if name != "manifest.json"} == {
            name: there[name] for name in there if name != "manifest.json"
        }


def summary(landing: SyncResult) -> tuple[object, ...]:
    files = [(file.name, file.sha256, file.size, file.shape) for file in landing.files]
    return files, landing.new, landing.replaced, landing.unchanged, landing.duplicates, landing.rewritten
