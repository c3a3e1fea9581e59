"""The commands in the README's section «On AWS», run by the AWS CLI against the server that stands for AWS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from resources.engines.emr_serverless import SESSION_CONF
from resources.settings import Settings
from tests.infra.stack import for_ministack
from tests.servers.ministack import Aws
from tests.support import readme

DEPLOY, EXPORT, MATERIALIZE, QUERY, LET_IN, LOOK, TEAR_DOWN, REMOVE, LARGER = readme("bash", "On AWS")


STAND_INS = """
sleep() { command sleep 0.3; }
# The server knows neither EMR Serverless nor quotas: the AWS CLI looks whether the call is right, and the application
# has stopped. Where the application alone changes, nothing does.
aws() {
  case "$1 $2" in
    "emr-serverless get-application") echo STOPPED ;;
    "emr-serverless list-sessions") command aws "$@" --generate-cli-skeleton > /dev/null && echo 00g1 ;;
    "cloudformation deploy") command aws "$@" --no-fail-on-empty-changeset ;;
    emr-serverless* | service-quotas*) command aws "$@" --generate-cli-skeleton output > /dev/null ;;
    *) command aws "$@" ;;
  esac
}
"""


class Shell:
    """One terminal in the project's folder: what is exported stays."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    def run(self, commands: str) -> str:
        """Run the commands as they stand, but for waiting, which the server does not need; what they print."""
        script = f"{STAND_INS}\n{commands}\nenv --null > .environment"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        variables = (self.folder / ".environment").read_text().split("\0")
        self.environment = dict(variable.split("=", 1) for variable in variables if "=" in variable)
        return done.stdout


@pytest.fixture
def shell(aws_account: Aws, tmp_path: Path) -> Shell:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "stedi.yaml").write_text(for_ministack())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return Shell(tmp_path, {"PATH": path, "HOME": str(tmp_path), **aws_account.environment})


def test_a_stack_is_deployed_used_shared_and_torn_down_by_the_commands_of_the_readme(
    aws_account: Aws, shell: Shell
) -> None:
    # Longer than a second: the AWS CLI starts ten times.
    shell.run(DEPLOY)
    shell.run(EXPORT)
    settings = Settings.from_environment(shell.environment)
    assert (settings.spark, settings.database, settings.athena_workgroup) == ("emr-serverless", "stedi", "stedi")
    assert settings.emr is not None
    bucket = settings.lakehouse.removeprefix("s3://").removesuffix("/lakehouse")

    s3 = aws_account.client("s3")
    s3.put_object(Bucket=bucket, Key="lakehouse/stedi/machine_learning_curated/1.csv", Body=b"1\n2\n3\n")
    columns = [{"Name": "steps", "Type": "int"}]
    location = {"Columns": columns, "Location": f"{settings.lakehouse}/stedi/machine_learning_curated/"}
    csv = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat"}
    table = {"Name": "machine_learning_curated", "StorageDescriptor": {**location, **csv}}
    aws_account.client("glue").create_table(DatabaseName="stedi", TableInput=table)
    assert shell.run(QUERY).split() == ["steps", "3"]

    iam = aws_account.client("iam")
    for role in ("dagster", "data-scientists", "operators"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    shell.run(LET_IN)
    assert len(iam.list_attached_role_policies(RoleName="dagster")["AttachedPolicies"]) == 1

    shell.run(LOOK)
    shell.run(LARGER)
    conf = Settings.from_environment(shell.environment).spark_conf
    executors = int(conf["spark.dynamicAllocation.maxExecutors"]) * int(conf["spark.executor.cores"])
    (most,) = re.findall(r"MaximumVCpus=(\d+)", LARGER)
    assert executors + int(SESSION_CONF["spark.driver.cores"]) <= int(most)

    shell.run(TEAR_DOWN)
    aws_account.client("glue").get_database(Name="stedi")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] > 0, "the data must stay"
    s3.delete_object(Bucket=bucket, Key="lakehouse/stedi/machine_learning_curated/1.csv")
    shell.run(REMOVE)
    with pytest.raises(ClientError, match="EntityNotFound"):
        aws_account.client("glue").get_database(Name="stedi")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket=bucket)


def test_the_assets_are_made_with_the_same_command_as_everywhere() -> None:
    assert MATERIALIZE in "".join(readme("bash", "Running parts of it"))
