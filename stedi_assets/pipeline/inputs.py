"""The published tables as one step sees them.

Belongs here: reading each upstream table once, and calling functions with the tables that their parameters name.
Does not belong here: what is made of them (`step.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import TYPE_CHECKING, Any

from resources.engines.engine import SparkEngine
from resources.errors import LakehouseError
from resources.iceberg.days import spans
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Version
from stedi_assets.contracts import TABLES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CODE, SOURCE, INPUTS, RUN_ID = "stedi.code-version", "stedi.source", "stedi.inputs", "stedi.run-id"
MEASURED, WHAT = "stedi.measured", "stedi.what"
"""Snapshot properties: what a version was made by and of, what its checks measured, as JSON, and what was done and why.

Options are recorded as `stedi.<option>`.
"""

MAKE = "dagster asset materialize -m stedi_assets --select"

MOST_AT_ONCE = 5_000_000
"""Of so many readings a query is made. Engines hold joins and groups in memory: 24 million at once took 6.9 GB, and
10 million still 5.5."""


@dataclass
class Inputs:
    """Tables that a step reads; each stays at the version that was looked at first. Only rows start an engine.

    `options` are what functions may ask for beside tables, such as `consent`. `pins` are contents to read instead of
    the newest, `days` the days to read where a table has days; None: all.
    """

    spark: SparkEngine
    lakehouse: Lakehouse
    options: Mapping[str, str]
    pins: Mapping[str, int] = field(default_factory=dict)
    days: Collection[int] | None = None
    _versions: dict[str, Version] = field(default_factory=dict)
    _frames: dict[str, DataFrame] = field(default_factory=dict)
    _newest_ids: dict[str, int | None] = field(default_factory=dict)

    def frame(self, name: str) -> DataFrame:
        """The table's rows."""
        if name not in self._frames:
            table, version = TABLES[name], self.version(name)
            days = self.days if table.taken else None
            found = self.lakehouse.read(self.spark.spark_session, table, version.content, days)
            assert found is not None  # it has a version
            self._frames[name] = found[0]
        return self._frames[name]

    def version(self, name: str) -> Version:
        """The version that `frame` gives. LakehouseError where there is none, or it is gone."""
        if name not in self._versions:
            if self.pins and name not in self.pins:
                raise LakehouseError(
                    f"What was read of {name} is not known: the table was made by an earlier version of this project. "
                    f"Make all tables once: {MAKE} '*'"
                )
            version = self.lakehouse.version(name, self.pins.get(name))
            if version is None:
                raise LakehouseError(
                    f"{name} is needed, and was never materialized in {self.lakehouse.root}. Make it first: "
                    f"{MAKE} '+key:{name}'"
                )
            self._versions[name] = version
        return self._versions[name]

    def on(self, days: Collection[int] | None) -> Inputs:
        """The same versions, and these days of them."""
        return replace(self, days=days, _frames={})

    def in_spans(self, names: Iterable[str]) -> list[tuple[range, Inputs]]:
        """The same versions and days, in as many spans of days as these tables have readings for."""
        rows = Counter[int]()
        for name in names:
            rows.update(self.lakehouse.rows_by_day(name) if name in TABLES and TABLES[name].taken else {})
        days = self.days
        if days is None:
            return [(span, self.on(span)) for span in spans(rows, MOST_AT_ONCE)]
        parts = spans({day: rows[day] for day in days}, MOST_AT_ONCE)
        return [(span, self.on([day for day in days if day in span])) for span in parts]

    def columns(self, name: str) -> list[tuple[str, str]]:
        """Names and types of the table's columns, as its published schema says; none where there is no table."""
        return self.lakehouse.columns(name)

    def bind(self, function: Callable[..., DataFrame], **given: Any) -> DataFrame:
        """Call the function with the tables that its parameters name, the options, and what is given."""
        known = {**self.options, **given}
        return function(
            **{name: known[name] if name in known else self.frame(name) for name in signature(function).parameters}
        )

    def as_then(self, version: Version) -> Inputs:
        """The tables that the version was made from, as they were then."""
        return Inputs(self.spark, self.lakehouse, self.options, json.loads(version.properties.get(INPUTS, "{}")))

    def refuse(self, names: Collection[str]) -> None:
        """LakehouseError where these tables do not go together: outdated, under other options, or of two sources."""
        self._refuse_outdated(names)
        self._refuse_other_options(names)
        self.source(names)

    @property
    def contents(self) -> dict[str, int]:
        """Which content of each table was looked at."""
        return {name: version.content for name, version in self._versions.items()}

    def outdated(self, version: Version) -> bool:
        """Whether it was made before the newest version of a table that decides who agreed to what."""
        made_of: dict[str, int] = json.loads(version.properties.get(INPUTS, "{}"))
        deciding = {name: snapshot for name, snapshot in made_of.items() if TABLES[name].decides}
        return any(self._newest(name) != snapshot for name, snapshot in deciding.items())

    def outdated_tables(self) -> list[str]:
        """The published tables that were made before the latest consents."""
        versions = {name: self.lakehouse.version(name) for name in TABLES}
        return [name for name, version in versions.items() if version is not None and self.outdated(version)]

    def _refuse_outdated(self, names: Iterable[str]) -> None:
        """LakehouseError where one of these tables is outdated: what is made of it would be neither old nor new."""
        for name in names:
            if self.outdated(self.version(name)):
                raise LakehouseError(
                    f"{name} was made before the latest consents, and may hold somebody who has withdrawn. Make it "
                    f"first: {MAKE} '+key:{name}'"
                )

    def _newest(self, name: str) -> int | None:
        if name not in self._newest_ids:
            version = self.lakehouse.version(name)
            self._newest_ids[name] = version.content if version else None
        return self._newest_ids[name]

    def _refuse_other_options(self, names: Iterable[str]) -> None:
        for name in names:
            for option, value in self.options.items():
                made = self.version(name).properties.get(f"stedi.{option}", value)
                if made != value:
                    raise LakehouseError(
                        f"{name} was made under STEDI_{option.upper()}={made}, and this run asks for {value}. Make it "
                        f"anew first: {MAKE} '+key:{name}'"
                    )

    def source(self, names: Iterable[str]) -> str:
        """The source of the feeds that these tables are made of; LakehouseError where there are two."""
        made_of = {source: name for name in names if (source := self.version(name).properties.get(SOURCE))}
        if len(made_of) > 1:
            told = ", ".join(f"{name} of {source}" for source, name in sorted(made_of.items()))
            raise LakehouseError(f"Feeds of two sources never mix: {told}. Make all tables of one: {MAKE} '*'")
        return next(iter(made_of), "")


def sentence_of_outdated(names: Sequence[str]) -> str:
    """That these tables were made before the latest consents, and what to do."""
    wanted = " or ".join(f"+key:{name}" for name in names)
    return (
        f"Made before the latest consents: {', '.join(names)}. They may hold somebody who has withdrawn; run "
        f"{MAKE} '{wanted}'"
    )


def measured(version: Version) -> dict[str, Mapping[str, float]]:
    """What the checks measured of the version when it was published: {check: {measure: value}}."""
    numbers: dict[str, Mapping[str, float]] = json.loads(version.properties.get(MEASURED, "{}"))
    return numbers


def table_inputs(function: Callable[..., Any], options: Iterable[str] = ("consent",)) -> list[str]:
    """The tables that a table function is made from: its parameters, but for the options."""
    return [name for name in signature(function).parameters if name not in options]
