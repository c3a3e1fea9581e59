"""Dagster on ECS: what `deploy/ecs.yaml` promises, and a run that outlives the container from which it was started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint_file

from resources.settings import NAMES
from tests.deploy.conftest import ECS, OnEcs
from tests.infra.stack import template
from tests.servers import free_port, running
from tests.support import ROOT

DEPLOY = ROOT / "deploy"
README = (DEPLOY / "README.md").read_text()
BIN = Path(sys.executable).parent
STACK = template(ECS)
RESOURCES = STACK["Resources"]
CONTAINERS = {
    container["Name"]: container
    for task in ("ServiceTask", "RunTask")
    for container in RESOURCES[task]["Properties"]["ContainerDefinitions"]
}


def environment(container: str) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in CONTAINERS[container]["Environment"]}


def test_cloudformation_knows_every_property_and_iam_every_action() -> None:
    config = ManualArgs(regions=["us-east-1", "eu-central-1"])
    assert [str(match) for match in lint_file(ECS, config=config)] == []


def test_the_lakehouses_stack_has_what_this_one_asks_for_by_the_same_names() -> None:
    outputs = template()["Outputs"]
    assert set(outputs) <= set(STACK["Parameters"])
    assert (outputs["Key"]["Condition"], outputs["Key"]["Value"]) == ("HasKey", {"Ref": "Key"})
    settings = {output["Description"]: {"Ref": name} for name, output in outputs.items()}
    own = {name: value for name, value in environment("run").items() if name.startswith("STEDI_")}
    assert own == {name: value for name, value in settings.items() if name.startswith("STEDI_")} | {
        "STEDI_SOURCE": {"Ref": "Source"}
    }
    assert set(own) <= set(NAMES)


def test_the_command_in_the_readme_gives_every_parameter_that_has_no_default() -> None:
    (command,) = re.findall(r"^aws cloudformation deploy .*?[^\\]$", README, re.MULTILINE | re.DOTALL)
    given = set(re.findall(r"\b([A-Z][A-Za-z]+)=", command)) | set(template()["Outputs"])
    assert given <= set(STACK["Parameters"])
    assert {name for name, one in STACK["Parameters"].items() if "Default" not in one} <= given


def test_runs_and_the_code_location_have_the_same_settings_and_no_other_container_has_any() -> None:
    def settings(container: str) -> dict[str, Any]:
        return {name: value for name, value in environment(container).items() if name.startswith("STEDI_")}

    assert settings("code") == settings("run")
    assert settings("webserver") == settings("daemon") == {}


def test_nothing_is_reached_but_the_webserver_and_that_from_the_load_balancer_alone() -> None:
    ports = {name: container.get("PortMappings", []) for name, container in CONTAINERS.items()}
    assert ports == {"code": [], "webserver": [{"ContainerPort": 3000}], "daemon": [], "run": []}
    (ingress,) = RESOURCES["TaskSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert (ingress["FromPort"], ingress["ToPort"]) == (3000, 3000)
    assert ingress["SourceSecurityGroupId"] == {"Ref": "LoadBalancerSecurityGroup"}
    network = RESOURCES["Service"]["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"


def test_the_database_lets_the_tasks_in_before_the_service_is_waited_for() -> None:
    # The stack is complete when the service is steady, which needs the database: nobody can let it in between.
    assert RESOURCES["Service"]["DependsOn"] == "DatabaseIngress"
    ingress = RESOURCES["DatabaseIngress"]["Properties"]
    assert ingress["GroupId"] == {"Ref": "DatabaseSecurityGroup"}
    assert (ingress["FromPort"], ingress["ToPort"]) == (5432, 5432)
    assert ingress["SourceSecurityGroupId"] == {"Fn::GetAtt": ["TaskSecurityGroup", "GroupId"]}


def test_a_service_that_is_slow_to_start_is_not_taken_for_one_that_is_ill() -> None:
    assert RESOURCES["Service"]["Properties"]["HealthCheckGracePeriodSeconds"] == 300
    assert CONTAINERS["code"]["HealthCheck"]["Timeout"] == 20


def test_each_container_has_the_image_by_its_digest_and_the_password_from_the_secret() -> None:
    assert not re.search(STACK["Parameters"]["Image"]["AllowedPattern"], "stedi:latest")
    for name, container in CONTAINERS.items():
        assert container["Image"] == {"Ref": "Image"}
        assert {one["Name"]: one["ValueFrom"]["Fn::Sub"] for one in container["Secrets"]} == {
            "DAGSTER_POSTGRES_USER": "${PostgresSecret}:username::",
            "DAGSTER_POSTGRES_PASSWORD": "${PostgresSecret}:password::",
        }
        assert not set(environment(name)) & {"DAGSTER_POSTGRES_USER", "DAGSTER_POSTGRES_PASSWORD"}
    assert CONTAINERS["run"]["StopTimeout"] == 120


def statements(role: str) -> list[dict[str, Any]]:
    (policy,) = RESOURCES[role]["Properties"]["Policies"]
    return [one.get("Fn::If", [None, one])[1] for one in policy["PolicyDocument"]["Statement"]]


def test_the_service_reads_what_runs_printed_and_runs_alone_have_the_orchestrators_rights() -> None:
    reading = [one for one in statements("ServiceRole") if str(one["Action"]).startswith("s3:")]
    assert {one["Action"] for one in reading} == {"s3:GetObject", "s3:ListBucket"}
    for one in reading:
        assert "dagster-logs/*" in json.dumps(one)
    orchestrators = [name for name, one in RESOURCES.items() if "OrchestratorPolicyArn" in json.dumps(one)]
    assert orchestrators == ["RunRole"]
    roles = {task: RESOURCES[task]["Properties"]["TaskRoleArn"] for task in ("ServiceTask", "RunTask")}
    assert roles == {
        "ServiceTask": {"Fn::GetAtt": ["ServiceRole", "Arn"]},
        "RunTask": {"Fn::GetAtt": ["RunRole", "Arn"]},
    }


def test_the_service_launches_this_stacks_runs_in_its_cluster_and_gives_them_their_roles_alone(on_ecs: OnEcs) -> None:
    ecs, iam, made = on_ecs.aws.client("ecs"), on_ecs.aws.client("iam"), on_ecs.resources
    every = {f"ecs:{name}" for name in ("RunTask", "DescribeTasks", "StopTask", "TagResource", "DeleteCluster")}
    every |= {"iam:PassRole"}
    (task,) = ecs.list_tasks(cluster=made["Cluster"], family="dagster-service")["taskArns"]
    elsewhere = task.replace(f"task/{made['Cluster']}/", "task/another/")
    roles = {name: iam.get_role(RoleName=made[name])["Role"]["Arn"] for name in ("RunRole", "AgentRole", "ServiceRole")}
    for resource, may in {
        made["RunTask"]: {"ecs:RunTask"},
        made["ServiceTask"]: set(),
        task: {"ecs:DescribeTasks", "ecs:StopTask", "ecs:TagResource"},
        elsewhere: set(),
        roles["RunRole"]: {"iam:PassRole"},
        roles["AgentRole"]: {"iam:PassRole"},
        roles["ServiceRole"]: set(),
    }.items():
        assert on_ecs.allowed(every, resource) == may, resource
    conditions = {one["Sid"]: one["Condition"] for one in statements("ServiceRole") if "Condition" in one}
    assert conditions["LaunchRuns"] == {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}}}
    assert conditions["GiveRunsTheirRoles"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def test_somebody_is_told_that_no_run_succeeds_and_that_a_session_goes_on() -> None:
    alarms = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    assert set(alarms) == {"NoRunSucceeds", "SessionGoesOn"}
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms.values())
    assert RESOURCES["Alarms"]["Properties"]["Subscription"][0]["Endpoint"] == {"Ref": "AlarmEmail"}
    silence, forgotten = alarms["NoRunSucceeds"], alarms["SessionGoesOn"]
    # One run a night, and silence is an alarm too.
    assert (silence["Period"] * silence["EvaluationPeriods"] / 3600, silence["TreatMissingData"]) == (26, "breaching")
    assert forgotten["TreatMissingData"] == "notBreaching"


JOB = "stedi_maintenance"  # the shortest one there is
PASSWORD = "planted"  # for which the test's database does not ask
STATUS = """
import sys, dagster as dg
with dg.DagsterInstance.get() as instance:
    (run,) = instance.get_runs()
    print(run.status.value, type(instance.run_storage).__name__, type(instance.run_launcher).__name__)
