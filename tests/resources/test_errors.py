"""What is refused is a sentence: what was tried, what is wrong, what to do; never a row, and never who asked."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from resources.aws import client
from resources.errors import LakehouseError, query_error, translate_errors, translated
from tests.servers import free_port
from tests.servers.ministack import Aws

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ONCE = {"retries": {"total_max_attempts": 1}}


def told(error: Exception) -> LakehouseError:
    with pytest.raises(LakehouseError) as raised, translate_errors("stage walks", "/lake"):
        raise error
    assert raised.value.__cause__ is None  # Dagster keeps causes, which may quote a row, or say who asked
    assert raised.value.__suppress_context__
    return raised.value


def test_what_is_a_sentence_already_or_nobody_refused_is_left_as_it_is(spark: SparkSession) -> None:
    for error in (LakehouseError("mine"), dg.Failure("mine"), KeyError("mine"), AssertionError("mine")):
        assert translated(error, "look") is None
        with pytest.raises(type(error), match="mine") as raised, translate_errors("look"):
            raise error
        assert raised.value is error
    for query in ("select raise_error('no')", "select nothing"):
        with pytest.raises(Exception, match=r"no|nothing") as left, translate_errors("look", "/lake"):
            spark.sql(query).collect()
        assert not isinstance(left.value, LakehouseError)


REFUSED = {
    errno.ENOSPC: "Make room in /lake, and run it again",
    errno.EDQUOT: "Make room in /lake, and run it again",
    errno.EACCES: "Give the user that runs Dagster the right to read and write in /lake",
    errno.EPERM: "Give the user that runs Dagster the right to read and write in /lake",
    errno.EROFS: "Set STEDI_LAKEHOUSE to a folder that can be written",
    errno.EIO: "Look at /lake",
}


@pytest.mark.parametrize(("number", "remedy"), REFUSED.items(), ids=errno.errorcode.get)
def test_what_the_operating_system_refuses_is_told(number: int, remedy: str) -> None:
    error = OSError(number, os.strerror(number), "/lake/x")
    sentence = f"Could not stage walks: [Errno {number}] {os.strerror(number)}: '/lake/x'. {remedy}."
    assert (told(error).description, told(error).allow_retries) == (sentence, False)


def test_what_an_engine_was_refused_is_told_without_what_is_around_it() -> None:
    """That is a trace, and may be a row."""
    from pyspark.errors import PySparkException

    java = "Job aborted\n  java.io.IOException: ann@example.org: No space left on device\n\tat java.base/x"
    assert told(PySparkException(java)).description == (
        "Could not stage walks: No space left on device. Make room in /lake, and run it again."
    )


DATABASE = {
    "database is locked": "another process holds the catalog: wait for it to end, and run it again",
    "attempt to write a readonly database": "the right to write catalog.db and its folder",
    "unable to open database file": "the right to write catalog.db and its folder",
    "database or disk is full": "make room there, and run it again",
    "database disk image is malformed": "catalog.db is damaged: put a copy of it back",
    "file is not a database": "catalog.db is damaged: put a copy of it back",
    "disk I/O error": "look at /lake",
}


@pytest.mark.parametrize(("said", "remedy"), DATABASE.items())
def test_what_the_catalog_refuses_is_told_without_the_query(said: str, remedy: str) -> None:
    from sqlalchemy.exc import OperationalError

    error = told(OperationalError("SELECT secret", {"name": "secret"}, Exception(said)))
    sentence = str(error.description)
    assert sentence.startswith(f"Could not stage walks: the catalog in /lake says «{said}». What to do: ")
    assert remedy in sentence
    assert "secret" not in sentence
    assert error.allow_retries == ("locked" in said)


# AWS


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
    statement = {"Effect": "Allow", "Action": ["sqs:ListQueues"], "Resource": "*"}
    for name, value in aws.new_user(json.dumps({"Version": "2012-10-17", "Statement": [statement]})).items():
        monkeypatch.setenv(name, value)
    call = getattr(client(service), operation)
    with pytest.raises(LakehouseError) as denied, translate_errors("do it"):
        call(**{name: value.replace("BUCKET", bucket) for name, value in arguments.items()})
    sentence = str(denied.value.description)
    assert sentence.startswith(f"Could not do it: {action} is not allowed")
    assert "user" not in sentence.replace("role or user", "")
    assert denied.value.allow_retries is False


@pytest.mark.parametrize(
    ("environment", "sentence", "retry"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIANOBODYKNOWSTHISKEY"}, r"AWS does not accept the credentials \(\w+\)", False),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "no AWS credentials.*AWS_PROFILE, or AWS_ACCESS_KEY_ID",
            False,
        ),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:PORT"}, r"http://127.0.0.1:\d+/ cannot be reached", True),
        ({}, r"Could not read the table: .*\(EntityNotFoundException\)\.\Z", False),
    ],
    ids=["unknown credentials", "none", "no network", "AWS's own words"],
)
def test_what_else_aws_refuses_is_told_apart(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], sentence: str, retry: bool
) -> None:
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value.replace("PORT", str(free_port())))
    with pytest.raises(LakehouseError, match=sentence) as refused, translate_errors("read the table"):
        client("glue", **ONCE).get_table(DatabaseName="nowhere", Name="t")
    assert "AKIA" not in str(refused.value.description)
    assert refused.value.allow_retries is retry


# No server refuses like this on demand: botocore's own error stands for it.
@pytest.mark.parametrize(
    ("code", "status", "message", "sentence", "retry"),
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
    code: str, status: int, message: str, sentence: str, retry: bool
) -> None:
    from botocore.exceptions import ClientError

    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = told(ClientError(response, "GetTable"))
    assert sentence in str(error.description)
    assert "ada@example.com" not in str(error.description)
    assert error.allow_retries is retry


@pytest.mark.parametrize(
    ("said", "sentence", "retry"),
    [
        ("AWS Error ACCESS_DENIED during PutObject operation: no", "s3:PutObject is not allowed", False),
        ("AWS Error SLOW_DOWN during PutObject operation: wait", "wait (SlowDown)", True),
        ("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 28", "28 (NetworkConnection)", True),
        ("AWS Error INTERNAL_FAILURE during GetObject operation: oops", "oops (InternalFailure)", True),
        ("AWS Error SERVICE_UNAVAILABLE during GetObject operation: oops", "oops (ServiceUnavailable)", True),
        ("AWS Error REQUEST_TIMEOUT during PutObject operation: idle", "idle (RequestTimeout)", True),
        ("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: no body", "no body (Unknown)", True),
        ("AWS Error UNKNOWN (HTTP status 301) during HeadObject operation: no body", "no body (Unknown)", False),
    ],
)
def test_what_arrow_is_refused_by_s3_is_told_as_boto3_tells_it(said: str, sentence: str, retry: bool) -> None:
    error = told(OSError(f"When writing key 'x' in bucket 'y': {said}"))
    assert (sentence in str(error.description), error.allow_retries) == (True, retry)


@pytest.mark.parametrize(
    "lost", [ConnectionResetError(errno.ECONNRESET, "reset"), TimeoutError(errno.ETIMEDOUT, "late")]
)
def test_a_lost_connection_may_be_tried_again(lost: OSError) -> None:
    assert told(lost).allow_retries is True


def test_a_query_that_lost_its_connection_to_s3_may_be_tried_again() -> None:
    from pyspark.errors import PySparkException

    lost = "[UNKNOWN] object store error: Generic S3 error: ann@example.org: connection reset by peer"
    errors = [query_error(PySparkException(said)) for said in (lost, "[UNKNOWN] division by zero")]
    assert [error.allow_retries for error in errors] == [True, False]
    assert "ann@" not in str(errors[0].description)
