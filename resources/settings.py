"""Every environment variable of the project, read and validated once.

Belongs here: names, defaults, allowed values, and the sentence a user reads when a value is wrong.
Does not belong here: opening anything. Reading the settings looks whether the folders are there, and touches nothing
else: no file, no network, no engine. What only AWS needs is in `aws_settings.py`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from resources.aws_settings import S3, Emr, athena_workgroup, emr_settings, s3_location, source_access
from resources.environment import Environment, SettingsError, choice, get, matching, number, refuse_unknown, reject

__all__ = ["RESERVED", "SPARK_CONF_OF_OURS", "Consent", "Settings", "SettingsError"]

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


NAMES = (
    "STEDI_SOURCE",
    "STEDI_LAKEHOUSE",
    "STEDI_SPARK",
    "STEDI_SPARK_CONF",
    "STEDI_CONSENT",
    "STEDI_DATABASE",
    "STEDI_QUARANTINE_LIMIT",
    "STEDI_SOURCE_ACCESS",
    "STEDI_ATHENA_WORKGROUP",
    "STEDI_EMR_APPLICATION_ID",
    "STEDI_EMR_EXECUTION_ROLE_ARN",
    "STEDI_EMR_START_MINUTES",
    "STEDI_EMR_IDLE_MINUTES",
    "STEDI_EMR_PRICES",
    "STEDI_CODE_LOCATION",  # deploy/workspace.yaml reads it
)
"""Every variable that there is: another one of this prefix is a slip of the pen, and a rule that does not apply."""


def cache_folder() -> Path:
    """Where this machine keeps what can be made again any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "stedi-lakehouse")


class Consent(StrEnum):
    """Which readings a consenting customer shares."""

    CUSTOMER = "customer"  # all of them
    AS_OF_DATE = "as-of-date"  # those taken at or after the moment of consent


@dataclass(frozen=True)
class Settings:
    """What the environment asks for; see README «Settings» for the meaning of each field."""

    source: str
    lakehouse: str
    spark: str
    consent: Consent
    database: str
    quarantine_limit: float
    spark_conf: dict[str, str]
    source_access: str = "credentials"
    athena_workgroup: str = ""
    emr: Emr | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; SettingsError names the variable, its value and what is allowed."""
        env = os.environ if environment is None else environment
        refuse_unknown(env, "STEDI_", NAMES)
        lakehouse = _lakehouse(env)
        on_aws = lakehouse.startswith(S3)
        engine = _engine(env, on_aws=on_aws)
        return cls(
            source=_source(env),
            lakehouse=lakehouse,
            spark=engine,
            consent=Consent(choice(env, "STEDI_CONSENT", tuple(Consent))),
            database=_database(env),
            quarantine_limit=number(
                env, "STEDI_QUARANTINE_LIMIT", "0.05", 0, 1, "set it to a share between 0 and 1, such as 0.05 for 5 %"
            ),
            spark_conf=_spark_conf(env, engine),
            source_access=source_access(env),
            athena_workgroup=athena_workgroup(env) if on_aws else "",
            emr=emr_settings(env) if engine == "emr-serverless" else None,
        )

    @property
    def on_aws(self) -> bool:
        """Whether the tables live in S3 and the Glue Data Catalog."""
        return self.lakehouse.startswith(S3)


def _source(env: Environment) -> str:
    value = get(env, "STEDI_SOURCE", "sample")
    if value == "sample":
        return value
    if "://" in value:
        return s3_location("STEDI_SOURCE", value, "set it to 'sample', a folder that exists, or s3://bucket/prefix")
    folder = _folder(value)
    if folder is None or not folder.is_dir():
        reject("STEDI_SOURCE", value, "set it to 'sample', a folder that exists, or s3://bucket/prefix")
    return str(folder)


def _lakehouse(env: Environment) -> str:
    value = get(env, "STEDI_LAKEHOUSE", "lakehouse")
    if "://" in value:
        return s3_location("STEDI_LAKEHOUSE", value, "set it to a folder, or to s3://bucket/prefix")
    folder = _folder(value)
    if folder is None or any(part.exists() and not part.is_dir() for part in (folder, *folder.parents)):
        reject("STEDI_LAKEHOUSE", value, "nothing can be written there, set it to a folder")
    if re.search(r"[*?\[\]{}#]", str(folder)):
        # Engines take these for patterns, and URIs for a query or a fragment.
        reject("STEDI_LAKEHOUSE", value, "set it to a folder with none of * ? [ ] { } # in its whole path")
    return str(folder)


def _folder(value: str) -> Path | None:
    """The folder's whole path, or None where it begins with the home of a user whom nobody knows."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        return None


def _engine(env: Environment, *, on_aws: bool) -> str:
    value = choice(env, "STEDI_SPARK", ("embedded", "local", "emr-serverless"))
    if value == "emr-serverless" and not on_aws:
        reject("STEDI_SPARK", value, "EMR Serverless reaches no folder, set STEDI_LAKEHOUSE to s3://bucket/prefix")
    if value == "local" and on_aws:
        # Apache Spark reads S3 with hadoop-aws, which comes from Maven alone.
        reject("STEDI_SPARK", value, "a lakehouse in S3 needs 'embedded' or 'emr-serverless'")
    return value


def _spark_conf(env: Environment, engine: str) -> dict[str, str]:
    name, value = "STEDI_SPARK_CONF", get(env, "STEDI_SPARK_CONF")
    if value and engine == "embedded":
        reject(name, value, "the embedded engine takes no Spark settings, unset it or set STEDI_SPARK=local")
    try:
        words = shlex.split(value)
    except ValueError as error:
        reject(name, value, f"it cannot be split into settings ({error})")
    pairs = [word.partition("=")[::2] for word in words]
    for key, setting in pairs:
        if not re.fullmatch(r"spark(\.[\w-]+)+", key) or not setting:
            reject(name, value, "write spark.key=value, several with blanks between, quotes around one with blanks")
        if key in SPARK_CONF_OF_OURS:
            reject(name, value, f"{key} is set by the engine itself, leave it out")
    return dict(pairs)


def _database(env: Environment) -> str:
    name = "STEDI_DATABASE"
    expected = "use at most 64 lower-case letters, digits and _, starting with a letter"
    value = matching(env, name, "[a-z][a-z0-9_]{0,63}", expected, "stedi")
    if value in RESERVED or value.endswith("_landing"):
        reject(name, value, "that folder of the lakehouse holds something else, use another name")
    return value
