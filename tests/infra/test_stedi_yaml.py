"""What the template promises of the stack, as it stands there."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import jmespath
import pytest
from cfnlint.api import ManualArgs, lint_file
from cfnlint.data import AdditionalSpecs
from cfnlint.helpers import load_resource

from resources.engines.emr_serverless import SESSION_CONF
from resources.engines.remote import SPARK_OF
from resources.settings import Settings, SettingsError
from tests.infra.stack import TEMPLATE, template
from tests.support import ROOT

STACK = template()
RESOURCES, PARAMETERS = STACK["Resources"], STACK["Parameters"]
WORKGROUPS = ("WorkGroup", "AnalystWorkGroup")
CONFIGURED = {name: resource["Properties"] for name, resource in RESOURCES.items()}
CONFIGURED |= {name: CONFIGURED[name]["WorkGroupConfiguration"] for name in WORKGROUPS}
ENCRYPTION = 'Bucket.BucketEncryption.ServerSideEncryptionConfiguration[0]."Fn::If"'
BY_DEFAULT = "ServerSideEncryptionByDefault"
PRIVATE = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
RULE = "Bucket.LifecycleConfiguration.Rules[?Id=="
REPLACED = f"{RULE}'what-was-replaced-or-deleted-goes']"
RESULT = "ResultConfiguration"
RESULTS_ENCRYPTED = [
    "HasKey",
    {"EncryptionOption": "SSE_KMS", "KmsKey": {"Ref": "Key"}},
    {"EncryptionOption": "SSE_S3"},
]
LOGS = "Application.MonitoringConfiguration.ManagedPersistenceMonitoringConfiguration"
WARM = 'Application.InitialCapacity."Fn::If"[1]'


def statements(effect: str = "Allow") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy that is for identities, with the resource that it belongs to."""
    for name, resource in RESOURCES.items():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                for one in statement.get("Fn::If", [None, statement])[1:]:
                    if one.get("Effect") == effect:
                        yield name, one


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_cloudformation_knows_every_property_and_iam_every_action() -> None:
    config = ManualArgs(regions=["us-east-1", "eu-central-1"])
    assert [str(match) for match in lint_file(TEMPLATE, config=config)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        # Nothing in the bucket can be made public, and all of it is encrypted.
        ("Bucket.PublicAccessBlockConfiguration", dict.fromkeys(PRIVATE, True)),
        ("Bucket.OwnershipControls.Rules[].ObjectOwnership", ["BucketOwnerEnforced"]),
        (f"{ENCRYPTION}[2].{BY_DEFAULT}.SSEAlgorithm", "AES256"),
        (f"{ENCRYPTION}[1].{BY_DEFAULT}", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "Key"}}),
        (f"{ENCRYPTION}[1].BucketKeyEnabled", True),
        # What is erased is gone for good after some days; uploads that broke off, results and logs go by themselves.
        ("Bucket.VersioningConfiguration.Status", "Enabled"),
        ("Bucket.LifecycleConfiguration.Rules[?Status!='Enabled']", []),
        (f"{REPLACED}.NoncurrentVersionExpiration.NoncurrentDays.Ref | [0]", "ErasureDays"),
        (f"{REPLACED}.[ExpiredObjectDeleteMarker, Prefix]", [[True, None]]),
        (f"{RULE}'what-was-never-finished-goes'].AbortIncompleteMultipartUpload.DaysAfterInitiation", [1]),
        (f"{RULE}'results-of-queries-go'].[Prefix, ExpirationInDays.Ref]", [["athena-results/", "ErasureDays"]]),
        (f"{RULE}'logs-of-runs-go'].[Prefix, ExpirationInDays]", [["dagster-logs/", 30]]),
        # No query scans without limit, or leaves its result in the open.
        *((f"{group}.EnforceWorkGroupConfiguration", True) for group in WORKGROUPS),
        *((f"{group}.PublishCloudWatchMetricsEnabled", True) for group in WORKGROUPS),
        *((f"{group}.BytesScannedCutoffPerQuery.Ref", "AthenaScanLimit") for group in WORKGROUPS),
        *((f'{group}.{RESULT}.EncryptionConfiguration."Fn::If"', RESULTS_ENCRYPTED) for group in WORKGROUPS),
        *((f"{group}.{RESULT}.ExpectedBucketOwner.Ref", "AWS::AccountId") for group in WORKGROUPS),
        # The application has sessions, which AWS refuses to one that keeps their logs nowhere.
        ("Application.[Type, InteractiveConfiguration.SessionEnabled]", ["SPARK", True]),
        (f"{LOGS}.Enabled", True),
        (f'{LOGS}.EncryptionKeyArn."Fn::If"', ["HasKey", {"Ref": "Key"}, {"Ref": "AWS::NoValue"}]),
        # It starts by itself, stops by itself, has a limit, and nothing is kept warm unless somebody asks for it.
        ("Application.AutoStartConfiguration.Enabled", True),
        ("Application.AutoStopConfiguration.[Enabled, IdleTimeoutMinutes]", [True, 15]),
        ('Application.MaximumCapacity.Cpu."Fn::Sub"', "${MaximumVCpus} vCPU"),
        ('Application.MaximumCapacity.Memory."Fn::Sub"', "${MaximumMemoryGb} GB"),
        ('Application.InitialCapacity."Fn::If" | [[0], [2].Ref]', ["KeepsWarm", "AWS::NoValue"]),
        (f"{WARM}[?Key=='Driver'].Value.WorkerCount", [1]),
        (f"{WARM}[?Key=='Executor'].Value.WorkerCount.Ref", ["WarmExecutors"]),
    ],
)
def test_a_resource_is_configured_as_promised(path: str, value: object) -> None:
    assert jmespath.search(path, CONFIGURED) == value


