"""What the checks of a step's tables find: in what is staged, in what is served, in what was measured before.

Belongs here: from the numbers of all checks to results, and whether they stop a table. Does not belong here: what a
check is (`checks.py`), running its query (`measure.py`), or what follows from what they find (`step.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from resources.iceberg.version import Staged, Version
from stedi_assets.contracts import TABLES, Table
from stedi_assets.pipeline.changes import Changes, made_otherwise
from stedi_assets.pipeline.checks import (
    FAILING,
    KEPT_ITS_ROWS,
    MATCHES_CONTRACT,
    Check,
    Facts,
    Numbers,
    TableCheck,
    result,
)
from stedi_assets.pipeline.inputs import CODE, INPUTS, SOURCE, Inputs, measured
from stedi_assets.pipeline.measure import Question, Scope, measure_all
from stedi_assets.pipeline.reconciliation import dropped, rows_but_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from stedi_assets.pipeline.table import LakehouseTable


@dataclass
class Evaluation:
    """What the checks of one table found: results for Dagster, numbers for the report, and what stops the table."""

    results: list[dg.AssetCheckResult] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)

    def add(self, check: Check, asset: str, found: dg.AssetCheckResult) -> None:
        """Note one result."""
        self.results.append(check.named(asset, found))
        if check.blocking and not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            self.stops.append(f"{check.name}: {found.description}")

    def add_all(self, checks: Iterable[TableCheck], asset: str, numbers: Mapping[str, Numbers], facts: Facts) -> None:
        """Note what each check finds in its numbers."""
        self.numbers.update(numbers)
        for check in checks:
            self.add(check, asset, check.evaluate(numbers[check.name], facts))

    def selected(self, context: dg.AssetExecutionContext) -> list[dg.AssetCheckResult]:
        """The results of the checks that this run asked for."""
        asked = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
        return [one for one in self.results if (one.asset_key, one.check_name) in asked]


def evaluate(table: Table, columns: Sequence[tuple[str, str]]) -> Evaluation:
    """Hold rows with these columns to the table's contract: no other query could run on wrong ones."""
    evaluation = Evaluation()
    evaluation.add(MATCHES_CONTRACT, table.name, _schema(table, columns))
    return evaluation


def kept_its_rows(served: int, expected: float, rows: int, limit: float) -> dg.AssetCheckResult:
    """Whether so many rows may follow the ones that are served, of which `expected` could be here again."""
    lost = max(1 - rows / expected, 0.0) if expected else 0.0
    sentence = f"{rows:,} rows, after {served:,}."
    if lost > limit:
        sentence += (
            f" {lost:.0%} are lost; at most {limit:.0%} may be. If that is meant, set STEDI_SHRINK_LIMIT=1 for a run."
        )
    return result(lost <= limit, sentence, {"rows before": served, "rows": rows, "lost": round(lost, 4)})


def evaluate_loss(
    table: LakehouseTable,
    served: Version | None,
    numbers: Mapping[str, Numbers],
    rows: int,
    limit: float,
    inputs: Inputs,
) -> dg.AssetCheckResult:
    """Whether a version with so many rows may follow the served one.

    Rows that its inputs have lost, or whose customers have no consent any more, are not expected.
    """
    if served is None:
        return kept_its_rows(0, 0, rows, limit)
    then, now = measured(served).get("rows_reconciled", {}), numbers.get("rows_reconciled", {})
    could_be, could_be_then = rows_but_for(now, table.excused), rows_but_for(then, table.excused)
    expected = served.rows * could_be / could_be_then if table.reconciliation and could_be_then else served.rows
    found = kept_its_rows(served.rows, expected, rows, limit)
    if found.passed:
        return found
    # Who withdrew may have had more of the rows than others: they are counted only where that decides.
    return kept_its_rows(served.rows, min(expected, covered_by_consent(table, served, inputs)), rows, limit)


def covered_by_consent(table: LakehouseTable, served: Version, inputs: Inputs) -> int:
    """How many of the served rows today's consents still cover."""
    checks = [check for check in table.checks if check.of_consent]
    read = inputs.lakehouse.read(inputs.spark.spark_session, table.contract, served.content)
    if not checks or read is None:
        return served.rows
    scope = Scope.of(table, inputs, {"rows": read[0]})
    numbers = measure_all((scope, check) for check in checks)[scope]
    return served.rows - sum(int(found[FAILING]) for found in numbers.values())


def _schema(table: Table, columns: Sequence[tuple[str, str]]) -> dg.AssetCheckResult:
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
    return result(passed, sentence, {"columns": len(columns)})


