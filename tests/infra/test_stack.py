"""Who can do what on the deployed stack: real calls, held to its policies by the server that stands for AWS."""

from __future__ import annotations

import json
from itertools import product

import pytest
from botocore.exceptions import ClientError

from resources.engines.glue import GlueSpark
from resources.settings import Settings
from tests.infra.stack import APPLICATION, APPLICATION_ARN, Caller, Stack

RAW = "lakehouse/customer_landing/1.json"
LINES = "lakehouse/landing/customer/1.json"
TRUSTED = "lakehouse/policies/customer_trusted/data/run/1.parquet"
TRAINING = "lakehouse/policies/machine_learning_curated/data/run/1.parquet"
ELSEWHERE = "lakehouse/another_database/customer_trusted/data/run/1.parquet"
EVIDENCE = "lakehouse/evidence/customer_landing.png"
PIPELINE_RESULT = "athena-results/pipeline/1.csv"
ANALYST_RESULT = "athena-results/analysts/1.csv"
LOG = "dagster-logs/storage/run/1.err"
KEYS = {RAW, LINES, TRUSTED, TRAINING, ELSEWHERE, EVIDENCE, PIPELINE_RESULT, ANALYST_RESULT, LOG, "catalog.db"}

READABLE = {
    "session": {RAW, LINES, TRUSTED, TRAINING},
    "orchestrator": KEYS - {ANALYST_RESULT, "catalog.db"},
    "analyst": {ANALYST_RESULT},
}
WRITABLE = {
    "session": {TRUSTED, TRAINING},
    "orchestrator": KEYS - {ANALYST_RESULT, "catalog.db"},
    "analyst": {ANALYST_RESULT},
}
REMOVABLE = {**WRITABLE, "analyst": set()}
CALLERS = list(READABLE)


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> Caller:
    found: Caller = request.getfixturevalue(request.param)
    return found


def callers() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("caller", "who"), [(who, who) for who in CALLERS], indirect=["caller"], ids=CALLERS)


def test_the_outputs_are_the_settings(stack: Stack) -> None:
    settings = Settings.from_environment(stack.settings)
    assert settings.lakehouse == f"s3://{stack.bucket}/lakehouse"
    assert (settings.spark, settings.database) == ("emr-serverless", "policies")
    assert settings.athena_workgroup == "policies"
    assert settings.emr is not None
    assert settings.emr.application_id == APPLICATION
    assert settings.emr.execution_role_arn.endswith(f":role/{stack.resources['ExecutionRole']}")
    assert set(stack.settings) == {
        "STEDI_LAKEHOUSE",
        "STEDI_SPARK",
        "STEDI_DATABASE",
        "STEDI_ATHENA_WORKGROUP",
        "STEDI_EMR_APPLICATION_ID",
        "STEDI_EMR_EXECUTION_ROLE_ARN",
        "ORCHESTRATOR_POLICY_ARN",
    }


@callers()
def test_each_reads_writes_and_removes_what_its_work_needs_and_nothing_else(
    stack: Stack, caller: Caller, who: str
) -> None:
    file = {"Bucket": stack.bucket}
    for key in KEYS:
        stack.aws.client("s3").put_object(**file, Key=key, Body=b"{}")
    assert {key for key in KEYS if caller.may("s3", "get_object", **file, Key=key)} == READABLE[who]
    assert {key for key in KEYS if caller.may("s3", "put_object", **file, Key=key, Body=b"")} == WRITABLE[who]
    assert {key for key in KEYS if caller.may("s3", "create_multipart_upload", **file, Key=key)} == WRITABLE[who]
    assert {key for key in KEYS if caller.may("s3", "delete_object", **file, Key=key)} == REMOVABLE[who]


