"""What cannot be done, as one error whose sentence says what was wrong, where, and what to do.

Belongs here: the error, and the translation of what folders, catalogs, engines and AWS refuse. Does not belong here:
what was tried; callers say that. Never in a sentence: a row that somebody quotes, or who asked AWS, whose name may be
an e-mail address. So an error's own words are there only where its kind is known to hold neither; and as causes are
kept in Dagster's history, they are dropped (`from None`).
"""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import dagster as dg

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from pyspark.errors import PySparkException


P = ParamSpec("P")
T = TypeVar("T")


class LakehouseError(dg.Failure):
    """Something that the lakehouse cannot do. `retry` says whether the same step may succeed if it is tried again."""

    def __init__(self, sentence: str, *, retry: bool = False) -> None:
        super().__init__(description=sentence, allow_retries=retry)


@contextmanager
def translate_errors(doing: str, where: str = "") -> Iterator[None]:
    """Raise as LakehouseError what storage, catalog, engine or AWS refuses; other errors pass.

    `doing` says what was tried, as in «read the table x»; `where` is the folder or bucket that remedies name.
    """
    try:
        yield
    except Exception as error:
        failure = translated(error, doing, where)
        if failure is None:
            raise
        raise failure from None


def translated(error: Exception, doing: str, where: str = "") -> LakehouseError | None:
    """The error as a sentence; None where it is one already, or none of storage, catalog, engine or AWS."""
    if isinstance(error, dg.Failure):
        return None
    said = f"Could not {doing}: "
    if isinstance(error, OSError):
        if refusal := _arrow_s3_refusal(error):
            return _of_aws(said, refusal)
        # With a number it is the operating system's; others may quote what they read.
        words = (
            f"{error}." if error.errno is not None or _raised_in(error).partition(".")[0] in _OURS else _place_of(error)
        )
        remedy = remedy_for(error, where) or (f"Look at {where}" if where else "Look at it")
        return LakehouseError(f"{said}{words} {remedy}.", retry=isinstance(error, (ConnectionError, TimeoutError)))
    if _raised_in(error).partition(".")[0] in _OF_TABLES:
        return LakehouseError(f"{said}{_place_of(error)}")
    if "SQLAlchemyError" in _kinds(error):
        return _of_catalog(said, error, where)
    if "PySparkException" in _kinds(error):
        if keys := keys_refused(error):
            return keys
        # An engine tells what the operating system told it, among other things; the line around it may quote a row.
        remedy = remedy_for(error, where) or ""
        return LakehouseError(f"{said}{os.strerror(_refusal(str(error)) or 0)}. {remedy}.") if remedy else None
    return _of_botocore(said, error)


def as_failure(error: Exception) -> dg.Failure:
    """Any error as one that quotes no row, to be raised `from None`: as a sentence, or with its place in the code."""
    if isinstance(error, dg.Failure):
        return error
    if "PySparkException" in _kinds(error):
        return query_error(cast("PySparkException", error))
    failure = translated(error, "finish the step", "its folder")
    if failure is None:
        words = f"{type(error).__name__}: {error}." if isinstance(error, _OF_THE_CODE_ALONE) else _place_of(error)
        failure = LakehouseError(words).with_traceback(error.__traceback__)
    return failure


def is_of_interrupt(error: BaseException | None) -> bool:
    """Whether somebody broke off what was done. pyspark may answer that with an error of its own."""
    return error is not None and (not isinstance(error, Exception) or is_of_interrupt(error.__context__))


def engine_has_ended(error: BaseException) -> bool:
    """Whether an engine that failed so does no more of what it was asked for. One that was interrupted or is out of
    reach may go on writing.
    """
    from pyspark.errors import PySparkException

    # Exactly of this class is what no engine has said: the way to it is lost.
    said = isinstance(error, PySparkException) and type(error).__name__ != "SparkConnectGrpcException"
    return (said or isinstance(error, LakehouseError)) and not is_of_interrupt(error)