@dataclass
class CheckedTables:
    """The tables of one step of a run, and what their checks find in them.

    Subclasses say what is different where tables are made of something else than tables.
    """

    context: dg.AssetExecutionContext
    inputs: Inputs
    tables: Sequence[LakehouseTable]
    shrink_limit: float = 1.0
    changes: dict[str, Changes] = field(default_factory=dict, kw_only=True)
    _before: dict[str, Version | None] = field(default_factory=dict, kw_only=True)

    def made_by(self, table: LakehouseTable) -> dict[str, str]:
        """By which code, of which source and by which options it is made, as a version records it."""
        return {
            SOURCE: self.source(table),
            **{f"stedi.{name}": str(option) for name, option in self.inputs.options.items()},
            CODE: table.code_version(self.inputs.options),  # last: another option makes it another one, too
        }

    def given(self, rows: Mapping[str, DataFrame], block: ExitStack) -> dict[str, DataFrame]:
        """What checks of published tables may ask for beside them, `rows` being those of this step's tables."""
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
            all_withdrew=lambda: (
                served is not None and served.rows > 0 and not covered_by_consent(table, served, self.inputs)
            ),
        )

    def before(self, table: LakehouseTable) -> Version | None:
        """The version that readers have before the one that is checked, if it was made in the same way."""
        if table.name not in self._before:
            self._before[table.name] = self._find_before(table)
        return self._before[table.name]

    def _find_before(self, table: LakehouseTable) -> Version | None:
        history = self.inputs.lakehouse.history(table.name)
        if history and not self.context.selected_asset_keys:  # the newest rows are what is checked
            history = [one for one in history if one.content != history[-1].content]
        return history[-1] if history and made_otherwise(history[-1], self.made_by(table)) is None else None

    def source(self, table: LakehouseTable) -> str:
        """The source whose feeds it is made of."""
        return self.inputs.source(table.inputs)

    def check_published(self) -> dict[str, Evaluation]:
        """Check what readers see, without making it anew."""
        columns = {table.name: self.inputs.columns(table.name) for table in self.tables}
        evaluations = {table.name: evaluate(table.contract, columns[table.name]) for table in self.tables}
        if any(columns.values()) and any(one.stops for one in evaluations.values()):
            return evaluations  # such a table cannot be read
        tables = {table.name: table for table in self.tables}
        rows = {name: self.inputs.frame(name) for name in tables}
        then = {name: self.inputs.as_then(self.inputs.version(name)) for name in rows}
        with ExitStack() as stack:
            given = self.given(rows, stack)
            scopes = {
                (name, today): Scope.of(table, self.inputs if today else then[name], {**given, "rows": rows[name]})
                for name, table in tables.items()
                for today in (True, False)
            }
            found = measure_all(
                (scopes[table.name, check.against_today], check) for table in self.tables for check in table.checks
            )
        for table in self.tables:
            numbers = {**found.get(scopes[table.name, True], {}), **found.get(scopes[table.name, False], {})}
            self._add(evaluations[table.name], table, numbers, then[table.name], self.inputs.version(table.name).rows)
        return evaluations

    def evaluate_staged(self, staged: Mapping[str, Staged], stack: ExitStack) -> dict[str, Evaluation]:
        """What the checks find in the versions that are about to be published."""
        evaluations = {table.name: evaluate(table.contract, staged[table.name].columns) for table in self.tables}
        if any(one.stops for one in evaluations.values()):
            return evaluations
        numbers = self.measure(staged, stack)
        for table in self.tables:
            name = table.name
            self._add(evaluations[name], table, numbers[name], self.inputs, staged[name].total)
        return evaluations

    def measure(self, staged: Mapping[str, Staged], block: ExitStack) -> dict[str, dict[str, Numbers]]:
        """What the checks of each table measure."""
        lakehouse, session = self.inputs.lakehouse, self.inputs.spark.spark_session
        rows = {name: lakehouse.read_staged(session, one, whole=True) for name, one in staged.items()}
        given = self.given(rows, block)
        questions = {
            table.name: Question(
                table,
                self.changes[table.name],
                self.inputs,
                {**given, "rows": rows[table.name]},
                partial(lakehouse.read_staged, session, staged[table.name]),
            )
            for table in self.tables
        }
        found = measure_all(one for question in questions.values() for one in question.asked)
        return {name: question.numbers(found) for name, question in questions.items()}

    def evaluate_again(self, table: LakehouseTable, version: Version) -> Evaluation:
        """What was measured of a version that stays, evaluated by today's limits."""
        evaluation = evaluate(table.contract, self.inputs.columns(table.name))
        self._add(evaluation, table, measured(version), self.inputs, version.rows)
        return evaluation

    def _add(
        self, evaluation: Evaluation, table: LakehouseTable, numbers: Mapping[str, Numbers], made_of: Inputs, rows: int
    ) -> None:
        """Note what the table's checks find in these numbers of a version with so many rows."""
        facts = self.facts(made_of, table, rows)
        if table.reconciliation:
            facts = replace(facts, dropped=dropped(numbers["rows_reconciled"]))
        # One that is served in place of a refused one may be older than a check.
        known = [check for check in table.checks if check.name in numbers]
        evaluation.add_all(known, table.name, numbers, facts)
        if not table.contract.of_rejects:
            evaluation.add(
                KEPT_ITS_ROWS,
                table.name,
                evaluate_loss(table, self.before(table), numbers, rows, self.shrink_limit, self.inputs),
            )
