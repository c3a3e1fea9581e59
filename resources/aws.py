"""Calls to AWS: a client for a service, and the sentence a user reads when AWS refuses.

Belongs here: what all services have in common. Region and credentials come from the usual AWS chain.
Does not belong here: what is asked of a service. Never in a sentence: who asked, for a name may be an e-mail address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# Adaptive: a client that is throttled slows down by itself.
PATIENCE: dict[str, Any] = {"retries": {"mode": "adaptive", "total_max_attempts": 6}, "connect_timeout": 10}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedException", "Forbidden", "403"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "IncompleteSignature",
}
THROTTLED = {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
# S3's actions are not named like its operations, and S3 does not always say which one it missed.
S3_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CopyObject": "s3:PutObject, or s3:GetObject of what is copied",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject, or s3:GetObject of what is copied",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
}


class AwsError(dg.Failure):
    """AWS cannot be asked, or refuses. Unless `passing`, retrying does not help; the sentence says what does.

    `code` is AWS's name for what it refused, as far as it said one.
    """

    def __init__(self, sentence: str, *, passing: bool = False, code: str = "") -> None:
        super().__init__(description=sentence, allow_retries=passing)
        self.code = code


def client(service: str, session: Any = None, **config: Any) -> Any:
    """A boto3 client, made now and not kept; `config` is botocore's. AwsError where no region is set."""
    import boto3
    from botocore.config import Config

    with explained(f"make a client of {service}"):
        session = session or boto3.Session()
        return session.client(service, region_name=region(session), config=Config(**{**PATIENCE, **config}))


def region(session: Any = None) -> str:
    """The region of the usual AWS chain, and of AWS_REGION, which boto3 passes over. AwsError where none is set."""
    import boto3

    with explained("find the region"):
        found = os.environ.get("AWS_REGION") or (session or boto3.Session()).region_name
    if not found:
        raise AwsError("No AWS region is set: set AWS_REGION, such as us-east-1, or a region in the AWS profile.")
    return str(found)


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Raise what AWS's libraries raise as one AwsError; `doing` says what was tried, as in «write the file x»."""
    from botocore import exceptions as told
    from s3transfer.exceptions import RetriesExceededError

    credentials = (
        told.NoCredentialsError,
        told.PartialCredentialsError,
        told.CredentialRetrievalError,
        told.TokenRetrievalError,
        told.ProfileNotFound,
        told.SSOError,
    )
    try:
        yield
    except told.ClientError as error:
        raise _refused(doing, error) from None  # Dagster keeps causes, and AWS's own words say who asked
    except told.NoRegionError as error:
        raise AwsError(f"Could not {doing}: no AWS region is set. Set AWS_REGION, such as us-east-1.") from error
    except credentials as error:
        raise AwsError(
            f"Could not {doing}: there are no AWS credentials that work ({type(error).__name__}). Set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run this with a role."
        ) from error
    except (told.ConnectionError, told.HTTPClientError, RetriesExceededError) as error:
        endpoint = str(getattr(error, "kwargs", {}).get("endpoint_url", "the service")).partition("?")[0]
        raise AwsError(
            f"Could not {doing}: {endpoint} cannot be reached ({type(error).__name__}). Check the network, the proxy "
            "and AWS_REGION.",
            passing=True,
        ) from error


def _refused(doing: str, error: ClientError) -> AwsError:
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in EXPIRED:
        return AwsError(f"Could not {doing}: the AWS credentials have expired. Sign in again, then start again.")
    if code in UNKNOWN:
        return AwsError(
            f"Could not {doing}: AWS does not accept the credentials ({code}). Check AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."
        )
    if code in DENIED:
        sentence = f"Could not {doing}: {missing_action(error)}. Allow it in the policies of the role or user."
        return AwsError(sentence, code=code)
    passing = code in THROTTLED or status >= 500
    return AwsError(f"Could not {doing}: {without_caller(message).rstrip('.')} ({code}).", passing=passing, code=code)


def missing_action(error: ClientError) -> str:
    """Which action is not allowed, and why, in AWS's own words where it says it."""
    message = str(error.response["Error"].get("Message", ""))
    said = re.search(r"not authorized to perform: (?P<action>\S+)(?: on resource: (?P<on>\S+))?(?P<why>.*)", message)
    if said:
        on = f" on {without_caller(said['on'])}" if said["on"] else ""
        return f"{said['action']} is not allowed{on}{without_caller(said['why']).rstrip('.')}"
    action = S3_ACTIONS.get(error.operation_name)
    return f"{action} is not allowed" if action else f"{error.operation_name} is not allowed: {without_caller(message)}"


def without_caller(text: str) -> str:
    """The text without ARNs of users and roles, whose names may be e-mail addresses."""
    return re.sub(r"arn:aws[\w-]*:(iam|sts)::\S+", "(the caller)", text)
