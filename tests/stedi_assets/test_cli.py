"""What people run in a shell: a summary, SQL over the published tables, and the DDL of the contracts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import sqlglot
from click.testing import CliRunner, Result
from rich.console import Console
from rich.table import Table
from sqlglot import exp

from resources.settings import Settings
from stedi_assets import cli
from stedi_assets.contracts import FEEDS, TABLES, Feed
from stedi_assets.evidence import queries
from stedi_assets.landing import LOCATION, landing_ddl
from tests.stedi_assets.examples import deliver_all
from tests.support import ROOT, Outcome, Stedi

# summary ------------------------------------------------------------------------------------------------------------


def line_of(table: str, stedi: Stedi, said: Callable[[dg.DagsterInstance, Settings], Table] = cli.summary) -> str:
    console = Console(width=300)
    with console.capture() as shown:
        console.print(said(stedi.instance, stedi.settings))
    return next(" ".join(line.split()) for line in shown.get().splitlines() if f" {table} " in line)


def test_a_run_that_does_not_come_to_a_table_takes_nothing_from_what_its_checks_found(stedi: Stedi) -> None:
    assert "not made yet" in line_of("customer_landing", stedi)
    assert "not made yet" in line_of("customer_trusted", stedi)
    deliver_all(stedi)
    assert stedi.materialize("customer_landing", "customer_records", "customer_trusted").success
    before = line_of("customer_trusted", stedi)
    assert "6 rows" in before
    assert "passed" in before
    stedi.deliver("customer", "no record", "2.json")
    assert not stedi.materialize("customer_landing", "customer_records", "customer_trusted").success
    assert "2 files" in line_of("customer_landing", stedi)
    assert "1 failed" in line_of("customer_records", stedi)
    told = cli.remarks(stedi.instance, stedi.settings)
    assert any(
        line.startswith("failed: customer_records, delivery_accepted: customer_records was not") for line in told
    )
    assert line_of("customer_trusted", stedi) == before


def test_a_feed_whose_first_delivery_is_refused_is_not_made_yet_and_the_summary_says_why(stedi: Stedi) -> None:
    deliver_all(stedi)
    stedi.deliver("customer", "no record", "2.json")
    assert not stedi.materialize("customer_landing", "customer_records").success
    assert "not made yet" in line_of("customer_records", stedi)
    told = cli.remarks(stedi.instance, stedi.settings)
    assert any(line.startswith("failed: customer_records, quarantine_within_limit: 8.3% of 12") for line in told)


def test_what_dagster_remembers_of_a_lakehouse_that_was_removed_is_not_told_of_the_next_one(stedi: Stedi) -> None:
    deliver_all(stedi)
    assert stedi.materialize().success
    assert cli.remarks(stedi.instance, stedi.settings) != []
    shutil.rmtree(stedi.folder / "lakehouse")
    assert cli.remarks(stedi.instance, stedi.settings) == []
    assert cli.changes(stedi.instance, stedi.settings).row_count == len(FEEDS)  # raw files, as their pages say


def test_a_folder_for_dagster_that_is_not_there_is_told(stedi: Stedi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(stedi.folder / "nowhere"))
    assert "there is no such folder. Make it, with a copy of" in run(stedi, "summary").output


def test_who_only_looks_makes_no_lakehouse(stedi: Stedi) -> None:
    assert "not made yet" in line_of("customer_trusted", stedi)
    assert cli.remarks(stedi.instance, stedi.settings) == []
    assert not any(path.is_file() for path in (stedi.folder / "lakehouse").rglob("*"))


def test_without_the_folder_where_dagster_remembers_the_summary_says_what_to_set(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert run(stedi, "summary").output == "Error: DAGSTER_HOME is not set: export DAGSTER_HOME=$PWD/.dagster\n"


# changes ------------------------------------------------------------------------------------------------------------


def test_what_the_latest_run_did_is_said_of_each_asset_that_was_made(stedi: Stedi) -> None:
    deliver_all(stedi)
    stedi.deliver("customer", "\n", "2.json")
    assert stedi.materialize().success
    landing, trusted = (line_of(name, stedi, cli.changes) for name in ("customer_landing", "customer_trusted"))
    assert "│ 0 files │ 2 files │" in landing
    assert "│ 0 │ 6 │ 3 not the customer's latest record │ made for the first time │" in trusted
    assert stedi.materialize("customer_landing", "customer_trusted").success
    landing, trusted = (line_of(name, stedi, cli.changes) for name in ("customer_landing", "customer_trusted"))
    assert "│ 2 files │ 0 files │" in landing
    assert "│ 6 │ 0 │ 3 not the customer's latest record │ unchanged since 2" in trusted


# next-day -------------------------------------------------------------------------------------------------------------


def test_a_next_day_comes_to_the_sample_alone(stedi: Stedi) -> None:
    environment = {"STEDI_SOURCE": str(stedi.source), "STEDI_LAKEHOUSE": stedi.settings.lakehouse}
    refused = CliRunner().invoke(cli.main, ["next-day"], env=environment)
    assert refused.exit_code == 1
    assert f"the sample alone, and STEDI_SOURCE is {stedi.source}. Unset it" in refused.output
    assert not list(stedi.source.iterdir())
    assert "Day 1 after the sample" in run(stedi, "next-day").output
    assert "Day 2 after the sample" in run(stedi, "next-day").output


# sql ----------------------------------------------------------------------------------------------------------------


def run(stedi: Stedi, *words: str) -> Result:
    return CliRunner().invoke(cli.main, words, env={"STEDI_LAKEHOUSE": stedi.settings.lakehouse})


def test_any_verification_query_and_any_statement_runs_from_the_shell(made: tuple[Stedi, Outcome]) -> None:
    stedi, _ = made
    answer = run(stedi, "sql", queries()["table_counts"])  # it begins with a comment, as an option does
    assert answer.exit_code == 0, answer.output
    assert f"customer_trusted {stedi.counts()['customer_trusted']:>10}" in answer.output


def test_a_moment_is_printed_as_it_is_stored_where_another_row_has_none(stedi: Stedi) -> None:
    """Who met it: "sharewithresearchasofdate is 1.655564e+12, which I cannot look up"."""
    answer = run(stedi, "sql", "SELECT * FROM VALUES (1655564376361L), (cast(NULL AS bigint)) AS consents(since)")
    assert [line.strip() for line in answer.output.splitlines()] == ["since", "1655564376361", "None"]


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELECT cast('ann@x.org' AS bigint)", "SELEKT 1"])
def test_a_statement_that_cannot_be_run_is_answered_with_one_sentence(stedi: Stedi, statement: str) -> None:
    answer = run(stedi, "sql", statement)
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: The statement cannot be run:")
    assert answer.output.count("\n") <= 2
    assert "ann@x.org" not in answer.output


def test_a_program_sees_every_table_that_is_made_and_raw_records_under_the_landing_tables_name(
    made: tuple[Stedi, Outcome],
) -> None:
    stedi, _ = made
    with cli.lakehouse(stedi.settings) as session:
        views = {table.name for table in session.catalog.listTables()}
        assert views == {*TABLES, *(feed.landing.name for feed in FEEDS)}
        for feed in FEEDS:
            landing = session.table(feed.landing.name)
            assert tuple(landing.columns) == feed.landing.column_names
            assert landing.count() == stedi.counts()[feed.records.name]


def test_a_program_sees_nothing_of_what_is_not_made(stedi: Stedi) -> None:
    with cli.lakehouse(stedi.settings) as session:
        assert session.catalog.listTables() == []


# ddl ----------------------------------------------------------------------------------------------------------------


def test_the_ddl_files_are_what_the_command_writes_today(
    stedi: Stedi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "DDL", tmp_path)
    assert run(stedi, "ddl").exit_code == 0
    written = {path.name: path.read_text() for path in tmp_path.glob("*.sql")}
    assert written == {path.name: path.read_text() for path in (ROOT / "sql").glob("*.sql")}, "run: make ddl"
    assert set(written) == {f"{feed.landing.name}.sql" for feed in FEEDS}


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_ddl_is_an_external_table_over_raw_json_with_the_columns_of_the_contract(feed: Feed) -> None:
    create = sqlglot.parse_one(landing_ddl(feed), read="athena")
    assert isinstance(create, exp.Create)
    assert create.find(exp.ExternalProperty)
    assert create.find(exp.Table).name == feed.landing.name
    columns = list(create.find_all(exp.ColumnDef))
    types = [(column.name, column.args["kind"].sql("hive").lower()) for column in columns]
    assert types == [(column.name, column.type) for column in feed.landing.columns]
    comments = [column.find(exp.CommentColumnConstraint).this.name for column in columns]
    assert comments == [column.meaning for column in feed.landing.columns]
    # Whatever its case, and passing over what is malformed.
    assert create.find(exp.RowFormatSerdeProperty).name == "org.openx.data.jsonserde.JsonSerDe"
    serde = create.find(exp.SerdeProperties)
    properties = {pair.this.name: pair.args["value"].name for pair in serde.expressions}
    assert properties == dict.fromkeys(
        ("ignore.malformed.json", "use.null.for.invalid.data", "case.insensitive"), "TRUE"
    )
    assert create.find(exp.LocationProperty).this.name == LOCATION


def test_no_sign_in_a_comment_ends_it_early_or_is_lost_in_athena() -> None:
    """A quote ends a comment, `;` may end the statement, and Athena keeps no other signs than those of ASCII."""
    for feed in FEEDS:
        for text in (feed.landing.grain, *(column.meaning for column in feed.landing.columns)):
            assert text.isascii()
            assert not {"'", ";"} & set(text)
            assert len(text) <= 255
