"""How a version of a table comes to be: stage, audit, publish, in that order, or not at all.

Belongs here: binding functions to the tables that their parameters name, running audits, and the one decision
whether a staged version is published. Does not belong here: assets (`table.py`, `landing.py`) or storage.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.engines.engine import SparkEngine
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Staged, Version
from stedi_assets.contracts import FEEDS, TABLES, Table
from stedi_assets.pipeline.checks import Audit, Check, Facts, Numbers, Verdict, measure_all
from stedi_assets.rules import Consent

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ACCEPTED = "stedi.accepted"
CODE = "stedi.code-version"
CONSENT_RULE = "stedi.consent"
INPUTS = "stedi.inputs"
SOURCE = "stedi.source"

_FEED_OF = {feed.landing.name: feed for feed in FEEDS}
_RECORDS = {feed.records.name: feed.records for feed in FEEDS}
_LANDING_OF = {feed.records.name: feed.landing.name for feed in FEEDS}


@dataclass
class Tables:
    """The published tables as one step sees them: each is read once, and stays at that version.

    `pins` are snapshot ids to read instead of the newest; a landing table is the accepted part of its records.
    """

    spark: SparkEngine
    lakehouse: Lakehouse
    consent: Consent
    pins: Mapping[str, int] = field(default_factory=dict)
    _read: dict[str, tuple[DataFrame, Version]] = field(default_factory=dict)

    def frame(self, name: str) -> DataFrame:
        """The table's rows."""
        return self._get(name)[0]

    def version(self, name: str) -> Version:
        """The version that `frame` gives."""
        return self._get(name)[1]

    def rows(self, name: str) -> int:
        """How many rows `frame` has, as the commit says."""
        version = self.version(name)
        return int(version.properties[ACCEPTED]) if name in _FEED_OF else version.rows

    def refuse_another_rule(self, names: Iterable[str]) -> None:
        """Raise dg.Failure where one of these tables was made under another consent rule than this run's."""
        for name in names:
            rule = self.version(name).properties.get(CONSENT_RULE)
            if name in TABLES and name not in _FEED_OF and rule not in (None, self.consent.value):
                raise dg.Failure(
                    f"{name} was made under STEDI_CONSENT={rule}, and this run asks for {self.consent.value}. Make it "
                    f"anew first: dagster asset materialize -m stedi_assets --select '+{name}'",
                    allow_retries=False,
                )

    def source(self, names: Iterable[str]) -> str:
        """The source whose feeds these tables are made of, as far as known; dg.Failure where there are two."""
        made_of = {source: name for name in names if (source := self.version(name).properties.get(SOURCE))}
        if len(made_of) > 1:
            told = ", ".join(f"{name} of {source}" for source, name in sorted(made_of.items()))
            raise dg.Failure(
                f"Feeds of two sources never mix: {told}. Make all tables of one: "
                "dagster asset materialize -m stedi_assets --select '*'",
                allow_retries=False,
            )
        return next(iter(made_of), "")

    @property
    def snapshots(self) -> dict[str, int]:
        """Every table that was read, and the snapshot that was read of it."""
        return {name: version.snapshot_id for name, (_, version) in self._read.items()}

    def bind(self, function: Callable[..., DataFrame], **extra: DataFrame) -> DataFrame:
        """Call the function with the tables that its parameters name, `consent`, and `extra`."""
        known: dict[str, Any] = {"consent": self.consent, **extra}
        parameters = inspect.signature(function).parameters
        return function(**{name: known[name] if name in known else self.frame(name) for name in parameters})

    def _get(self, name: str) -> tuple[DataFrame, Version]:
        if name not in self._read:
            found = self._load(name)
            if found is None:
                asset = _LANDING_OF.get(name, name)
                raise dg.Failure(
                    f"{asset} is needed, and was never materialized in {self.lakehouse.root}. Make it first: "
                    f"dagster asset materialize -m stedi_assets --select '+{asset}'",
                    allow_retries=False,
                )
            self._read[name] = found
        return self._read[name]

    def _load(self, name: str) -> tuple[DataFrame, Version] | None:
        session = self.spark.spark_session
        if name not in _FEED_OF:
            return self.lakehouse.read(session, _RECORDS.get(name) or TABLES[name], self.pins.get(name))
        feed = _FEED_OF[name]
        found = self.lakehouse.read(session, feed.records, self.pins.get(name))
        if found is None:
            return None
        records, version = found
        return records.where("quarantine_reason is null").select(*feed.landing.column_names), version


