"""How a version of a table comes to be: compute, stage, check, publish, report, in that order, or not at all.

Belongs here: the one way in which every table is made, and checked by itself. A step makes one table, or several that
are published if all of them hold. Does not belong here: what a table is (`table.py`), or where it lies
(`resources/iceberg/`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.errors import LakehouseError
from resources.iceberg.version import Version
from stedi_assets.contracts import ASSETS, TABLES
from stedi_assets.pipeline import metadata
from stedi_assets.pipeline.checks import (
    FAILING,
    KEPT_ITS_ROWS,
    Evaluation,
    Facts,
    Numbers,
    evaluate,
    kept_its_rows,
    measure_all,
)
from stedi_assets.pipeline.inputs import CODE, INPUTS, MEASURED, SOURCE, Inputs
from stedi_assets.pipeline.reconciliation import dropped, dropped_rows, rows_but_for
from stedi_assets.pipeline.refusal import Told, say_what_is_served, with_outdated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from stedi_assets.pipeline.table import LakehouseTable


class RetryPolicy(dg.RetryPolicy):
    """Dagster's, which also tries again what was interrupted: a step went on after Ctrl-C. This one lets it end."""

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds until the next attempt; what Dagster is about to try again is the error that it handles now."""
        error = sys.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return super().calculate_delay(attempt_num)


RETRY = RetryPolicy(max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL)
"""For what passes by itself: throttling, a lost connection or session, another run's commit. Other errors forbid it."""

Found = dg.MaterializeResult[Any] | dg.AssetCheckResult | Told


