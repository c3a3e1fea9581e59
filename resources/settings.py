"""Every environment variable of the project, read and validated once.

Belongs here: names, defaults, allowed values, and the sentence a user reads when a value is wrong. A field's name is
its variable's: `quarantine_limit` is STEDI_QUARANTINE_LIMIT, `emr.prices` is STEDI_EMR_PRICES. Region and credentials
come from the usual AWS chain.
Does not belong here: opening anything. Reading the settings looks whether the folders are there, and touches nothing
else: no file, no network, no engine. What a value means to the tables is theirs: here, a consent rule is a text.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import click
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

S3 = "s3://"
RESERVED = ("landing", "sample", "evidence")
"""Folders of a lakehouse that hold no tables."""

SPARK_CONF_OF_OURS = (
    "spark.remote",
    "spark.plugins",
    "spark.connect.grpc.binding.address",
    "spark.connect.grpc.binding.port",
    "spark.connect.authenticate.token",
)
"""Spark settings that nobody can replace: without them there is no engine to talk to."""

Minutes = Annotated[int, Field(ge=1, le=1440, description="set it to minutes between 1 and 1440")]


class SettingsError(click.ClickException):
    """A setting has a value that cannot work. The command line prints the sentence, without a traceback."""


def cache_folder() -> Path:
    """Where this machine keeps what can be made again any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "stedi-lakehouse")