def test_through_athena_analysts_read_the_files_of_the_training_table_and_of_no_other(stack: Stack) -> None:
    policy = json.loads(stack.policy("AnalystPolicy"))
    (reading,) = (one for one in policy["Statement"] if "aws:CalledVia" in str(one.get("Condition")))
    del reading["Condition"]  # the server never calls itself on somebody's behalf
    athena = Caller(stack.aws, stack.aws.new_user(json.dumps(policy)))
    for key in KEYS:
        stack.aws.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=b"{}")
    read = {key for key in KEYS if athena.may("s3", "get_object", Bucket=stack.bucket, Key=key)}
    assert read == {TRAINING, ANALYST_RESULT}


@callers()
def test_nobody_can_remove_a_version_or_change_the_bucket(stack: Stack, caller: Caller, who: str) -> None:
    key = TRUSTED if who != "analyst" else ANALYST_RESULT
    version = caller.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=b"")["VersionId"]
    assert not caller.may("s3", "delete_object", Bucket=stack.bucket, Key=key, VersionId=version)
    assert not caller.may("s3", "delete_bucket_policy", Bucket=stack.bucket)
    assert not caller.may("s3", "delete_public_access_block", Bucket=stack.bucket)
    assert not caller.may("s3", "delete_bucket", Bucket=stack.bucket)


