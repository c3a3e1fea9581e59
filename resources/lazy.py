"""Modules that are imported when they are first used, not when the code location loads.

Belongs here: the one helper for it. Dagster loads the definitions for every command and every UI refresh; an
engine's client takes longer to import than all of them take to load.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A stand-in for a module: the first attribute access imports it."""

    def __getattr__(self, name: str) -> Any:
        """The attribute of the real module."""
        if name.startswith("__"):  # asked by tools that inspect modules; none of them needs the import
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)