def test_what_is_promised_by_default() -> None:
    assert PARAMETERS["ErasureDays"]["Default"] <= 30
    assert PARAMETERS["WarmExecutors"]["Default"] == 0
    assert STACK["Conditions"]["KeepsWarm"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "WarmExecutors"}, 0]}]}


def test_a_new_accounts_quota_has_room_for_a_session_by_default() -> None:
    def of(worker: str, setting: str) -> int:
        return int(SESSION_CONF[f"spark.{worker}.{setting}"].removesuffix("g"))

    # Of memory, Spark takes a tenth on top; EMR Serverless rounds up to whole GB.
    sizes = {worker: (of(worker, "cores"), math.ceil(1.1 * of(worker, "memory"))) for worker in ("driver", "executor")}
    most = of("dynamicAllocation", "maxExecutors")
    limits = [PARAMETERS[name]["Default"] for name in ("MaximumVCpus", "MaximumMemoryGb")]
    assert [driver + most * executor for driver, executor in zip(*sizes.values(), strict=True)] < limits
    assert limits[0] <= 16
    for worker in jmespath.search(WARM, CONFIGURED):
        cpu, memory = sizes[worker["Key"].lower()]
        shape = worker["Value"]["WorkerConfiguration"]
        assert (shape["Cpu"], shape["Memory"]) == (f"{cpu} vCPU", f"{memory} GB")


def test_results_of_queries_lie_where_they_expire_and_those_of_analysts_apart() -> None:
    pipeline, analysts = (
        jmespath.search(f'{name}.{RESULT}.OutputLocation."Fn::Sub"', CONFIGURED) for name in WORKGROUPS
    )
    assert pipeline.startswith("s3://${Bucket}/athena-results/")
    assert analysts.startswith("s3://${Bucket}/athena-results/")
    assert pipeline != analysts


def test_the_bucket_answers_encrypted_connections_only() -> None:
    (statement,) = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]


def test_what_holds_data_stays_when_the_stack_goes() -> None:
    for name in ("Bucket", "BucketPolicy", "GlueDatabase"):
        assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain", name


def test_the_application_runs_the_spark_that_the_client_speaks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (
        f"pyspark[connect]=={SPARK_OF['EMR Serverless'][CONFIGURED['Application']['ReleaseLabel']]}"
        in project["dependencies"]
    )


def test_every_policy_names_what_it_is_for() -> None:
    resources = [(name, resource) for name, one in statements() for resource in listed(one["Resource"])]
    assert {name for name, _ in resources} == {"ExecutionRole", "OrchestratorPolicy", "AnalystPolicy", "OperatorPolicy"}
    for name, resource in resources:
        if resource == "*" or resource.get("Ref") in ("Key", "SourceKey"):
            continue
        # A wildcard stands behind a name only: files of this bucket, tables of this database, sessions of this
        # application.
        named, _, _ = (resource.get("Fn::Sub") or ".".join(resource["Fn::GetAtt"])).partition("*")
        owner = r"\$?\{?(Bucket|Application|ExecutionRole)\.Arn|.*\$\{(AWS::AccountId|SourceBucket)\}"
        assert re.match(owner, named), f"{name} allows {resource}"


