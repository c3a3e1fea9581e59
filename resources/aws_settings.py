"""The environment variables that only AWS needs. Region and credentials come from the usual AWS chain.

Belongs here: names, defaults and allowed values of S3, Athena and EMR Serverless. Does not belong here: a client.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from resources.environment import Environment, choice, get, matching, number, reject

S3 = "s3://"
PRICES = ("vcpu-hour", "gb-hour", "storage-gb-hour")


@dataclass(frozen=True)
class Emr:
    """An EMR Serverless application, and how its sessions are started.

    `idle_minutes`: AWS ends a session that nobody uses for so long. `start_minutes`: how long a start may take.
    `prices`: the price of one unit of each of PRICES, in any currency; empty where none is configured.
    """

    application_id: str
    execution_role_arn: str
    idle_minutes: int = 15
    start_minutes: int = 10
    prices: dict[str, float] = field(default_factory=dict)


def s3_location(name: str, value: str, expected: str) -> str:
    """`s3://bucket/prefix` without a slash at its end. Engines and URIs take no other signs literally."""
    part = r"(?!\.{1,2}(?:/|$))[\w.-]+"  # `..` is a name to S3, and the way up to some engines
    pattern = rf"s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/{part})*/?"
    return matching({name: value}, name, pattern, expected).rstrip("/")


def source_access(env: Environment) -> str:
    """How feeds in S3 are read: with one's own credentials, without any, or with them and at one's own cost."""
    return choice(env, "STEDI_SOURCE_ACCESS", ("credentials", "anonymous", "requester-pays"))


def athena_workgroup(env: Environment) -> str:
    """The Athena workgroup; its results' location and its limits are the workgroup's own."""
    return matching(env, "STEDI_ATHENA_WORKGROUP", r"[\w.-]{1,128}", "use a workgroup's name", "primary")


def emr_settings(env: Environment) -> Emr:
    """The EMR Serverless application and its sessions."""
    role = "STEDI_EMR_EXECUTION_ROLE_ARN"
    return Emr(
        _required(env, "STEDI_EMR_APPLICATION_ID", r"[0-9a-z]{1,64}", "the id of an EMR Serverless application"),
        _required(env, role, r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+", "the ARN of the role that sessions have"),
        _minutes(env, "STEDI_EMR_IDLE_MINUTES", "15"),
        _minutes(env, "STEDI_EMR_START_MINUTES", "10"),
        _prices(env),
    )


def _required(env: Environment, name: str, pattern: str, what: str) -> str:
    value = matching(env, name, pattern, f"set it to {what}")
    if not value:
        reject(name, value, f"STEDI_SPARK='emr-serverless' needs {what}")
    return value


def _minutes(env: Environment, name: str, default: str) -> int:
    return int(number(env, name, default, 1, 1440, "set it to minutes between 1 and 1440"))


def _prices(env: Environment) -> dict[str, float]:
    name, value = "STEDI_EMR_PRICES", get(env, "STEDI_EMR_PRICES")
    if not value:
        return {}
    prices = dict(word.partition("=")[::2] for word in value.split())
    expected = "write " + " ".join(f"{unit}=0.05" for unit in PRICES) + ", each with its own price"
    if set(prices) != set(PRICES):
        reject(name, value, expected)
    return {unit: number(prices, unit, "", 0, 1000, expected) for unit in PRICES}