def quoting_no_row(step: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """A step of a run, whose errors leave it `as_failure`: Dagster keeps what an error and its causes say."""

    @wraps(step)
    def quiet(*arguments: P.args, **options: P.kwargs) -> Iterator[T]:
        try:
            yield from step(*arguments, **options)
        except Exception as error:
            raise as_failure(error) from None

    return quiet


def _kinds(error: Exception) -> set[str]:
    """The names of the error's classes in libraries, none of which is imported for this."""
    libraries = ("sqlalchemy", "pyspark", "botocore", "s3transfer", "boto3")
    return {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in libraries}


_OURS = ("stedi_assets", "resources", "sample")
_OF_TABLES = ("pyiceberg", "pyarrow", "pydantic", "pydantic_core")
"""Libraries that read and write tables: they quote a file's least and greatest values, and what they cannot convert."""
_OF_THE_CODE_ALONE = (ImportError, NameError, ZeroDivisionError, RecursionError, MemoryError)
"""Errors whose words hold no value. A KeyError's do, and a ValueError's: `int("ann@…")`, in our own code, too."""


def _place_of(error: Exception) -> str:
    return f"{type(error).__name__} was raised in {_raised_in(error)}. What it says may quote rows, so it is not kept."


def _raised_in(error: Exception) -> str:
    """The module whose code raised the error."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", frames[-1].f_code.co_filename)) if frames else "the code"


# Folders and the catalog's database -------------------------------------------------------------------------------

_ROOM = "Make room in {where}, and run it again"
_RIGHTS = "Give the user that runs Dagster the right to read and write in {where}"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "Set STEDI_LAKEHOUSE to a folder that can be written",
}
_LOCKED = "locked"
_DATABASE = {
    _LOCKED: "another process holds the catalog: wait for it to end, and run it again",
    "readonly|unable to open": "give the user that runs Dagster the right to write catalog.db and its folder",
    "disk is full": "make room there, and run it again",
    "malformed|not a database": "catalog.db is damaged: put a copy of it back, or move the folder away and materialize "
    "everything",
}


def remedy_for(error: Exception, where: str) -> str | None:
    """What to do about what the operating system refused in `where`, without a full stop; None where nobody knows."""
    number = getattr(error, "errno", None)
    remedy = _REMEDIES.get(number if number in _REMEDIES else _refusal(str(error)) or 0)
    return remedy.format(where=where) if remedy else None


def _refusal(said: str) -> int | None:
    return next((number for number in _REMEDIES if os.strerror(number) in said), None)


def _of_catalog(said: str, error: Exception, where: str) -> LakehouseError:
    # Its own words are of the database; SQLAlchemy's around them have the statement and its values.
    database = str(getattr(error, "orig", None) or type(error).__name__)
    remedy = next((remedy for words, remedy in _DATABASE.items() if re.search(words, database)), f"look at {where}")
    sentence = f"{said}the catalog in {where} says «{database}». What to do: {remedy}."
    return LakehouseError(sentence, retry=_LOCKED in database)


# Engines ----------------------------------------------------------------------------------------------------------

# Words that come from the engine alone, and that say what somebody can mend.
_HARMLESS = re.compile(
    r"no space left|quota exceeded|read-only file system|permission denied|access ?denied|no such file|not found"
    r"|resources exhausted|out ?of ?memory|connection (?:refused|reset)|timed out"
    r"|\b(?:cast|parse|compute|execution|arrow|parquet|object store|io) error\b",
    re.IGNORECASE,
)
# Of S3's answers to an engine those about its keys; to a question about a file it answers without a word of why.
_KEYS = re.compile(r"<Code>(InvalidAccessKeyId|InvalidToken|ExpiredToken|SignatureDoesNotMatch)<|403 Forbidden:\s*\Z")
# An engine in the middle of reading or writing in S3.
_PASSING = re.compile(r"connection (?:refused|reset)|timed out|slow ?down|service ?unavailable", re.IGNORECASE)


def keys_refused(error: Exception) -> LakehouseError | None:
    """The error of an engine whose keys S3 does not take; None for any other.

    Not worth a retry: Sail keeps the first keys that it finds, unless they tell when they end, also when it is started
    again in the same process.
    """
    refused = _KEYS.search(str(error))
    return refused and LakehouseError(
        f"S3 refuses the engine's keys ({refused[1] or '403 Forbidden'}). An engine in this process uses those that it "
        "started with: if they were rotated or have expired since, start the run again; it takes the new ones. If not, "
        "check them, and that their role or user may read and write in the bucket."
    )


def query_error(error: PySparkException) -> LakehouseError:
    """The error of a query that ran, to be raised `from None`: with the place in the code, without the engine's words.

    Of them, its name for the error is kept, and what else cannot come from a row.
    """
    if keys := keys_refused(error):
        return keys.with_traceback(error.__traceback__)
    words = str(error)
    harmless = _HARMLESS.search(words)
    name = error.getCondition() or type(error).__name__
    return LakehouseError(
        f"A query failed in the engine: {name}{f' («{harmless[0]}»)' if harmless else ''}. What else the engine says "
        "may quote rows, so it is not kept. To see it, run the query in a session of your own: README «Reading the "
        "data».",
        retry=_PASSING.search(words) is not None,
    ).with_traceback(error.__traceback__)


def refused_query(error: PySparkException) -> LakehouseError:
    """The error of a query that the engine refuses before it reads a row: its own words, which can be shown whole."""
    said = str(error).partition("JVM stacktrace:")[0].strip()
    failure = LakehouseError(f"The engine refuses the query before it reads a row: {said}")
    return failure.with_traceback(error.__traceback__)


# AWS --------------------------------------------------------------------------------------------------------------

# By the code of AWS's answer; Arrow tells most of its own without a status.
_DENIED = re.compile("AccessDenied|Unauthorized|Forbidden|^403$")
_EXPIRED = re.compile("Expired|TokenRefreshRequired")
_UNKNOWN = re.compile(
    "UnrecognizedClient|Invalid(ClientTokenId|AccessKeyId|Signature|Token)|SignatureDoesNotMatch|IncompleteSignature"
)
_PASSES = re.compile(
    "Throttling|TooManyRequests|RequestLimitExceeded|SlowDown"
    "|NetworkConnection|(Request|Operation)Timeout|ServiceUnavailable|Internal(Failure|Error)"
)
# S3's actions are not named like its operations, and S3 does not always say which one it missed.
_S3_ACTIONS = {
    "HeadBucket|ListObjects": "s3:ListBucket",
    "HeadObject|GetObject": "s3:GetObject",
    "Copy": "s3:PutObject, or s3:GetObject of what is copied",
    "PutObject|MultipartUpload|UploadPart": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
}
_NO_CREDENTIALS = re.compile("(NoCredentials|PartialCredentials|(Credential|Token)Retrieval|SSO)Error|ProfileNotFound")
_UNREACHED = {"ConnectionError", "HTTPClientError", "RetriesExceededError"}


def without_caller(text: str) -> str:
    """The text without ARNs of users and roles, whose names may be e-mail addresses."""
    return re.sub(r"arn:aws[\w-]*:(iam|sts)::\S+", "(the caller)", text)


def _of_botocore(said: str, error: Exception) -> LakehouseError | None:
    kinds = _kinds(error)
    if "ClientError" in kinds:
        return _of_aws(said, error)
    if "NoRegionError" in kinds:
        return LakehouseError(f"{said}no AWS region is set. Set AWS_REGION, such as us-east-1.")
    if any(map(_NO_CREDENTIALS.fullmatch, kinds)):
        return LakehouseError(
            f"{said}there are no AWS credentials that work ({type(error).__name__}). Set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run this with a role."
        )
    if kinds & _UNREACHED:
        endpoint = str(getattr(error, "kwargs", {}).get("endpoint_url", "the service")).partition("?")[0]
        return LakehouseError(
            f"{said}{endpoint} cannot be reached ({type(error).__name__}). Check the network, the proxy and "
            "AWS_REGION.",
            retry=True,
        )
    return None


def _of_aws(said: str, error: Any) -> LakehouseError:
    """What AWS's service answered."""
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    if _EXPIRED.search(code):
        return LakehouseError(f"{said}the AWS credentials have expired. Sign in again, then start again.")
    if _UNKNOWN.search(code):
        return LakehouseError(
            f"{said}AWS does not accept the credentials ({code}). Check AWS_PROFILE, or AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."
        )
    if _DENIED.search(code):
        return LakehouseError(f"{said}{_missing_action(error)}. Allow it in the policies of the role or user.")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    sentence = f"{said}{without_caller(message).rstrip('.')} ({code})."
    return LakehouseError(sentence, retry=bool(_PASSES.search(code)) or status >= 500)


def _missing_action(error: ClientError) -> str:
    """Which action is not allowed, and why, in AWS's own words where it says it."""
    message = str(error.response["Error"].get("Message", ""))
    said = re.search(r"not authorized to perform: (?P<action>\S+)(?: on resource: (?P<on>\S+))?(?P<why>.*)", message)
    if said:
        on = f" on {without_caller(said['on'])}" if said["on"] else ""
        return f"{said['action']} is not allowed{on}{without_caller(said['why']).rstrip('.')}"
    action = next((one for form, one in _S3_ACTIONS.items() if re.search(form, error.operation_name)), None)
    return f"{action} is not allowed" if action else f"{error.operation_name} is not allowed: {without_caller(message)}"


def _arrow_s3_refusal(error: OSError) -> ClientError | None:
    """What Arrow's client for S3 was refused, as boto3 would tell it; None for any other error."""
    form = r"AWS Error (\w+)(?: \(HTTP status (\d+)\))? during (\w+) operation: (.*)"
    said = re.search(form, str(error), re.DOTALL)
    if not said:
        return None
    from botocore.exceptions import ClientError

    code, status, operation, message = said.groups()
    name = "".join(map(str.title, code.split("_")))
    answer: Any = {"Error": {"Code": name, "Message": message}}
    return ClientError({**answer, "ResponseMetadata": {"HTTPStatusCode": int(status or 0)}}, operation)