def test_only_actions_for_which_aws_knows_no_resource_are_allowed_everywhere() -> None:
    known = load_resource(AdditionalSpecs, "Policies.json")
    everywhere = [action for _, one in statements() if one["Resource"] == "*" for action in listed(one["Action"])]
    assert everywhere
    for service, name in (action.split(":") for action in everywhere):
        assert not known[service]["Actions"][name.lower()].get("Resources"), name


def test_a_key_of_your_own_is_used_by_each_party_and_that_of_the_source_to_read_it() -> None:
    using = {(name, *listed(one["Action"])) for name, one in statements() if one["Resource"] == {"Ref": "Key"}}
    assert using == {
        (name, "kms:Decrypt", "kms:GenerateDataKey")
        for name in ("ExecutionRole", "OrchestratorPolicy", "AnalystPolicy")
    }
    through = {name: one["Condition"]["StringEquals"] for name, one in statements() if one["Sid"] == "UseTheKey"}
    s3, emr = ({"Fn::Sub": f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"} for service in ("s3", "emr-serverless"))
    files_and_logs = {"kms:ViaService": [s3, {"Fn::If": ["OnEmr", emr, {"Ref": "AWS::NoValue"}]}]}
    assert through == {
        "ExecutionRole": files_and_logs,
        "OrchestratorPolicy": files_and_logs,
        "AnalystPolicy": {"kms:ViaService": s3},
    }
    ((name, reading),) = ((name, one) for name, one in statements() if one["Resource"] == {"Ref": "SourceKey"})
    assert (name, reading["Action"]) == ("OrchestratorPolicy", "kms:Decrypt")
    assert reading["Condition"] == {"StringLike": {"kms:ViaService": "s3.*"}}


def test_no_policy_allows_actions_that_nobody_has_named() -> None:
    actions = [action for _, one in statements() for action in listed(one["Action"])]
    assert len(actions) > 50
    assert [action for action in actions if "*" in action] == []
    assert [one for _, one in statements() if "NotAction" in one or "NotResource" in one] == []


SERVICE = {"Fn::If": ["OnGlue", "glue.amazonaws.com", "emr-serverless.amazonaws.com"]}


def test_the_execution_role_is_given_by_the_orchestrator_alone_and_to_the_engines_service_alone() -> None:
    ((name, giving),) = ((name, one) for name, one in statements() if "PassRole" in str(one["Action"]))
    assert (name, giving["Resource"]) == ("OrchestratorPolicy", {"Fn::GetAtt": ["ExecutionRole", "Arn"]})
    assert giving["Condition"] == {"StringEquals": {"iam:PassedToService": SERVICE}}
    (trust,) = RESOURCES["ExecutionRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": SERVICE}
    assert trust["Action"] == "sts:AssumeRole"
    assert trust["Condition"] == {"StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_analysts_read_the_training_tables_files_through_athena_only() -> None:
    (reading,) = (one for name, one in statements() if one["Sid"] == "ReadTheTrainingTable")
    assert reading["Condition"] == {"ForAnyValue:StringEquals": {"aws:CalledVia": "athena.amazonaws.com"}}


def test_every_parameter_says_what_it_means_and_works_without_being_set() -> None:
    for name, parameter in PARAMETERS.items():
        assert parameter["Description"].endswith("."), name
        if parameter["Type"] == "String":
            assert re.search(parameter["AllowedPattern"], parameter["Default"])
            assert parameter["ConstraintDescription"]
        else:
            assert parameter["MinValue"] <= parameter["Default"], name


NAMES = "stedi s stedi_2 landing_zone a_landing_b Stedi 2stedi stedi-2 a.b landing sample evidence customer_landing"


def test_the_stack_takes_the_database_names_that_the_settings_take() -> None:
    for name in [*NAMES.split(), "_landing", "s" * 64, "s" * 65]:
        try:
            taken = Settings.from_environment({"STEDI_DATABASE": name}).database == name
        except SettingsError:
            taken = False
        assert bool(re.search(PARAMETERS["Database"]["AllowedPattern"], name)) is taken, name
