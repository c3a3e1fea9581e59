"""A table: its contract, the pure function that computes it, and what is checked before it is published.

Belongs here: the decorator that makes a function a table, and when its code is another one. Does not belong here: any
one table, or what Dagster makes of it (`asset.py`, `step.py`).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stedi_assets.contracts import Table
from stedi_assets.pipeline.checks import (
    KEPT_ITS_ROWS,
    MATCHES_CONTRACT,
    Check,
    Query,
    TableCheck,
    required_columns_filled,
)
from stedi_assets.pipeline.inputs import table_inputs
from stedi_assets.pipeline.reconciliation import rows_reconciled

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class Dependence:
    """What rows depend on beside readings of their own day: what other tables say of a key, such as a person.

    Each query of `says` gives one row a key, which is its first column. Where one of them differs, the days on which
    `table`, one of the inputs with days, has the key are made again. `key` finds it in its rows; `what` says
    of what something changed.
    """

    what: str
    table: str
    key: Callable[[DataFrame], Column]
    says: tuple[Query, ...]

    @property
    def inputs(self) -> set[str]:
        """The tables that say something."""
        return {name for query in self.says for name in table_inputs(query)}


@dataclass(frozen=True)
class LakehouseTable:
    """A table: its contract, the pure function that computes it, and what is checked before it is published."""

    contract: Table
    function: Callable[..., DataFrame]
    checks: tuple[TableCheck, ...]
    reconciliation: Query | None = None
    made_by: tuple[Any, ...] = ()
    excused: frozenset[str] = frozenset()
    depends: Dependence | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> DataFrame:
        """Compute the table from DataFrames, with no storage and no Dagster: what unit tests call."""
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The table's name, which is also the asset's key."""
        return self.contract.name

    @property
    def all_checks(self) -> tuple[Check, ...]:
        """Every check of the table, those that no query measures among them."""
        return (MATCHES_CONTRACT, *self.checks, *(() if self.contract.of_rejects else (KEPT_ITS_ROWS,)))

    @property
    def inputs(self) -> list[str]:
        """The upstream tables."""
        return table_inputs(self.function)

    def code_version(self, options: Mapping[str, str]) -> str:
        """Changes when the function, what it is checked by, their vocabulary, the contract or an option changes."""
        queries = [check.query for check in self.checks] + [*(self.depends.says if self.depends else ())]
        called = {module for function in (self.function, *queries) for module in vocabulary(function)}
        measures = [getattr(check.measure, "func", check.measure) for check in self.checks]
        modules = called | {sys.modules[one.__module__] for one in (*queries, *measures)}
        by_name = sorted(modules, key=lambda module: module.__name__)
        return code_version(self.function, *by_name, *self.made_by, repr(self.contract), *map(str, options.values()))


def lakehouse_table(
    contract: Table,
    checks: Sequence[TableCheck] = (),
    reconciliation: Query | None = None,
    made_by: Sequence[Any] = (),
    excused: Collection[str] = (),
    depends: Dependence | None = None,
) -> Callable[[Callable[..., DataFrame]], LakehouseTable]:
    """Make a function from upstream DataFrames to a DataFrame the table of that contract.

    The function's parameters name the upstream tables. Every table is held to its contract and, with
    `reconciliation`, to the last row; `checks` are its own promises. `made_by` are modules that make it beside the
    function: a change there is a change of the table. Rows that the `excused` rules drop may go in any number.
    Of a table with days, `depends` says what else they depend on.
    """
    common = [required_columns_filled(contract), *([rows_reconciled(reconciliation)] if reconciliation else [])]

    def decorate(function: Callable[..., DataFrame]) -> LakehouseTable:
        every = (*checks, *common)
        return LakehouseTable(contract, function, every, reconciliation, tuple(made_by), frozenset(excused), depends)

    return decorate


def vocabulary(function: Callable[..., Any]) -> list[ModuleType]:
    """The project's modules whose functions this one calls: a change there is a change of the table."""
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    names = {one.__module__ for one in called if inspect.isfunction(one)}
    return [sys.modules[name] for name in sorted(names) if name.partition(".")[0] == __name__.partition(".")[0]]


def code_version(*parts: Any) -> str:
    """A hash of functions, modules and texts that ignores comments, docstrings and layout."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else _syntax(part).encode())
    return digest.hexdigest()[:12]


@cache  # Dagster loads the definitions several times for one command
def _syntax(part: Any) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
