"""Every environment variable of the project, read and validated once.

Belongs here: names, defaults, allowed values, and the sentence a user reads when a value is wrong.
Does not belong here: opening anything. Reading the settings looks whether the folders are there, and touches nothing
else: no file, no network, no engine.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

import click

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


class Consent(StrEnum):
    """Which readings a consenting customer shares."""

    CUSTOMER = "customer"  # all of them
    AS_OF_DATE = "as-of-date"  # those taken at or after the moment of consent


class SettingsError(click.ClickException):
    """A setting has a value that cannot work. The command line prints the sentence, without a traceback."""


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

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; SettingsError names the variable, its value and what is allowed."""
        env = os.environ if environment is None else environment
        return cls(
            source=_source(env),
            lakehouse=_lakehouse(env),
            spark=_engine(env),
            consent=Consent(_choice(env, "STEDI_CONSENT", tuple(Consent))),
            database=_database(env),
            quarantine_limit=_share(env, "STEDI_QUARANTINE_LIMIT", "0.05"),
            spark_conf=_spark_conf(env),
        )


def _get(env: Mapping[str, str], name: str, default: str) -> str:
    # An empty value is how shells and .env files say «not set».
    return env.get(name, "").strip() or default


def _reject(name: str, value: str, expected: str) -> NoReturn:
    raise SettingsError(f"{name}={value!r} is not usable: {expected}.")


def _choice(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = _get(env, name, allowed[0])
    if value not in allowed:
        _reject(name, value, f"set it to {' or '.join(map(repr, map(str, allowed)))}")
    return value


def _source(env: Mapping[str, str]) -> str:
    value = _get(env, "STEDI_SOURCE", "sample")
    if value == "sample":
        return value
    if value.startswith("s3://"):
        _reject("STEDI_SOURCE", value, "feeds in S3 are not available yet, set it to 'sample' or a folder")
    folder = _folder(value)
    if folder is None or not folder.is_dir():
        _reject("STEDI_SOURCE", value, "set it to 'sample' or to a folder that exists")
    return str(folder)


def _lakehouse(env: Mapping[str, str]) -> str:
    value = _get(env, "STEDI_LAKEHOUSE", "lakehouse")
    if "://" in value:
        _reject("STEDI_LAKEHOUSE", value, "a lakehouse in S3 is not available yet, set it to a folder")
    folder = _folder(value)
    if folder is None or any(part.exists() and not part.is_dir() for part in (folder, *folder.parents)):
        _reject("STEDI_LAKEHOUSE", value, "nothing can be written there, set it to a folder")
    if re.search(r"[*?\[\]{}#]", str(folder)):
        # Engines take these for patterns, and URIs for a query or a fragment.
        _reject("STEDI_LAKEHOUSE", value, "set it to a folder with none of * ? [ ] { } # in its whole path")
    return str(folder)


def _folder(value: str) -> Path | None:
    """The folder's whole path, or None where it begins with the home of a user whom nobody knows."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        return None


def _engine(env: Mapping[str, str]) -> str:
    value = _choice(env, "STEDI_SPARK", ("embedded", "local", "emr-serverless"))
    if value == "emr-serverless":
        _reject("STEDI_SPARK", value, "this engine is not available yet, set it to 'embedded' or 'local'")
    return value


def _spark_conf(env: Mapping[str, str]) -> dict[str, str]:
    name, value = "STEDI_SPARK_CONF", _get(env, "STEDI_SPARK_CONF", "")
    if value and _engine(env) == "embedded":
        _reject(name, value, "the embedded engine takes no Spark settings, unset it or set STEDI_SPARK=local")
    try:
        words = shlex.split(value)
    except ValueError as error:
        _reject(name, value, f"it cannot be split into settings ({error})")
    pairs = [word.partition("=")[::2] for word in words]
    for key, setting in pairs:
        if not re.fullmatch(r"spark(\.[\w-]+)+", key) or not setting:
            _reject(name, value, "write spark.key=value, several with blanks between, quotes around one with blanks")
        if key in SPARK_CONF_OF_OURS:
            _reject(name, value, f"{key} is set by the engine itself, leave it out")
    return dict(pairs)


def _database(env: Mapping[str, str]) -> str:
    value = _get(env, "STEDI_DATABASE", "stedi")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value):
        _reject("STEDI_DATABASE", value, "use at most 64 lower-case letters, digits and _, starting with a letter")
    if value in RESERVED or value.endswith("_landing"):
        _reject("STEDI_DATABASE", value, "that folder of the lakehouse holds something else, use another name")
    return value


def _share(env: Mapping[str, str], name: str, default: str) -> float:
    value = _get(env, name, default)
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        _reject(name, value, "set it to a share between 0 and 1, such as 0.05 for 5 %")
    return share
