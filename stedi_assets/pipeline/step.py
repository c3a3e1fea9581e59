"""How a version of a table comes to be: compute, stage, check, publish, report, in that order, or not at all.

Belongs here: the one way in which every table is made, and checked by itself. A step makes one table, or several that
are published if all of them hold. Does not belong here: what a table is (`table.py`), or where it lies
(`resources/iceberg/`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.errors import LakehouseError
from resources.iceberg.version import CONTENT, Staged, Version
from stedi_assets.contracts import TABLES
from stedi_assets.pipeline.changes import Changes, find_changes, has_same_rows
from stedi_assets.pipeline.evaluation import CheckedTables, Evaluation
from stedi_assets.pipeline.inputs import INPUTS, MEASURED, RUN_ID, WHAT
from stedi_assets.pipeline.reconciliation import dropped_rows
from stedi_assets.pipeline.report import Told, say_what_is_served, say_what_was_made, with_outdated
from stedi_assets.pipeline.sources import is_made_by, made_on_the_way, refuse_other_source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from stedi_assets.pipeline.table import LakehouseTable


REBUILD = "stedi/rebuild"
"""The tag of a run that makes every table anew, whatever has changed."""

Found = dg.MaterializeResult[Any] | dg.AssetCheckResult | Told


@dataclass
class Step(CheckedTables):
    """The tables of one step of a run. Subclasses say what is different where tables are made of something else.

    `own_source` is the source that the run was told to read; empty: any.
    """

    rebuild: bool = False
    own_source: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    served: dict[str, Version | None] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def run(self) -> Iterator[Found]:
        """What Dagster asked for: the tables, or their checks alone."""
        try:
            for table in self.tables:  # also where nothing is new: rows with names may lie there
                self.inputs.lakehouse.clear_up(table.name)
            with self.inputs.spark.at_work():
                if self.context.selected_asset_keys:
                    yield from self.materialize()
                else:
                    for evaluation in self.check_published().values():
                        yield from evaluation.selected(self.context)
        except LakehouseError as error:
            yield from say_what_is_served(self.context, self.inputs.lakehouse, self.where_to_look())
            raise with_outdated(self.context, self.inputs, self.other_source() or error) from None

    def other_source(self) -> LakehouseError | None:
        """That another run, on another source, is in this one's way, where that is so."""
        try:
            made = dict(made_on_the_way(self.context, self.inputs.lakehouse))
            refuse_other_source(self.context, self.own_source, made)
        except LakehouseError as error:
            return error
        return None

    # What a table is made of ---------------------------------------------------------------------------------------

    def find_changes(self) -> dict[str, Changes]:
        """What of each table is to be made again."""
        for table in self.tables:
            names = [name for name in self.upstream(table) if name in TABLES]
            made = {name: self.inputs.version(name) for name in names if is_made_by(self.context, name)}
            refuse_other_source(self.context, self.own_source, made)
            self.inputs.refuse(names)
        return {table.name: self._changes_of(table) for table in self.tables}

    def _changes_of(self, table: LakehouseTable) -> Changes:
        served = self.served[table.name]
        if (why := self.whole(table)) or served is None:
            return Changes(why or "made for the first time")
        return find_changes(self.inputs, table, served, self.made_by(table))

    def whole(self, table: LakehouseTable) -> str | None:
        """Why the table is made anew, whatever has changed."""
        if self.rebuild or REBUILD in self.context.run_tags:
            return "rebuilt: that was asked for"
        return None

    def frames(self, staged: ExitStack) -> dict[str, list[DataFrame]]:
        """The rows of each table's days that are made again, not computed yet, a span of days at a time.

        What is staged for it is removed when the stack ends.
        """
        return {table.name: self._frames(table, self.changes[table.name].days) for table in self.tables}

    def _frames(self, table: LakehouseTable, days: Collection[int] | None) -> list[DataFrame]:
        if table.contract.taken is None:
            return [self.inputs.bind(table.function)]
        if days is not None and not days:
            return []
        return [part.bind(table.function) for _, part in self.inputs.on(days).in_spans(table.inputs)]

    def upstream(self, table: LakehouseTable) -> Sequence[str]:
        """The assets that it is made from."""
        return table.inputs

    def origin(self, table: LakehouseTable, evaluation: Evaluation) -> dict[str, str]:
        """Where the table's new version comes from, as its commit records it."""
        return {
            RUN_ID: self.context.run_id,
            WHAT: self.changes[table.name].why,
            **self.made_by(table),
            **self.made_of(),
            MEASURED: json.dumps(evaluation.numbers),
        }

    def made_of(self) -> dict[str, str]:
        """Which contents were read. What only the checks read counts too: executed alone, they must find the same."""
        return {INPUTS: json.dumps(self.inputs.contents, sort_keys=True)}

    def where_to_look(self) -> dict[str, Any]:
        """What else the pages of tables show that were not made."""
        return {}

    # How it is made ------------------------------------------------------------------------------------------------

    def materialize(self) -> Iterator[Found]:
        """Publish what has changed, each table with its checks' results; where a blocking check fails, publish none."""
        # Before any input is looked at: a version that comes after this one may know what these inputs do not.
        self.served = {table.name: self.inputs.lakehouse.version(table.name) for table in self.tables}
        self.changes = self.find_changes()
        if all(one.nothing for one in self.changes.values()):
            yield from self._leave()
            return
        lakehouse = self.inputs.lakehouse
        with ExitStack() as stack:
            frames = self.frames(stack)
            staged = {table.name: stack.enter_context(self._stage(table, frames[table.name])) for table in self.tables}
            self.lap("compute")
            evaluations = self.evaluate_staged(staged, stack)
            self.lap("check")
            if any(one.stops for one in evaluations.values()):
                yield from self.refuse(evaluations)
                return
            # The first table last: what its commit says holds for the others by then, also where a run is killed here.
            versions = {
                table.name: lakehouse.publish(
                    staged[table.name],
                    {**self.origin(table, evaluations[table.name]), **self._carried_on(table, staged[table.name])},
                )
                for table in reversed(self.tables)
            }
        self.lap("publish")
        for table in self.selected_tables():
            yield self.report(table, versions[table.name], evaluations[table.name])

    def _stage(self, table: LakehouseTable, frames: Sequence[DataFrame]) -> Staged:
        served, days = self.served[table.name], self.changes[table.name].days
        onto = served.snapshot_id if served else None
        return self.inputs.lakehouse.stage(frames, table.contract, self.context.run_id, days, onto)

    def _carried_on(self, table: LakehouseTable, staged: Staged) -> dict[str, str]:
        """Whose rows the version has as well: what is made of those need not be made again."""
        changes = self.changes[table.name]
        if changes.onto is not None:
            return {} if changes.days else {CONTENT: str(changes.onto.content)}
        # A table without days is made anew wherever something has changed, and is small.
        served = self.served[table.name] if table.contract.taken is None else None
        same = served is not None and has_same_rows(self.inputs, table.contract, served, staged)
        return {CONTENT: str(served.content)} if served and same else {}

    def _leave(self) -> Iterator[Found]:
        """The served versions are what would be made now. What was measured of them is held to today's limits."""
        evaluations = {table.name: self.evaluate_again(table, served) for table, served in self._left()}
        if any(one.stops for one in evaluations.values()):
            yield from self.refuse(evaluations)
            return
        for table, served in self._left():
            if dg.AssetKey(table.name) in self.context.selected_asset_keys:
                yield self.report(table, served, evaluations[table.name])

    def _left(self) -> Iterator[tuple[LakehouseTable, Version]]:
        for table in self.tables:
            if served := self.changes[table.name].onto:
                yield table, served

    def selected_tables(self) -> list[LakehouseTable]:
        """Those that this run asked for; the others of the step are made beside, since they go together."""
        return [table for table in self.tables if dg.AssetKey(table.name) in self.context.selected_asset_keys]

    def refuse(self, evaluations: Mapping[str, Evaluation]) -> Iterator[Found]:
        """A blocking check failed: report what was checked, and fail the step.

        Where another run has replaced what the checks compare with, no data is to blame, and none is blamed.
        """
        if other := self.other_source():
            raise other
        for evaluation in evaluations.values():
            yield from evaluation.selected(self.context)
        raise LakehouseError(self.refusal(evaluations))

    def refusal(self, evaluations: Mapping[str, Evaluation]) -> str:
        """Why the tables were not published, and what is served."""
        return " ".join(self._refusal(name, one.stops) for name, one in evaluations.items() if one.stops)

    def _refusal(self, name: str, stops: Sequence[str]) -> str:
        served = self.inputs.lakehouse.version(name) is not None
        still = "the previous version is still served" if served else "nothing is served yet"
        return f"{name} was not published, {still}. {' '.join(stops)}"

    # What is said of it --------------------------------------------------------------------------------------------

    def report(self, table: LakehouseTable, version: Version, evaluation: Evaluation) -> dg.MaterializeResult[Any]:
        """The table's new version as Dagster keeps it, with the results of the checks that it passed."""
        self._since = time.perf_counter()  # not with what Dagster did between two tables of one step
        changes = self.changes[table.name]
        done = f"unchanged since snapshot {version.snapshot_id}" if changes.nothing else f"published, {changes.why}"
        self.context.log.info(f"{table.name}: {version.rows:,} rows, {done}")
        page = {
            **say_what_was_made(table.contract, changes, version, self.inputs.lakehouse),
            **self.inputs.spark.metadata,
            **self.numbers(table, evaluation),
        }
        self.lap("report")
        # Given with the result, Dagster would keep it twice: 68 kB of each run.
        self.context.add_asset_metadata({**page, **self.seconds}, asset_key=table.name)
        return dg.MaterializeResult(
            asset_key=table.name,
            data_version=dg.DataVersion(str(version.content)),
            check_results=evaluation.selected(self.context),
        )

    def numbers(self, table: LakehouseTable, evaluation: Evaluation) -> dict[str, Any]:
        """What else the table's page shows: the choices it was made under, and how many rows each rule dropped."""
        return {
            # An option is a text that may explain itself.
            **{f"{name} rule": getattr(option, "explained", option) for name, option in self.inputs.options.items()},
            **dropped_rows(evaluation.numbers),
        }

    def lap(self, phase: str) -> None:
        """The phase ended now."""
        now = time.perf_counter()
        self.seconds[f"seconds: {phase}"] = round(now - self._since, 3)
        self._since = now
