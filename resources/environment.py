"""Reading one environment variable, and the sentence a user reads when its value cannot work.

Belongs here: what is the same for every variable. Does not belong here: any variable (`settings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import NoReturn

import click

Environment = Mapping[str, str]


class SettingsError(click.ClickException):
    """A setting has a value that cannot work. The command line prints the sentence, without a traceback."""


def get(env: Environment, name: str, default: str = "") -> str:
    """The variable's value. An empty value is how shells and .env files say «not set»."""
    return env.get(name, "").strip() or default


def reject(name: str, value: str, expected: str) -> NoReturn:
    """Raise SettingsError: this value cannot work, that one would."""
    raise SettingsError(f"{name}={value!r} is not usable: {expected}.")


def refuse_unknown(env: Environment, prefix: str, names: Collection[str]) -> None:
    """Raise SettingsError where a variable of that prefix has none of the names."""
    for unknown in sorted(name for name in env if name.startswith(prefix) and name not in names):
        meant = get_close_matches(unknown, names, n=1, cutoff=0)
        raise SettingsError(f"There is no setting {unknown}: unset it. Is {meant[0]} what you mean?")


def choice(env: Environment, name: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed values; the first is the default."""
    value = get(env, name, allowed[0])
    if value not in allowed:
        reject(name, value, f"set it to {' or '.join(map(repr, map(str, allowed)))}")
    return value


def matching(env: Environment, name: str, pattern: str, expected: str, default: str = "") -> str:
    """A value that the pattern describes, or nothing where there is no default."""
    value = get(env, name, default)
    if value and not re.fullmatch(pattern, value):
        reject(name, value, expected)
    return value


def number(env: Environment, name: str, default: str, low: float, high: float, expected: str) -> float:
    """A number between `low` and `high`, both included."""
    value = get(env, name, default)
    try:
        read = float(value)
    except ValueError:
        read = low - 1
    if not low <= read <= high:
        reject(name, value, expected)
    return read