@dataclass
class Step:
    """The tables of one step of a run. Subclasses say what is different where tables are made of something else."""

    context: dg.AssetExecutionContext
    inputs: Inputs
    tables: Sequence[LakehouseTable]
    shrink_limit: float = 1.0
    seconds: dict[str, float] = field(default_factory=dict)
    _before: dict[str, Version | None] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def run(self) -> Iterator[Found]:
        """What Dagster asked for: the tables, or their checks alone."""
        try:
            with self.inputs.spark.at_work():
                if self.context.selected_asset_keys:
                    yield from self.materialize()
                else:
                    for evaluation in self.check_published().values():
                        yield from evaluation.selected(self.context)
        except LakehouseError as error:
            yield from say_what_is_served(self.context, self.inputs.lakehouse, self.where_to_look())
            raise with_outdated(self.context, self.inputs, error) from None

    # What a table is made of ---------------------------------------------------------------------------------------

    def frames(self, staged: ExitStack) -> dict[str, DataFrame]:
        """Each table's rows, not computed yet; what is staged for it is removed when the stack ends."""
        return {table.name: self.inputs.bind(table.function) for table in self.tables}

    def given(self, rows: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
        """What checks may ask for beside published tables, `rows` being those of this step's tables."""
        return {}

    def facts(self, inputs: Inputs, table: LakehouseTable, rows: int) -> Facts:
        """What is known of a version with so many rows that is made from these inputs."""
        made_of = [inputs.version(name) for name in table.inputs if name in TABLES and not TABLES[name].of_rejects]
        served = self.before(table)
        # Tables of files, that is: one that was made of tables may be empty because nobody agrees any more.
        a_feed_is_empty = any(not version.rows and INPUTS not in version.properties for version in made_of)
        return Facts(
            made_of[0].rows if table.reconciliation else None,
            rows,
            an_input_is_empty=any(not version.rows for version in made_of),
            an_input_turned_empty=a_feed_is_empty and served is not None and served.rows > 0 and self.shrink_limit < 1,
            all_withdrew=lambda: served is not None and served.rows > 0 and not self._consented(table, served),
        )

    def before(self, table: LakehouseTable) -> Version | None:
        """The version that readers have before the one that is checked, if it was made in the same way."""
        if table.name not in self._before:
            self._before[table.name] = self._find_before(table)
        return self._before[table.name]

    def _find_before(self, table: LakehouseTable) -> Version | None:
        history = self.inputs.lakehouse.history(table.name)
        if not self.context.selected_asset_keys:  # the newest one is what is checked
            history = history[:-1]
        same = {
            CODE: table.code_version(self.inputs.options),
            SOURCE: self.source(table),
            **{f"stedi.{name}": str(option) for name, option in self.inputs.options.items()},
        }
        return history[-1] if history and same.items() <= history[-1].properties.items() else None

    def source(self, table: LakehouseTable) -> str:
        """The source whose feeds it is made of."""
        return self.inputs.source(table.inputs)

    def upstream(self, table: LakehouseTable) -> Sequence[str]:
        """The assets that it is made from."""
        return table.inputs

    def origin(self, table: LakehouseTable, evaluation: Evaluation) -> dict[str, str]:
        """Where the table's new version comes from, as its commit records it."""
        origin = self.inputs.origin(self.context.run_id, table.code_version(self.inputs.options), table.inputs)
        return {**origin, MEASURED: json.dumps({"rows_reconciled": evaluation.numbers.get("rows_reconciled", {})})}

    def data_version(self, table: LakehouseTable) -> dg.DataVersion | None:
        """Equal for equal rows; None: Dagster takes each version for another one."""
        return None

    def where_to_look(self) -> dict[str, Any]:
        """What else the pages of tables show that were not made."""
        return {}

    # How it is made ------------------------------------------------------------------------------------------------

    def materialize(self) -> Iterator[Found]:
        """Publish the tables, each with its checks' results; where a blocking check fails, publish none."""
        lakehouse, session = self.inputs.lakehouse, self.inputs.spark.spark_session
        for table in self.tables:
            self.inputs.refuse([name for name in self.upstream(table) if name in TABLES])
        with ExitStack() as stack:
            frames = self.frames(stack)
            staged = {
                table.name: stack.enter_context(
                    lakehouse.stage(frames[table.name], table.contract, self.context.run_id)
                )
                for table in self.tables
            }
            self.lap("compute")
            rows = {name: lakehouse.read_staged(session, one) for name, one in staged.items()}
            evaluations = self._evaluate(
                {name: one.columns for name, one in staged.items()},
                rows,
                {name: one.rows for name, one in staged.items()},
                lambda name, against_today: self.inputs,
            )
            self.lap("check")
            if any(one.stops for one in evaluations.values()):
                yield from self.refuse(evaluations)
                return
            # The first table last: what its commit says holds for the others by then, also where a run is killed here.
            versions = {
                table.name: lakehouse.publish(staged[table.name], self.origin(table, evaluations[table.name]))
                for table in reversed(self.tables)
            }
        self.lap("publish")
        for table in self.selected_tables():
            yield self.report(table, versions[table.name], evaluations[table.name])

    def selected_tables(self) -> list[LakehouseTable]:
        """Those that this run asked for; the others of the step are made beside, since they go together."""
        return [table for table in self.tables if dg.AssetKey(table.name) in self.context.selected_asset_keys]

    def check_published(self) -> dict[str, Evaluation]:
        """Check what readers see, without making it anew."""
        columns = {table.name: self.inputs.columns(table.name) for table in self.tables}
        wrong = {table.name: evaluate(table.contract, columns[table.name]) for table in self.tables}
        if any(columns.values()) and any(one.stops for one in wrong.values()):
            return wrong  # such a table cannot be read
        rows = {table.name: self.inputs.frame(table.name) for table in self.tables}
        versions = {name: self.inputs.version(name) for name in rows}
        then = {name: self.inputs.as_then(version) for name, version in versions.items()}
        return self._evaluate(
            columns,
            rows,
            {name: version.rows for name, version in versions.items()},
            lambda name, against_today: self.inputs if against_today else then[name],
        )

    def _evaluate(
        self,
        columns: Mapping[str, Sequence[tuple[str, str]]],
        rows: Mapping[str, DataFrame],
        counts: Mapping[str, int],
        made_from: Callable[[str, bool], Inputs],
    ) -> dict[str, Evaluation]:
        """What the checks find; `made_from` gives the inputs for a table's check that looks at today's, or does not."""
        evaluations = {table.name: evaluate(table.contract, columns[table.name]) for table in self.tables}
        if any(one.stops for one in evaluations.values()):
            return evaluations
        given = self.given(rows)
        numbers = measure_all(
            ((table.name, check) for table in self.tables for check in table.checks),
            lambda name, check: made_from(name, check.against_today).bind(check.query, **{**given, "rows": rows[name]}),
        )
        for table in self.tables:
            facts = self.facts(made_from(table.name, False), table, counts[table.name])
            if table.reconciliation:
                facts = replace(facts, dropped=dropped(numbers[table.name]["rows_reconciled"]))
            evaluations[table.name].add_all(table.checks, table.name, numbers[table.name], facts)
            if not table.contract.of_rejects:
                evaluations[table.name].add(KEPT_ITS_ROWS, table.name, self._kept_its_rows(table, evaluations, facts))
        return evaluations

    def _kept_its_rows(
        self, table: LakehouseTable, evaluations: Mapping[str, Evaluation], facts: Facts
    ) -> dg.AssetCheckResult:
        """Rows that its inputs have lost, or whose customers have no consent any more, are not expected."""
        served = self.before(table)
        if served is None:
            return kept_its_rows(0, 0, facts.rows_published, self.shrink_limit)
        then: Numbers = json.loads(served.properties.get(MEASURED, "{}")).get("rows_reconciled", {})
        now = evaluations[table.name].numbers.get("rows_reconciled", {})
        could_be, could_be_then = rows_but_for(now, table.excused), rows_but_for(then, table.excused)
        expected = served.rows * could_be / could_be_then if table.reconciliation and could_be_then else served.rows
        if kept_its_rows(served.rows, expected, facts.rows_published, self.shrink_limit).passed:
            return kept_its_rows(served.rows, expected, facts.rows_published, self.shrink_limit)
        # Who withdrew may have had more of the rows than others: they are counted only where that decides.
        expected = min(expected, self._consented(table, served))
        return kept_its_rows(served.rows, expected, facts.rows_published, self.shrink_limit)

    def _consented(self, table: LakehouseTable, served: Version) -> int:
        """How many of the served rows today's consents still cover."""
        checks = [check for check in table.checks if check.of_consent]
        read = self.inputs.lakehouse.read(self.inputs.spark.spark_session, table.contract, served.snapshot_id)
        if not checks or read is None:
            return served.rows
        numbers = measure_all(
            ((table.name, check) for check in checks), lambda _, check: self.inputs.bind(check.query, rows=read[0])
        )
        return served.rows - sum(int(found[FAILING]) for found in numbers[table.name].values())

    def refuse(self, evaluations: Mapping[str, Evaluation]) -> Iterator[Found]:
        """A blocking check failed: report what was checked, and fail the step."""
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
        self.context.log.info(f"{table.name}: {version.rows:,} rows published as snapshot {version.snapshot_id}")
        rows = self.inputs.lakehouse.preview(
            table.name, version.snapshot_id, table.contract.column_names, metadata.PREVIEW_ROWS
        )
        shown = {
            "dagster/row_count": version.rows,
            "size (bytes)": version.size,
            "snapshot id": str(version.snapshot_id),
            **self.inputs.spark.metadata,
            **self.numbers(table, evaluation),
            "dagster/column_lineage": metadata.column_lineage(
                table.contract, map(ASSETS.__getitem__, self.upstream(table))
            ),
            "preview": metadata.preview(table.contract, rows),
        }
        self.lap("report")
        return dg.MaterializeResult(
            asset_key=table.name,
            metadata={**shown, **self.seconds},
            data_version=self.data_version(table),
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