@callers()
def test_a_connection_without_tls_is_refused(stack: Stack, caller: Caller, who: str) -> None:
    key = TRUSTED if who != "analyst" else ANALYST_RESULT
    assert caller.may("s3", "put_object", Bucket=stack.bucket, Key=key, Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.client("s3", encrypted=False).put_object(Bucket=stack.bucket, Key=key, Body=b"")


def test_what_is_not_there_is_missing_and_not_forbidden(stack: Stack, session: Caller, orchestrator: Caller) -> None:
    for caller in (session, orchestrator):
        with pytest.raises(ClientError) as missing:
            caller.client("s3").get_object(Bucket=stack.bucket, Key=TRUSTED + ".gone")
        assert missing.value.response["Error"]["Code"] == "NoSuchKey"
        assert caller.may("s3", "list_objects_v2", Bucket=stack.bucket, Prefix="lakehouse/policies/")


def test_analysts_see_no_names_of_files_but_those_of_their_results(stack: Stack, analyst: Caller) -> None:
    assert analyst.may("s3", "list_objects_v2", Bucket=stack.bucket, Prefix="athena-results/analysts/")
    for prefix in ("", "lakehouse/", "lakehouse/policies/machine_learning_curated/", "athena-results/pipeline/"):
        assert not analyst.may("s3", "list_objects_v2", Bucket=stack.bucket, Prefix=prefix), prefix


def test_the_orchestrator_copies_feeds_from_the_source_and_cannot_change_it(
    stack: Stack, session: Caller, orchestrator: Caller, analyst: Caller
) -> None:
    source = stack.parameters["SourceBucket"]
    file = {"Bucket": source, "Key": "customers/1.json"}
    assert orchestrator.may("s3", "list_objects_v2", Bucket=source, Prefix="customers/")
    assert orchestrator.may(
        "s3", "copy_object", Bucket=stack.bucket, Key=RAW, CopySource=file, TaggingDirective="REPLACE"
    )
    assert not orchestrator.may("s3", "put_object", **file, Body=b"")
    assert not orchestrator.may("s3", "delete_object", **file)
    assert not session.may("s3", "get_object", **file)
    assert not analyst.may("s3", "get_object", **file)


POLICIES = ("ExecutionRole", "OrchestratorPolicy", "AnalystPolicy", "OperatorPolicy")


def test_the_orchestrator_alone_publishes_tables_and_in_this_database_alone(stack: Stack) -> None:
    reading = {"glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"}
    writing = {"glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"}
    administering = {"glue:CreateDatabase", "glue:UpdateDatabase", "glue:DeleteDatabase", "glue:PutResourcePolicy"}

    def allowed(policy: str, database: str) -> set[str]:
        # Glue asks for leave on the table and on everything that it is part of.
        path = ("catalog", f"database/{database}", f"table/{database}/customer_trusted")
        arns = [stack.arn("glue", resource) for resource in path]
        return stack.allowed(policy, reading | writing | administering, *arns)

    assert allowed("OrchestratorPolicy", "policies") == reading | writing
    assert allowed("OrchestratorPolicy", "another") == set()
    assert allowed("ExecutionRole", "policies") == set()


def test_analysts_see_what_tables_there_are_and_query_the_training_table_alone(stack: Stack) -> None:
    above = [stack.arn("glue", resource) for resource in ("catalog", "database/policies")]
    asked = {"glue:GetTable", "glue:GetTables", "glue:GetPartitions", "glue:UpdateTable", "glue:DeleteTable"}
    for table in ("machine_learning_curated", "customer_landing", "customer_records", "step_trainer_trusted", "*"):
        allowed = {"glue:GetTables"} | ({"glue:GetTable"} if table == "machine_learning_curated" else set())
        arn = stack.arn("glue", f"table/policies/{table}")
        assert stack.allowed("AnalystPolicy", asked, *above, arn) == allowed, table
    elsewhere = [stack.arn("glue", resource) for resource in ("catalog", "database/other", "table/other/*")]
    assert stack.allowed("AnalystPolicy", asked, *elsewhere) == set()


def test_analysts_browse_athenas_console(stack: Stack) -> None:
    # What AWS asks for `SHOW DATABASES`: https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html
    listing = {"glue:GetDatabase", "glue:GetDatabases"}
    databases = [stack.arn("glue", resource) for resource in ("catalog", "database/default", "database/*")]
    assert stack.allowed("AnalystPolicy", listing, *databases) == listing
    lists = {f"athena:List{names}" for names in ("WorkGroups", "DataCatalogs", "EngineVersions")}
    assert stack.allowed("AnalystPolicy", lists, "*") == lists
    tree = {f"athena:{name}" for name in ("GetDataCatalog", "ListDatabases", "ListTableMetadata", "GetTableMetadata")}
    assert stack.allowed("AnalystPolicy", tree, stack.arn("athena", "datacatalog/AwsDataCatalog")) == tree
    history = {f"athena:{name}" for name in ("ListQueryExecutions", "BatchGetQueryExecution", "ListNamedQueries")}
    for workgroup, allowed in {"policies-analysts": history, "policies": set()}.items():
        assert stack.allowed("AnalystPolicy", history, stack.arn("athena", f"workgroup/{workgroup}")) == allowed


def test_each_asks_athena_in_a_workgroup_of_its_own_and_reads_no_other_results(
    stack: Stack, orchestrator: Caller, analyst: Caller, session: Caller
) -> None:
    workgroups = {"policies": "OrchestratorPolicy", "policies-analysts": "AnalystPolicy"}
    following = {f"athena:{name}QueryExecution" for name in ("Start", "Stop", "Get")}
    following |= {"athena:GetQueryResults", "athena:GetWorkGroup"}
    for workgroup, owner in workgroups.items():
        for policy in POLICIES:
            allowed = stack.allowed(policy, following, stack.arn("athena", f"workgroup/{workgroup}"))
            assert allowed == (following if policy == owner else set())
    for caller, allowed in ((orchestrator, {"policies"}), (analyst, {"policies-analysts"}), (session, set())):
        query = {"QueryString": "SELECT 1"}
        assert {w for w in workgroups if caller.may("athena", "start_query_execution", **query, WorkGroup=w)} == allowed


def test_the_orchestrator_alone_has_sessions_and_on_this_application_alone(stack: Stack) -> None:
    def of(*names: str) -> set[str]:
        return {f"emr-serverless:{name}" for name in names}

    starting = of("StartSession", "GetApplication", "StartApplication")
    using = of("GetSession", "GetSessionEndpoint", "TerminateSession", "TagResource")
    every = starting | using | of("DeleteApplication", "UpdateApplication", "StopApplication", "StartJobRun")
    session, other = f"{APPLICATION_ARN}/sessions/00g1", APPLICATION_ARN.replace(APPLICATION, "00another")
    assert stack.allowed("OrchestratorPolicy", every, APPLICATION_ARN) == starting
    assert stack.allowed("OrchestratorPolicy", every, session) == using
    assert stack.allowed("OrchestratorPolicy", every, other) == set()
    assert stack.allowed("OrchestratorPolicy", every, f"{other}/sessions/00g1") == set()
    # Whoever gets a session's endpoint works as its role.
    for policy in ("ExecutionRole", "AnalystPolicy"):
        assert stack.allowed(policy, every, APPLICATION_ARN) | stack.allowed(policy, every, session) == set()
    looking = every | of("ListSessions", "GetResourceDashboard")
    assert stack.allowed("OperatorPolicy", looking, APPLICATION_ARN) == of("ListSessions")
    assert stack.allowed("OperatorPolicy", looking, session) == of("GetSession", "GetResourceDashboard")


def test_on_glue_too_and_there_is_no_application(stack_on_glue: Stack) -> None:
    def of(*names: str) -> set[str]:
        return {f"glue:{name}" for name in names}

    stack = stack_on_glue
    settings = Settings.from_environment(stack.settings)
    assert settings.glue is not None
    assert settings.glue.execution_role_arn.endswith(f":role/{stack.resources['ExecutionRole']}")
    assert not [name for name in stack.settings if name.startswith("STEDI_EMR")]
    using = of("CreateSession", "GetSession", "GetSessionEndpoint", "StopSession", "TagResource")
    looking = of("GetSession", "GetDashboardUrl")
    every = using | looking | of("DeleteSession", "RunStatement", "StartJobRun")
    ids = [
        GlueSpark(database=database, execution_role_arn=settings.glue.execution_role_arn).request("0f1-1")["Id"]
        for database in (settings.database, f"{settings.database}_too", "stedi")
    ]
    ours, *others = (stack.arn("glue", f"session/{name}") for name in (*ids, "notebook"))
    assert stack.allowed("OrchestratorPolicy", every, ours) == using
    assert stack.allowed("OperatorPolicy", every, ours) == looking
    assert stack.allowed("OperatorPolicy", of("ListSessions"), "*") == of("ListSessions")
    for policy, other in product(POLICIES, others):  # the sessions of a second stack, among them
        assert stack.allowed(policy, every, other) == set()
    for policy in ("ExecutionRole", "AnalystPolicy"):
        assert stack.allowed(policy, every, ours) == set()
    logs = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}
    assert stack.allowed("ExecutionRole", logs, stack.arn("logs", "log-group:/aws-glue/sessions/error")) == logs
    assert stack.allowed("ExecutionRole", logs, stack.arn("logs", "log-group:/aws/lambda/other")) == set()


