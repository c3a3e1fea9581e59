"""MiniStack: S3, the Glue Data Catalog, Athena and IAM, in one process of its own.

Why this one: it refuses a commit to a Glue table that was changed meanwhile (optimistic locking), with DuckDB beside
it really executes Athena's DDL and queries over the files in S3, and it holds calls to IAM policies. Moto does none
of the three. It pins botocore, hence the environment of its own (`make test` builds it).

What it does not do: Athena types come from the files and not from the DDL's columns and SerDe properties; a
malformed line of JSON fails the query; Athena reads no Iceberg table (lay a Parquet table over its files instead); a
stopped query runs on, and its state is overwritten when it ends. `SELECT sleep_ms(2000)` is a query that takes long.
What S3 itself does and it does not is put before it in `ministack_front.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import CREDENTIALS, free_port, running

PYTHON = Path(__file__).parents[2] / ".venv-ministack" / "bin" / "python"
FRONT = Path(__file__).with_name("ministack_front.py")


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """The endpoint's URL; what the server prints and keeps goes to `folder`."""
    port = free_port()
    settings = {
        **CREDENTIALS,  # whoever has these is the account's root, and may do everything
        "AUTH": "true",
        "ATHENA_ENGINE": "duckdb",  # without DuckDB it would answer with made-up values: let it fail then
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_DATA_DIR": str(folder / "s3"),
        "TMPDIR": str(folder),
    }
    with running([str(PYTHON), "-P", str(FRONT)], port, folder / "ministack.log", settings):
        yield f"http://127.0.0.1:{port}"


def using(endpoint: str) -> dict[str, str]:
    """The environment in which clients talk to this endpoint as the account's root.

    boto3 needs no more. PyArrow (26) reads no endpoint from the environment: it has to be given one.
    """
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_S3": endpoint, "AWS_ALLOW_HTTP": "true"}


@dataclass(frozen=True)
class Aws:
    """An AWS account to test with."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs to be told."""
        return using(self.endpoint)

    def client(self, service: str) -> Any:
        """A boto3 client of the account's root, whatever the environment says."""
        import boto3

        return boto3.client(
            service,
            region_name=CREDENTIALS["AWS_REGION"],
            endpoint_url=self.endpoint,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def new_bucket(self) -> str:
        """The name of an empty bucket of the caller's own."""
        name = f"stedi-{uuid.uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    def new_database(self) -> str:
        """The name of an empty Glue database of the caller's own."""
        name = f"stedi_{uuid.uuid4().hex[:12]}"
        self.client("glue").create_database(DatabaseInput={"Name": name})
        return name

    def new_workgroup(self) -> str:
        """The name of an Athena workgroup of the caller's own, whose results go to a bucket of their own."""
        name = f"stedi-{uuid.uuid4().hex[:12]}"
        results = {"OutputLocation": f"s3://{self.new_bucket()}/results/"}
        self.client("athena").create_work_group(Name=name, Configuration={"ResultConfiguration": results})
        return name

    def new_user(self, policy: str) -> Mapping[str, str]:
        """The environment of a user to whom this policy (JSON) applies, and nothing else."""
        name = f"user-{uuid.uuid4().hex[:12]}"
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        secret = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        return {**self.environment, **secret}