"""


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_a_run_is_a_task_of_its_own_and_succeeds_when_the_code_location_is_gone(
    on_ecs: OnEcs, postgres: dict[str, str], tmp_path: Path
) -> None:
    # Longer than a second: every process of the deployment starts, on a real database.
    port = str(free_port())
    for name in ("dagster.yaml", "workspace.yaml"):
        (tmp_path / name).write_text((DEPLOY / name).read_text().replace("port: 4000", f"port: {port}"))
    settings = {name for name in os.environ if name.startswith(("STEDI_", "DAGSTER_", "AWS_"))}
    here = {name: value for name, value in os.environ.items() if name not in settings}
    here |= {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def command(container: str, *words: str) -> dict[str, Any]:
        return {
            "args": [word.replace("4000", port).replace("/opt/dagster", str(tmp_path)) for word in words],
            "env": {**here, **on_ecs.environment(container), **postgres, "DAGSTER_POSTGRES_PASSWORD": PASSWORD},
        }

    def execute(container: str, *words: str) -> str:
        done = subprocess.run(**command(container, *words), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    (serve,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    code, daemon = command("code", *json.loads(serve)), command("daemon", *CONTAINERS["daemon"]["Command"])
    with running(code["args"], int(port), tmp_path / "code.log", code["env"]):
        execute("webserver", "dagster", "job", "launch", "--workspace", "/opt/dagster/workspace.yaml", "--job", JOB)
        execute("code", *CONTAINERS["code"]["HealthCheck"]["Command"][1:])
        with running(daemon["args"], None, tmp_path / "daemon.log", daemon["env"]) as process:
            while not (tasks := on_ecs.runs()):
                said = (tmp_path / "daemon.log").read_text()
                assert process.poll() is None, said[-4000:]
                assert "Caught an error" not in said, said[-4000:]
                time.sleep(0.2)
    (task,) = tasks
    assert task["taskDefinitionArn"] == on_ecs.resources["RunTask"]
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == "run"
    assert PASSWORD not in json.dumps(override)
    printed = execute("run", *override["command"])
    assert execute("daemon", sys.executable, "-c", STATUS).split() == [
        "SUCCESS",
        "PostgresRunStorage",
        "EcsRunLauncher",
    ]
    # The line that the alarm waits for is in the task's log, and what steps printed is in S3.
    (said,) = (line for line in printed.splitlines() if "RUN_SUCCESS" in line)
    pattern = RESOURCES["RunsThatSucceed"]["Properties"]["FilterPattern"].replace("stedi_lakehouse", JOB)
    assert all(term in said for term in re.findall('"([^"]+)"', pattern))
    bucket = on_ecs.environment("run")["DAGSTER_LOGS_BUCKET"]
    files = on_ecs.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="dagster-logs/")
    assert files["KeyCount"] > 0