def test_operators_find_sparks_logs_on_glue_and_read_those_of_this_lakehouses_sessions_alone(
    stack_on_glue: Stack,
) -> None:
    group = stack_on_glue.arn("logs", "log-group:/aws-glue/sessions/error")
    asked = {"logs:DescribeLogStreams", "logs:GetLogEvents", "logs:DeleteLogStream"}
    for resource, allowed in {
        f"{group}:log-stream:": {"logs:DescribeLogStreams"},
        f"{group}:log-stream:glued-0f1-1": {"logs:DescribeLogStreams", "logs:GetLogEvents"},
        f"{group}:log-stream:other-0f1-1": {"logs:DescribeLogStreams"},
        stack_on_glue.arn("logs", "log-group:/aws/lambda/other"): set(),
    }.items():
        assert stack_on_glue.allowed("OperatorPolicy", asked, resource) == allowed, resource


def test_the_policies_are_attached_to_the_roles_that_were_named(stack: Stack) -> None:
    iam = stack.aws.client("iam")
    for role, policy in (
        ("orchestrators", "OrchestratorPolicy"),
        ("analysts", "AnalystPolicy"),
        ("on-call", "OperatorPolicy"),
    ):
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert [one["PolicyArn"] for one in attached] == [stack.resources[policy]]
