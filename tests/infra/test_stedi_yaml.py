"""What the template promises of the stack, as it stands there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint_file

from resources.engines.emr_serverless import SPARK_OF
from resources.settings import Settings, SettingsError
from tests.infra.stack import TEMPLATE, template
from tests.support import ROOT

RESOURCES = template()["Resources"]
BUCKET = RESOURCES["Bucket"]["Properties"]


def statements(effect: str = "Allow") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy that is for identities, with the resource that it belongs to."""
    for name, resource in RESOURCES.items():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                one = statement["Fn::If"][1] if "Fn::If" in statement else statement
                if one["Effect"] == effect:
                    yield name, one


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def rule(name: str) -> dict[str, Any]:
    """A rule of the bucket's lifecycle that is in force."""
    (found,) = (one for one in BUCKET["LifecycleConfiguration"]["Rules"] if one["Id"] == name)
    assert found["Status"] == "Enabled"
    return dict(found)


def test_cloudformation_knows_every_property_and_iam_every_action() -> None:
    config = ManualArgs(regions=["us-east-1", "eu-central-1"])
    assert [str(match) for match in lint_file(TEMPLATE, config=config)] == []


def test_nothing_in_the_bucket_can_be_made_public() -> None:
    assert BUCKET["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert BUCKET["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_the_bucket_encrypts_what_it_holds() -> None:
    (default,) = BUCKET["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert default["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_bucket_answers_encrypted_connections_only() -> None:
    (statement,) = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]


def test_what_is_erased_is_gone_for_good_after_some_days() -> None:
    assert BUCKET["VersioningConfiguration"] == {"Status": "Enabled"}
    expiry = rule("what-was-replaced-or-deleted-goes")
    assert expiry["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "ErasureDays"}}
    assert expiry["ExpiredObjectDeleteMarker"] is True
    assert "Prefix" not in expiry
    assert template()["Parameters"]["ErasureDays"]["Default"] <= 30


def test_an_upload_that_broke_off_costs_nothing_after_a_day() -> None:
    assert rule("what-was-never-finished-goes")["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_results_of_queries_and_logs_do_not_stay() -> None:
    assert rule("results-of-queries-go")["ExpirationInDays"] == {"Ref": "ErasureDays"}
    assert rule("logs-of-runs-go")["ExpirationInDays"] == 30
    for name in ("WorkGroup", "AnalystWorkGroup"):
        assert results_of(name).startswith("s3://${Bucket}/" + rule("results-of-queries-go")["Prefix"])


def test_the_data_outlives_the_stack() -> None:
    assert RESOURCES["Bucket"]["DeletionPolicy"] == RESOURCES["Bucket"]["UpdateReplacePolicy"] == "Retain"


def results_of(workgroup: str) -> str:
    configuration = RESOURCES[workgroup]["Properties"]["WorkGroupConfiguration"]
    location: str = configuration["ResultConfiguration"]["OutputLocation"]["Fn::Sub"]
    return location


@pytest.mark.parametrize("name", ["WorkGroup", "AnalystWorkGroup"])
def test_no_query_scans_without_limit_or_leaves_its_result_in_the_open(name: str) -> None:
    configuration = RESOURCES[name]["Properties"]["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["PublishCloudWatchMetricsEnabled"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == {"Ref": "AthenaScanLimit"}
    result = configuration["ResultConfiguration"]
    assert result["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    assert result["ExpectedBucketOwner"] == {"Ref": "AWS::AccountId"}


def test_the_application_has_sessions_of_the_spark_that_the_client_speaks() -> None:
    application = RESOURCES["Application"]["Properties"]
    assert application["InteractiveConfiguration"] == {"SessionEnabled": True}
    # AWS refuses sessions to an application that keeps their logs nowhere.
    assert application["MonitoringConfiguration"] == {"ManagedPersistenceMonitoringConfiguration": {"Enabled": True}}
    assert application["Type"] == "SPARK"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"pyspark[connect]=={SPARK_OF[application['ReleaseLabel']]}" in project["dependencies"]


def test_the_application_starts_by_itself_stops_by_itself_and_has_a_limit() -> None:
    application = RESOURCES["Application"]["Properties"]
    assert application["AutoStartConfiguration"] == {"Enabled": True}
    assert application["AutoStopConfiguration"] == {"Enabled": True, "IdleTimeoutMinutes": 15}
    assert application["MaximumCapacity"] == {
        "Cpu": {"Fn::Sub": "${MaximumVCpus} vCPU"},
        "Memory": {"Fn::Sub": "${MaximumMemoryGb} GB"},
    }


def test_nothing_is_kept_warm_unless_somebody_asks_for_it() -> None:
    condition, warm, cold = RESOURCES["Application"]["Properties"]["InitialCapacity"]["Fn::If"]
    assert cold == {"Ref": "AWS::NoValue"}
    assert template()["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "WarmExecutors"}, 0]}]}
    assert template()["Parameters"]["WarmExecutors"]["Default"] == 0
    assert {worker["Key"]: worker["Value"]["WorkerCount"] for worker in warm} == {
        "Driver": 1,
        "Executor": {"Ref": "WarmExecutors"},
    }


def test_every_policy_names_what_it_is_for() -> None:
    resources = [(name, resource) for name, one in statements() for resource in listed(one["Resource"])]
    assert {name for name, _ in resources} == {"ExecutionRole", "OrchestratorPolicy", "AnalystPolicy"}
    for name, resource in resources:
        arn = resource.get("Fn::Sub") or ".".join(resource["Fn::GetAtt"])
        # A wildcard stands behind a name only: files of this bucket, tables of this database, sessions of this
        # application.
        named, _, _ = arn.partition("*")
        assert re.match(
            r"\$?\{?(Bucket|Application|ExecutionRole)\.Arn|.*\$\{(AWS::AccountId|SourceBucket)\}", named
        ), f"{name} allows {arn}"


def test_no_policy_allows_actions_that_nobody_has_named() -> None:
    actions = [action for _, one in statements() for action in listed(one["Action"])]
    assert len(actions) > 50
    assert [action for action in actions if "*" in action] == []
    assert [one for _, one in statements() if "NotAction" in one or "NotResource" in one] == []


def test_the_orchestrator_can_give_only_that_role_and_only_to_emr_serverless() -> None:
    passing = [
        (name, one) for name, one in statements() if any("PassRole" in action for action in listed(one["Action"]))
    ]
    ((name, statement),) = passing
    assert name == "OrchestratorPolicy"
    assert statement["Resource"] == {"Fn::GetAtt": ["ExecutionRole", "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "emr-serverless.amazonaws.com"}}


def test_only_emr_serverless_takes_the_execution_role() -> None:
    (trust,) = RESOURCES["ExecutionRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "emr-serverless.amazonaws.com"}
    assert trust["Action"] == "sts:AssumeRole"
    assert trust["Condition"] == {"StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_what_holds_data_stays_when_the_stack_goes() -> None:
    for name in ("Bucket", "BucketPolicy", "GlueDatabase"):
        assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain", name


def test_analysts_read_the_training_tables_files_through_athena_only() -> None:
    (reading,) = (one for name, one in statements() if one["Sid"] == "ReadTheTrainingTable")
    assert reading["Condition"] == {"ForAnyValue:StringEquals": {"aws:CalledVia": "athena.amazonaws.com"}}
    assert results_of("AnalystWorkGroup") != results_of("WorkGroup")


def test_every_parameter_says_what_it_means_and_works_without_being_set() -> None:
    for name, parameter in template()["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        assert "Default" in parameter, name
        if parameter["Type"] == "String":
            assert re.search(parameter["AllowedPattern"], parameter["Default"])
            assert parameter["ConstraintDescription"]


NAMES = "stedi s stedi_2 landing_zone a_landing_b Stedi 2stedi stedi-2 a.b landing sample evidence customer_landing"


@pytest.mark.parametrize("name", [*NAMES.split(), "_landing", "s" * 64, "s" * 65])
def test_the_stack_takes_the_database_names_that_the_settings_take(name: str) -> None:
    try:
        taken = Settings.from_environment({"STEDI_DATABASE": name}).database == name
    except SettingsError:
        taken = False
    assert bool(re.search(template()["Parameters"]["Database"]["AllowedPattern"], name)) is taken