def published_rows(lakehouse: Lakehouse, name: str) -> int | None:
    """How many rows of the table readers see now, as its commit says; None where it was never published."""
    feed = _FEED_OF.get(name)
    version = lakehouse.version(feed.records.name if feed else name)
    if version is None:
        return None
    return int(version.properties[ACCEPTED]) if feed else version.rows


def table_inputs(function: Callable[..., Any]) -> list[str]:
    """The tables that a table function is made from: its parameters, but for the consent rule."""
    return [name for name in inspect.signature(function).parameters if name != "consent"]


MATCHES_CONTRACT = Check("matches_contract", "The columns and their types are exactly those of the table's contract.")


def judge_schema(table: Table, columns: Sequence[tuple[str, str]]) -> Verdict:
    """Whether the columns are those of the contract, in its order."""
    wanted = [(column.name, column.type) for column in table.columns]
    missing = [f"{name} {kind}" for name, kind in wanted if (name, kind) not in columns]
    surplus = [f"{name} {kind}" for name, kind in columns if (name, kind) not in wanted]
    passed = wanted == list(columns)
    sentence = "The columns are those of the contract."
    if missing or surplus:
        sentence = f"Missing: {', '.join(missing) or 'none'}. Not in the contract: {', '.join(surplus) or 'none'}."
    elif not passed:
        sentence = f"Not in the contract's order: {', '.join(name for name, _ in columns)}."
    return Verdict(passed, True, sentence, {"columns": len(columns)})


@dataclass
class Outcome:
    """What the audits found: results for Dagster, numbers for the report, and the promises that were broken."""

    results: list[dg.AssetCheckResult] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def add(self, check: Check, asset: str, verdict: Verdict) -> None:
        """Note one verdict."""
        self.results.append(check.result(asset, verdict))
        if verdict.blocks and check.blocking and not verdict.passed:
            self.broken.append(f"{check.name}: {verdict.sentence}")

    def for_dagster(self, context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """The results of the checks that this run asked for."""
        asked = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
        return (result for result in self.results if (result.asset_key, result.check_name) in asked)


def audit(
    table: Table,
    audits: Sequence[Audit],
    rows: DataFrame,
    columns: Sequence[tuple[str, str]],
    facts: Facts,
    bind: Callable[[Audit, DataFrame], DataFrame],
) -> Outcome:
    """Hold the rows to the table's contract and audits. A wrong schema is told alone: no query could run on it."""
    outcome = Outcome()
    outcome.add(MATCHES_CONTRACT, table.name, judge_schema(table, columns))
    if outcome.broken:
        return outcome
    outcome.numbers = dict(measure_all(audits, lambda one: bind(one, rows)))
    for one in audits:
        outcome.add(one, table.name, one.judge(outcome.numbers[one.name], facts))
    return outcome


def publish_or_discard(
    lakehouse: Lakehouse, staged: Staged, outcome: Outcome, asset: str, properties: Mapping[str, str]
) -> Version:
    """Publish the staged version, or, where a promise is broken, remove it and raise dg.Failure."""
    if outcome.broken:
        refuse_if_broken(outcome, asset, served=lakehouse.version(staged.table.name) is not None)
    return lakehouse.publish(staged, properties)


def refuse_if_broken(outcome: Outcome, asset: str, *, served: bool) -> None:
    """Fail the step where a promise is broken; `served` says whether readers have a previous version."""
    if outcome.broken:
        still = "the previous version is still served" if served else "nothing is served yet"
        sentence = f"{asset} was not published, {still}. {' '.join(outcome.broken)}"
        raise dg.Failure(description=sentence, allow_retries=False)


def provenance(
    run_id: str, code_version: str, consent: Consent, source: str, inputs: Mapping[str, int]
) -> dict[str, str]:
    """Where a version comes from, as the commit records it."""
    return {
        "stedi.run-id": run_id,
        CODE: code_version,
        CONSENT_RULE: consent.value,
        SOURCE: source,
        INPUTS: json.dumps(inputs, sort_keys=True),
    }


class Stopwatch:
    """Seconds of each phase, for the report."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """The phase ended now."""
        now = time.perf_counter()
        self.seconds[f"seconds: {phase}"] = round(now - self._last, 3)
        self._last = now
