"""What checks find in tables that a test makes up: evaluated as a step does it, with no storage and no run.

Belongs here: every table with its checks, and their evaluation over given frames. Does not belong here: what is found.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.iceberg.version import Version
from stedi_assets.contracts import FEEDS, TABLES
from stedi_assets.definitions import TRUSTED_AND_CURATED
from stedi_assets.landing import tables_of
from stedi_assets.pipeline.checks import Facts, Numbers, Query, TableCheck
from stedi_assets.pipeline.evaluation import Evaluation
from stedi_assets.pipeline.inputs import Inputs
from stedi_assets.pipeline.measure import Scope, measure_all
from stedi_assets.pipeline.step import Step
from stedi_assets.pipeline.table import LakehouseTable
from stedi_assets.rules import Consent
from tests.stedi_assets.examples import Row, customer, distance, reading
from tests.support import MakeFrame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
EVERY_FEEDS_TABLES = {feed.name: tables_of(feed, 0.05) for feed in FEEDS}
EVERY_TABLE: dict[str, LakehouseTable] = {
    table.name: table
    for table in (*(table for tables in EVERY_FEEDS_TABLES.values() for table in tables), *TRUSTED_AND_CURATED)
}
ON_EVERY_TABLE = {"matches_contract", "required_columns_filled", "rows_reconciled"}
WHERE_ROWS_ARE_KEPT = {"kept_its_rows"}
"""On every table but quarantine: what is mended may go."""
OF_EVERY_FEED = {"accepted_are_sound", "quarantine_within_limit"}

World = Mapping[str, Sequence[Row]]
"""Rows by table; `rows` are those of the checked table. What is left out is empty."""


def pair(serial: str, at: int = 1, x: float = 1.0) -> Row:
    """A row of machine_learning_curated."""
    return {**distance(serial, at), "x": x, "y": 0.0, "z": 0.0}


MANY = [customer(f"c{number}@x", f"S{number}") for number in range(10)]
ALL_READ = [reading(f"c{number}@x") for number in range(10)]
ALL_MEASURED = [distance(f"S{number}") for number in range(10)]
MATCHING: World = {
    "rows": [pair(f"S{number}") for number in range(10)],
    "customer_trusted": MANY,
    "accelerometer_trusted": ALL_READ,
    "step_trainer_trusted": ALL_MEASURED,
}
"""Everybody's Step Trainer and phone measured once, at the same moment."""


def check_of(table: str, name: str) -> TableCheck:
    return next(one for one in EVERY_TABLE[table].checks if one.name == name)


def found(
    frame: MakeFrame,
    table: str,
    name: str,
    world: World,
    facts: Facts | None = None,
    consent: Consent = Consent.CUSTOMER,
) -> dg.AssetCheckResult:
    """The one check's result."""
    check = check_of(table, name)
    frames = {
        one: frame(TABLES[table if one == "rows" else one], world.get(one, ()))
        for one in inspect.signature(check.query).parameters
        if one != "consent"
    }
    numbers = measured([check], frames, consent)[name]
    return check.evaluate(numbers, facts or Facts(rows_published=len(world.get("rows", ()))))


@dataclass(frozen=True)
class Frames:
    """Frames by name, as all that a check's query is bound to."""

    frames: Mapping[str, DataFrame]
    consent: Consent

    def bind(self, query: Query, **given: DataFrame) -> DataFrame:
        known: dict[str, Any] = {**self.frames, **given, "consent": self.consent}
        return query(**{name: known[name] for name in inspect.signature(query).parameters})


def measured(
    checks: Sequence[TableCheck], frames: Mapping[str, DataFrame], consent: Consent = Consent.CUSTOMER
) -> dict[str, Numbers]:
    """What the checks of one table measure in these frames."""
    inputs: Any = Frames(frames, consent)
    scope = Scope("any", inputs, {})
    return measure_all((scope, check) for check in checks)[scope]


@dataclass
class GivenTables(Inputs):
    """Published tables, some of which a test gives as frames."""

    given: Mapping[str, DataFrame] = field(default_factory=dict)

    def frame(self, name: str) -> DataFrame:
        return self.given[name] if name in self.given else super().frame(name)

    def version(self, name: str) -> Version:
        if name not in self.given:
            return super().version(name)
        return Version(1, rows=_count(self.given[name]), size=0, committed_ms=0, properties={})

    def columns(self, name: str) -> list[tuple[str, str]]:
        return self.given[name].dtypes if name in self.given else super().columns(name)

    def as_then(self, version: Version) -> Inputs:
        return self


@cache
def _count(frame: DataFrame) -> int:
    return frame.count()


@dataclass
class Published:
    """The tables as attributes."""

    inputs: Inputs

    def __getattr__(self, name: str) -> DataFrame:
        return self.inputs.frame(name)


def evaluated(tables: Sequence[LakehouseTable], inputs: Inputs) -> dict[str, Evaluation]:
    """What a step's checks find in these tables, as they are among the inputs."""
    context: Any = SimpleNamespace(selected_asset_keys=frozenset())  # as of a run that executes checks alone
    return Step(context, inputs, tables).check_published()


def in_memory(frame: DataFrame) -> DataFrame:
    """The same rows, computed once."""
    return frame.sparkSession.createDataFrame(frame.collect(), frame.schema)
