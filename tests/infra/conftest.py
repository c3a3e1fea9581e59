"""Fixtures: one stack for all tests of what it allows, and those whom it has policies for."""

from __future__ import annotations

import pytest

from tests.infra.stack import Caller, Stack
from tests.servers.ministack import Aws


@pytest.fixture(scope="session")
def stack(aws_account: Aws) -> Stack:
    """The stack, with everything in it that is optional. Its landing zone has a file, as its tables have."""
    iam = aws_account.client("iam")
    for role in ("orchestrators", "analysts", "on-call"):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    parameters = {
        "OrchestratorRole": "orchestrators",
        "AnalystRole": "analysts",
        "OperatorRole": "on-call",
        "SourceBucket": aws_account.new_bucket(),
        "SourceKey": "arn:aws:kms:us-east-1:000000000000:key/source",
    }
    stack = Stack.deploy(aws_account, "policies", {**parameters, "Database": "policies"})
    s3 = aws_account.client("s3")
    s3.put_object(Bucket=parameters["SourceBucket"], Key="customers/1.json", Body=b"{}")
    return stack


@pytest.fixture(scope="session")
def stack_on_glue(aws_account: Aws) -> Stack:
    """One whose sessions are AWS Glue's."""
    return Stack.deploy(aws_account, "glued", {"Engine": "glue", "Database": "glued"})


@pytest.fixture(scope="session")
def session(stack: Stack) -> Caller:
    """What a session may do."""
    return stack.caller("ExecutionRole")


@pytest.fixture(scope="session")
def orchestrator(stack: Stack) -> Caller:
    """What the Dagster process may do."""
    return stack.caller("OrchestratorPolicy")


@pytest.fixture(scope="session")
def analyst(stack: Stack) -> Caller:
    """What people who train models may do."""
    return stack.caller("AnalystPolicy")
