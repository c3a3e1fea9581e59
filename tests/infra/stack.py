"""The template in `infra/`, and the stack made of it on the server that stands for AWS.

MiniStack makes all of it but the EMR Serverless application, which no server knows: its id and ARN stand in the
template in its place. It holds callers to the policies in S3, and in Athena where a call names its workgroup. For Glue
it looks at the database alone, and it has no sessions: there its simulation of a policy answers, which is exact about
actions and resources, and knows no conditions. Lifecycle rules it drops; they are tested on the template itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.servers import CREDENTIALS
from tests.servers.ministack import Aws
from tests.support import ROOT

TEMPLATE = ROOT / "infra" / "stedi.yaml"
APPLICATION = "00fstedi"
APPLICATION_ARN = f"arn:aws:emr-serverless:{CREDENTIALS['AWS_REGION']}:000000000000:/applications/{APPLICATION}"
DENIED = {"AccessDenied", "AccessDeniedException"}


def template(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template, with CloudFormation's short forms (`!Ref`) spelled out."""
    from cfnlint.decode import decode

    decoded, problems = decode(str(path))
    assert not problems
    plain: dict[str, Any] = json.loads(json.dumps(decoded))
    return plain


def for_ministack(*without: str) -> str:
    """The template for a server that knows no EMR Serverless; `without` some other resources as well."""
    made = template()
    for name in ("Application", *without):
        del made["Resources"][name]
    text = json.dumps(made)
    for reference, value in {
        '{"Fn::GetAtt": ["Application", "Arn"]}': f'"{APPLICATION_ARN}"',
        '{"Fn::GetAtt": ["Application", "ApplicationId"]}': f'"{APPLICATION}"',
        "${Application.Arn}": APPLICATION_ARN,
    }.items():
        assert reference in text
        text = text.replace(reference, value)
    return text


@dataclass(frozen=True)
class Caller:
    """Somebody to whom one policy applies."""

    aws: Aws
    keys: Mapping[str, str]

    def client(self, service: str, *, encrypted: bool = True) -> Any:
        """Their client. Where TLS ends at a proxy, the server is told so by a header, here as well."""
        import boto3

        client = boto3.client(
            service,
            region_name=CREDENTIALS["AWS_REGION"],
            endpoint_url=self.aws.endpoint,
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
        )
        if encrypted:
            client.meta.events.register(
                "before-call", lambda params, **_: params["headers"].update({"X-Forwarded-Proto": "https"})
            )
        return client

    def may(self, service: str, operation: str, **request: Any) -> bool:
        """Whether the call is let through; what comes of it does not matter."""
        return not _denied(lambda: getattr(self.client(service), operation)(**request))


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its parameters, physical names by logical ones, and its outputs as the settings they are."""

    aws: Aws
    parameters: Mapping[str, str]
    resources: Mapping[str, str]
    settings: Mapping[str, str]

    @classmethod
    def deploy(cls, aws: Aws, name: str, parameters: Mapping[str, str], *without: str) -> Stack:
        """Make a stack, without some of its resources, and wait until it is there."""
        client = aws.client("cloudformation")
        client.create_stack(
            StackName=name,
            TemplateBody=for_ministack(*without),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        while (stack := client.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"] == "CREATE_IN_PROGRESS":
            time.sleep(0.05)
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", [event.get("ResourceStatusReason") for event in events]
        made = client.describe_stack_resources(StackName=name)["StackResources"]
        return cls(
            aws,
            parameters,
            {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in made},
            {output["Description"]: output["OutputValue"] for output in stack["Outputs"]},
        )

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.resources["Bucket"]

    def policy(self, name: str) -> str:
        """The document of the execution role's policy, or of a managed one, as it was deployed."""
        iam = self.aws.client("iam")
        if name == "ExecutionRole":
            document = iam.get_role_policy(RoleName=self.resources[name], PolicyName="lakehouse")["PolicyDocument"]
        else:
            version = iam.get_policy_version(PolicyArn=self.resources[name], VersionId="v1")
            document = version["PolicyVersion"]["Document"]
        return json.dumps(document)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:aws:{service}:{CREDENTIALS['AWS_REGION']}:000000000000:{resource}"

    def allowed(self, policy: str, actions: Collection[str], *resources: str) -> set[str]:
        """Those of the actions that the policy allows on every one of the resources."""
        return allowed(self.aws, self.policy(policy), actions, *resources)

    def caller(self, policy: str) -> Caller:
        """Somebody who has this policy, and no other."""
        return Caller(self.aws, self.aws.new_user(self.policy(policy)))


def allowed(aws: Aws, document: str, actions: Collection[str], *resources: str) -> set[str]:
    """Those of the actions that the document of a policy allows on every one of the resources."""
    iam, left = aws.client("iam"), set(actions)
    for resource in resources:
        answer = iam.simulate_custom_policy(
            PolicyInputList=[document], ActionNames=sorted(actions), ResourceArns=[resource]
        )
        results = answer["EvaluationResults"]
        left &= {one["EvalActionName"] for one in results if one["EvalDecision"] == "allowed"}
    return left


def _denied(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIED
    return False
