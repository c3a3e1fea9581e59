"""What every table is checked for: its columns, its required values, and that its rows add up.

How each of them stops a run is in `test_mutants.py`, for a table or two; here is that every table has it.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.iceberg.catalogs import LocalLakehouse
from resources.settings import Settings
from stedi_assets.checks import reconciliation
from stedi_assets.contracts import ASSETS, FEEDS, TABLES
from stedi_assets.definitions import build_definitions
from stedi_assets.ingestion.stats import count_delivery
from stedi_assets.pipeline.checks import Facts
from stedi_assets.pipeline.evaluation import evaluate
from stedi_assets.pipeline.measure import Scope, measure_all
from stedi_assets.rules import Consent
from tests.stedi_assets.checks.page import checks_by_asset
from tests.stedi_assets.checks.worlds import (
    ERROR,
    EVERY_TABLE,
    MATCHING,
    OF_EVERY_FEED,
    ON_EVERY_TABLE,
    WHERE_ROWS_ARE_KEPT,
    Frames,
    GivenTables,
    check_of,
    evaluated,
    measured,
    pair,
)
from tests.stedi_assets.examples import Row
from tests.support import ENGINE, MakeFrame

OF_FEEDS = {table.name: feed for feed in FEEDS for table in (feed.records, feed.quarantine)}


def test_every_table_has_the_checks_that_any_accident_needs_and_they_stop_it() -> None:
    graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
    for name in TABLES:
        keys = graph.get_check_keys_for_assets({dg.AssetKey(name)})
        needed = ON_EVERY_TABLE if TABLES[name].of_rejects else ON_EVERY_TABLE | WHERE_ROWS_ARE_KEPT
        assert {key.name for key in keys if graph.get_check_spec(key).blocking} >= needed
        assert {key.name for key in keys} == {one.name for one in checks_by_asset()[name]}
    assert EVERY_TABLE.keys() == TABLES.keys()


# Columns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_TABLE)
def test_rows_whose_columns_are_not_the_contracts_are_told_so_and_no_other_check_is_run(
    frame: MakeFrame, tmp_path: Path, name: str
) -> None:
    rows = frame(name, [])
    last = TABLES[name].columns[-1]
    nothing = LocalLakehouse(root=str(tmp_path), namespace="stedi")
    given = GivenTables(ENGINE, nothing, {}, given={name: rows.drop(last.name)})
    evaluation = evaluated([EVERY_TABLE[name]], given)[name]
    sentence = f"Missing: {last.name} {last.type}. Not in the contract: none."
    assert [(one.check_name, one.passed, one.severity) for one in evaluation.results] == [
        ("matches_contract", False, ERROR)
    ]
    assert evaluation.stops == [f"matches_contract: {sentence}"]


def test_what_is_wrong_with_the_columns_is_said() -> None:
    contract = TABLES["customer_trusted"]
    first, *others = [(column.name, column.type) for column in contract.columns]
    sentences = {
        "The columns are those of the contract.": [first, *others],
        "Missing: none. Not in the contract: extra bigint.": [first, *others, ("extra", "bigint")],
        "Missing: customername string. Not in the contract: customername double.": [(first[0], "double"), *others],
        f"Not in the contract's order: {', '.join(name for name, _ in (*others, first))}.": [*others, first],
    }
    for sentence, columns in sentences.items():
        [result] = evaluate(contract, columns).results
        assert (result.description, result.passed) == (sentence, columns == [first, *others])


# Required values ----------------------------------------------------------------------------------------------

MADE_UP = {"string": "some text", "bigint": 1, "double": 1.0}


def test_a_null_in_any_required_column_of_any_table_is_named_and_one_in_an_optional_column_is_not(
    frame: MakeFrame,
) -> None:
    rows: dict[str, list[Row]] = {}
    for name, table in TABLES.items():
        full = {column.name: MADE_UP[column.type] for column in table.columns}
        sparse = {column: value for column, value in full.items() if table[column].required}
        rows[name] = [full, sparse, *({**full, column: None} for column in table.required)]
        rows[f"{name}, sound"] = [full, sparse]
    checks = {name: check_of(name.partition(",")[0], "required_columns_filled") for name in rows}
    scopes: dict[str, Scope] = {}
    for name in rows:
        inputs: Any = Frames({"rows": frame(name.partition(",")[0], rows[name])}, Consent.CUSTOMER)
        scopes[name] = Scope(name, inputs, {})
    found = measure_all((scopes[name], check) for name, check in checks.items())
    numbers = {name: found[scope] for name, scope in scopes.items()}
    for name, table in TABLES.items():
        broken, sound = (
            checks[one].evaluate(numbers[one]["required_columns_filled"], Facts()) for one in (name, f"{name}, sound")
        )
        assert sound.passed
        assert (broken.passed, broken.severity) == (False, ERROR)
        assert broken.description == f"Nulls in: {', '.join(table.required)}."
        shown = {column: entry.value for column, entry in broken.metadata.items()}
        assert shown == {"required columns": ", ".join(table.required), **dict.fromkeys(table.required, 1)}
        assert checks[name].description == f"No null in a required column ({', '.join(table.required)})."
        assert table.required


# Sums ---------------------------------------------------------------------------------------------------------


def test_every_tables_rows_are_reconciled_by_its_own_rules_from_its_own_first_input() -> None:
    for name, table in EVERY_TABLE.items():
        query = check_of(name, "rows_reconciled").query
        if name in OF_FEEDS:
            assert query is count_delivery(OF_FEEDS[name])
        else:
            assert query is table.reconciliation is getattr(reconciliation, name)
            assert next(iter(signature(query).parameters)) == table.inputs[0]


def test_every_feeds_records_are_held_to_what_was_counted_of_that_feed() -> None:
    for feed in FEEDS:
        queries = {check_of(feed.records.name, name).query for name in OF_EVERY_FEED}
        assert queries == {count_delivery(feed)}


# All checks together ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_TABLE)
def test_every_promise_holds_where_there_is_nothing(frame: MakeFrame, tmp_path: Path, name: str) -> None:
    feed = OF_FEEDS.get(name, FEEDS[0])
    empty = {asset: frame(contract, []) for asset, contract in ASSETS.items()}
    of_feed = {"records": empty[feed.records.name], "quarantine": empty[feed.quarantine.name]}
    given = {**empty, **of_feed, "text": empty[feed.landing.name], "parsed": empty[feed.records.name]}
    nothing = LocalLakehouse(root=str(tmp_path), namespace="stedi")
    tables = GivenTables(ENGINE, nothing, {"consent": Consent.CUSTOMER}, given=given)
    results = evaluated([EVERY_TABLE[name]], tables)[name].results
    assert [result.check_name for result in results if not result.passed] == []
    assert len(results) == len(EVERY_TABLE[name].all_checks)


@pytest.mark.parametrize("consent", list(Consent))
def test_measured_together_the_checks_say_what_each_says_alone(frame: MakeFrame, consent: Consent) -> None:
    table = "machine_learning_curated"
    rows = [pair(serial) for serial in ("S1", "S1", "x@y.z")]
    world = {**MATCHING, "customer_records": MATCHING["customer_trusted"], "rows": rows}
    checks = EVERY_TABLE[table].checks
    asked = {name for check in checks for name in signature(check.query).parameters} - {"consent"}
    frames = {name: frame(table if name == "rows" else name, world.get(name, ())) for name in asked}
    together, *alone = (measured(some, frames, consent) for some in (checks, *([one] for one in checks)))
    assert together == {name: numbers for each in alone for name, numbers in each.items()}
    assert len(together) == len(checks)