class Sessions(BaseModel, extra="forbid", frozen=True):
    """How sessions on AWS are started.

    `idle_minutes`: AWS ends a session that nobody uses for so long. `start_minutes`: how long a start may take.
    `prices`: the price of one of each of UNITS, in any currency; empty where none is configured.
    """

    UNITS: ClassVar[Mapping[str, str]]  # what AWS bills a session for, and how people read it

    execution_role_arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$",
        description="set it to the ARN of the role that sessions have",
    )
    idle_minutes: Minutes = 15
    start_minutes: Minutes = 10
    prices: dict[str, float] = {}

    @field_validator("prices", mode="before")
    @classmethod
    def _prices(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        given = dict(word.partition("=")[::2] for word in value.split())
        try:
            prices = {unit: float(given.pop(unit)) for unit in cls.UNITS}
        except (KeyError, ValueError):
            prices = {}
        if given or not prices or not all(0 <= price <= 1000 for price in prices.values()):
            raise ValueError(f"write {' '.join(f'{unit}=0.05' for unit in cls.UNITS)}, each with its own price")
        return prices


class Emr(Sessions, frozen=True):
    """An EMR Serverless application, and its sessions."""

    UNITS = {"vcpu-hour": "vCPU-hours", "gb-hour": "GB-hours", "storage-gb-hour": "storage GB-hours"}

    application_id: str = Field(
        pattern="^[0-9a-z]{1,64}$", description="set it to the id of an EMR Serverless application"
    )


class Glue(Sessions, frozen=True):
    """Sessions of AWS Glue. `workers`: one is the driver, the others are executors."""

    UNITS = {"dpu-hour": "DPU-hours"}

    workers: int = Field(2, ge=2, le=299, description="set it to a number between 2 and 299")
    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X", "G.12X", "G.16X", "R.1X", "R.2X", "R.4X", "R.8X"] = "G.1X"


class Settings(BaseModel, extra="forbid", frozen=True):
    """What the environment asks for; see README «Settings» for the meaning of each field.

    A description says what can be written, as the sentence that refuses a value says it.
    """

    source: str = "sample"
    lakehouse: str = Field("lakehouse", validate_default=True)
    spark: Literal["embedded", "local", "emr-serverless", "glue"] = "embedded"
    consent: Literal["customer", "as-of-date"] = "customer"
    database: str = Field(
        "stedi",
        pattern="^[a-z][a-z0-9_]{0,63}$",
        description="use at most 64 lower-case letters, digits and _, starting with a letter",
    )
    quarantine_limit: float = Field(
        0.05,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="set it to a share between 0 and 1, such as 0.05 for 5 %",
    )
    shrink_limit: float = Field(
        0.5,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="set it to a share between 0 and 1, such as 0.5 for half of the rows",
    )
    history_days: int = Field(7, ge=1, le=3650, description="set it to days between 1 and 3650")
    rebuild: bool = Field(False, description="set it to 1 to make every table anew, or unset it")
    spark_conf: dict[str, str] = {}
    source_access: Literal["credentials", "anonymous", "requester-pays"] = "credentials"
    athena_workgroup: str = Field("primary", pattern="^[A-Za-z0-9_.-]{1,128}$", description="use a workgroup's name")
    emr: Emr | None = None
    glue: Glue | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; SettingsError names the variable, its value and what is allowed."""
        env = os.environ if environment is None else environment
        for unknown in sorted(name for name in env if name.startswith("STEDI_") and name not in NAMES):
            meant = get_close_matches(unknown, NAMES, n=1, cutoff=0)
            raise SettingsError(f"There is no setting {unknown}: unset it. Is {meant[0]} what you mean?")
        # An empty value is how shells and .env files say «not set».
        given = {name: value for name in NAMES if (value := env.get(name, "").strip())}
        values: dict[str, Any] = {field: given[name] for name, field in OWN_NAMES.items() if name in given}
        if service := SERVICES.get(values.get("spark", "")):
            names = _names(service)
            values[service] = {field: given[name] for name, field in names.items() if name in given}
        try:
            return cls(**values)
        except ValidationError as error:
            raise _refusal(error.errors()[0], given) from None

    @property
    def on_aws(self) -> bool:
        """Whether the tables live in S3 and the Glue Data Catalog."""
        return self.lakehouse.startswith(S3)

    @field_validator("source")
    @classmethod
    def _source(cls, value: str) -> str:
        expected = "set it to 'sample', a folder that exists, or s3://bucket/prefix"
        if value == "sample":
            return value
        if "://" in value:
            return _s3_location(value, expected)
        folder = _folder(value)
        if folder is None or not folder.is_dir():
            raise ValueError(expected)
        return str(folder)

    @field_validator("lakehouse")
    @classmethod
    def _lakehouse(cls, value: str) -> str:
        if "://" in value:
            return _s3_location(value, "set it to a folder, or to s3://bucket/prefix")
        folder = _folder(value)
        if folder is None or any(part.exists() and not part.is_dir() for part in (folder, *folder.parents)):
            raise ValueError("nothing can be written there, set it to a folder")
        if re.search(r"[*?\[\]{}#]", str(folder)):
            # Engines take these for patterns, and URIs for a query or a fragment.
            raise ValueError("set it to a folder with none of * ? [ ] { } # in its whole path")
        return str(folder)

    @field_validator("spark")
    @classmethod
    def _spark(cls, value: str, others: ValidationInfo) -> str:
        on_aws = others.data.get("lakehouse", "").startswith(S3)
        if value in SERVICES and not on_aws:
            raise ValueError("a session on AWS reaches no folder, set STEDI_LAKEHOUSE to s3://bucket/prefix")
        if value == "local" and on_aws:
            # Apache Spark reads S3 with hadoop-aws, which comes from Maven alone.
            raise ValueError("a lakehouse in S3 needs 'embedded', 'emr-serverless' or 'glue'")
        return value

    @field_validator("database")
    @classmethod
    def _database(cls, value: str) -> str:
        if value in RESERVED or value.endswith("_landing"):
            raise ValueError("that folder of the lakehouse holds something else, use another name")
        return value

    @field_validator("spark_conf", mode="before")
    @classmethod
    def _spark_conf(cls, value: object, others: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        if others.data.get("spark") == "embedded":
            raise ValueError("the embedded engine takes no Spark settings, unset it or set STEDI_SPARK=local")
        try:
            pairs = [word.partition("=")[::2] for word in shlex.split(value)]
        except ValueError as error:
            raise ValueError(f"it cannot be split into settings ({error})") from None
        for key, setting in pairs:
            if not re.fullmatch(r"spark(\.[\w-]+)+", key) or not setting:
                raise ValueError("write spark.key=value, several with blanks between, quotes around one with blanks")
            if others.data.get("spark") == "glue" and re.search(r"\s", setting):
                raise ValueError(f"Glue splits values at blanks, leave {key} out or write it without them")
            if key in SPARK_CONF_OF_OURS:
                raise ValueError(f"{key} is set by the engine itself, leave it out")
        return dict(pairs)


SERVICES = {"emr-serverless": "emr", "glue": "glue"}
"""Services with sessions, as STEDI_SPARK names them, and the field with their settings."""
OF_SESSIONS: dict[str, type[Sessions]] = {"emr": Emr, "glue": Glue}


def _names(service: str) -> dict[str, str]:
    """The variables of a service with sessions, and their fields."""
    return {f"STEDI_{service}_{field}".upper(): field for field in OF_SESSIONS[service].model_fields}


OWN_NAMES = {f"STEDI_{field.upper()}": field for field in Settings.model_fields if field not in OF_SESSIONS}
NAMES = (*OWN_NAMES, *_names("emr"), *_names("glue"))
"""Every variable that there is: another one of this prefix is a slip of the pen, and a rule that does not apply."""


def _s3_location(value: str, expected: str) -> str:
    """`s3://bucket/prefix` without a slash at its end. Engines and URIs take no other signs literally."""
    part = r"(?!\.{1,2}(?:/|$))[\w.-]+"  # `..` is a name to S3, and the way up to some engines
    if not re.fullmatch(rf"s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/{part})*/?", value):
        raise ValueError(expected)
    return value.rstrip("/")


def _folder(value: str) -> Path | None:
    """The folder's whole path, or None where it begins with the home of a user whom nobody knows."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        return None


def _refusal(error: ErrorDetails, given: Mapping[str, str]) -> SettingsError:
    """What pydantic says of a value, as a sentence about the variable that it came from."""
    service, *rest = map(str, error["loc"])
    if service in OF_SESSIONS:
        name, info = f"STEDI_{service}_{rest[0]}".upper(), OF_SESSIONS[service].model_fields[rest[0]]
    else:
        name, info = f"STEDI_{service}".upper(), Settings.model_fields[service]
    expected = info.description or f"set it to {error.get('ctx', {}).get('expected')}"
    if error["type"] == "value_error":
        expected = str(error["ctx"]["error"])
    if error["type"] == "missing":
        expected = f"STEDI_SPARK={given['STEDI_SPARK']!r} needs {expected.removeprefix('set it to ')}"
    return SettingsError(f"{name}={given.get(name, '')!r} is not usable: {expected}.")
