"""What a user reads when AWS refuses: what was tried, what is missing, and never who asked."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from resources.aws import AwsError, client, explained, region
from tests.servers import free_port
from tests.servers.ministack import Aws

ONCE = {"retries": {"total_max_attempts": 1}}


def policy(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def become(monkeypatch: pytest.MonkeyPatch, aws: Aws, *actions: str) -> None:
    """From here on, the process is a user who may do these actions and nothing else."""
    for name, value in aws.new_user(policy(*actions)).items():
        monkeypatch.setenv(name, value)


def said(error: pytest.ExceptionInfo[AwsError]) -> str:
    return str(error.value.description)


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "action"),
    [
        ("glue", "get_table", {"DatabaseName": "stedi", "Name": "customer_landing"}, "glue:GetTable"),
        ("athena", "start_query_execution", {"QueryString": "select 1"}, "athena:StartQueryExecution"),
        ("s3", "list_objects_v2", {"Bucket": "BUCKET"}, "s3:ListBucket"),
        ("s3", "put_object", {"Bucket": "BUCKET", "Key": "k"}, "s3:PutObject"),
        ("s3", "head_object", {"Bucket": "BUCKET", "Key": "k"}, "s3:GetObject"),
    ],
)
def test_access_denied_names_the_missing_action_and_not_who_asked(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, service: str, operation: str, arguments: dict[str, str], action: str
) -> None:
    bucket = aws.new_bucket()
    aws.client("s3").put_object(Bucket=bucket, Key="k")
    become(monkeypatch, aws, "sqs:ListQueues")
    call = getattr(client(service), operation)
    with pytest.raises(AwsError) as denied, explained("do it"):
        call(**{name: value.replace("BUCKET", bucket) for name, value in arguments.items()})
    assert said(denied).startswith(f"Could not do it: {action} is not allowed")
    assert "user" not in said(denied).replace("role or user", "")
    assert denied.value.allow_retries is False
    assert denied.value.__suppress_context__  # Dagster keeps causes, and AWS's own words say who asked
    assert denied.value.__cause__ is None


def test_what_is_allowed_is_done(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = aws.new_bucket()
    become(monkeypatch, aws, "s3:PutObject")
    with explained("write"):
        client("s3").put_object(Bucket=bucket, Key="x", Body=b"png")
    assert aws.client("s3").get_object(Bucket=bucket, Key="x")["Body"].read() == b"png"


def test_credentials_that_aws_does_not_know_are_told_apart_from_denied_ones(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODYKNOWSTHISKEY")
    with pytest.raises(AwsError, match="AWS does not accept the credentials") as unknown, explained("read the table"):
        client("glue").get_databases()
    assert "AKIA" not in said(unknown)


def test_missing_credentials_are_told_with_the_variables_to_set(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AwsError, match=r"no AWS credentials.*AWS_PROFILE, or AWS_ACCESS_KEY_ID"), explained("read"):
        client("s3").list_buckets()


def test_an_unknown_profile_is_told(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(AwsError, match="ProfileNotFound"):
        client("s3")


@pytest.mark.parametrize("service", ["glue", "s3"])
def test_a_missing_region_is_told_with_the_variable_to_set(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(AwsError, match=r"No AWS region is set: set AWS_REGION"):
        client(service)


def test_either_variable_for_the_region_is_heard(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert region() == "eu-west-1"
    assert client("glue").meta.region_name == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    assert region() == os.environ["AWS_DEFAULT_REGION"]


def test_a_service_that_cannot_be_reached_may_be_tried_again(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(AwsError, match=r"http://127.0.0.1:\d+/ cannot be reached") as lost, explained("read the table"):
        client("glue", **ONCE).get_databases()
    assert lost.value.allow_retries is True


def test_other_refusals_are_told_in_the_words_of_aws(aws: Aws) -> None:
    with pytest.raises(AwsError) as refused, explained("read the table t"):
        client("glue").get_table(DatabaseName="nowhere", Name="t")
    assert said(refused).startswith("Could not read the table t: ")
    assert said(refused).endswith("(EntityNotFoundException).")


# No server refuses like this on demand: botocore's own stand-in answers in its place.
@pytest.mark.parametrize(
    ("code", "status", "message", "sentence", "passing"),
    [
        ("ExpiredTokenException", 400, "expired", "the AWS credentials have expired", False),
        ("ThrottlingException", 400, "Rate exceeded", "Rate exceeded (ThrottlingException)", True),
        ("InternalServiceException", 500, "oops", "oops (InternalServiceException)", True),
        (
            "AccessDeniedException",
            400,
            "User: arn:aws:sts::1:assumed-role/r/ada@example.com lacks Lake Formation permissions",
            "GetTable is not allowed: User: (the caller) lacks Lake Formation permissions",
            False,
        ),
        (
            "AccessDeniedException",
            400,
            "User: arn:aws:sts::1:assumed-role/r/ada@example.com is not authorized to perform: glue:GetTable on "
            "resource: arn:aws:glue:us-east-1:1:catalog with an explicit deny in a service control policy",
            "glue:GetTable is not allowed on arn:aws:glue:us-east-1:1:catalog with an explicit deny in a service",
            False,
        ),
    ],
)
def test_what_passes_by_itself_may_be_tried_again_and_nothing_else(
    aws: Aws, code: str, status: int, message: str, sentence: str, passing: bool
) -> None:
    from botocore.stub import Stubber

    glue: Any = client("glue", **ONCE)
    with Stubber(glue) as stub:
        stub.add_client_error("get_table", code, message, http_status_code=status)
        with pytest.raises(AwsError) as refused, explained("read the table"):
            glue.get_table(DatabaseName="stedi", Name="t")
    assert sentence in said(refused)
    assert "ada@example.com" not in said(refused)
    assert refused.value.allow_retries is passing
