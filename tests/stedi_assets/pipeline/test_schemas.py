"""Contracts in the words of other systems: Athena's DDL, the UI's metadata."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from stedi_assets.contracts import CUSTOMER, FEEDS, MACHINE_LEARNING_CURATED, TABLES, Feed, Pii
from stedi_assets.pipeline.schemas import LOCATION, column_lineage, dagster_schema, landing_ddl
from tests.support import ROOT


def _ddl(feed: Feed) -> exp.Create:
    text = (ROOT / "sql" / f"{feed.landing.name}.sql").read_text()
    statement = sqlglot.parse_one(text, read="athena")
    assert isinstance(statement, exp.Create)
    return statement


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_ddl_is_an_external_table_with_the_columns_of_the_contract(feed: Feed) -> None:
    create = _ddl(feed)
    assert create.find(exp.ExternalProperty)
    assert create.find(exp.Table).name == feed.landing.name
    columns = [(column.name, column.args["kind"].sql("hive").lower()) for column in create.find_all(exp.ColumnDef)]
    assert columns == [(column.name, column.type) for column in feed.landing.columns]
    comments = [column.find(exp.CommentColumnConstraint).this.name for column in create.find_all(exp.ColumnDef)]
    assert comments == [column.meaning for column in feed.landing.columns]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_ddl_reads_raw_json_whatever_its_case_and_passes_over_malformed_records(feed: Feed) -> None:
    create = _ddl(feed)
    assert create.find(exp.RowFormatSerdeProperty).name == "org.openx.data.jsonserde.JsonSerDe"
    serde = create.find(exp.SerdeProperties)
    properties = {pair.this.name: pair.args["value"].name for pair in serde.expressions}
    assert properties == dict.fromkeys(
        ("ignore.malformed.json", "use.null.for.invalid.data", "case.insensitive"), "TRUE"
    )
    assert create.find(exp.LocationProperty).this.name == LOCATION


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_ddl_files_are_what_the_contracts_say_today(feed: Feed) -> None:
    assert (ROOT / "sql" / f"{feed.landing.name}.sql").read_text() == landing_ddl(feed), "run: make ddl"


def test_no_sign_in_a_comment_ends_it_early_or_is_lost_in_athena() -> None:
    """A quote ends a comment, `;` may end the statement, and Athena keeps no other signs than those of ASCII."""
    for feed in FEEDS:
        for text in (feed.landing.grain, *(column.meaning for column in feed.landing.columns)):
            assert text.isascii()
            assert not {"'", ";"} & set(text)
            assert len(text) <= 255


def test_the_ui_shows_meaning_nullability_and_personal_data_of_each_column() -> None:
    shown = {column.name: column for column in dagster_schema(CUSTOMER.landing).columns}
    assert shown["email"].tags == {"pii": "direct"}
    assert shown["serialnumber"].tags == {"pii": "device"}
    assert shown["registrationdate"].tags == {}
    assert not shown["email"].constraints.nullable
    assert shown["phone"].constraints.nullable
    assert "epoch milliseconds" in str(shown["lastupdatedate"].description)


def test_the_training_table_takes_each_column_from_one_sensor_and_none_that_names_a_person() -> None:
    upstream = [TABLES[name] for name in ("step_trainer_trusted", "accelerometer_trusted", "customer_trusted")]
    lineage = column_lineage(MACHINE_LEARNING_CURATED, upstream).deps_by_column
    sources = {column: deps[0].asset_key.to_user_string() for column, deps in lineage.items()}
    assert sources == {
        **dict.fromkeys(("sensorreadingtime", "serialnumber", "distancefromobject"), "step_trainer_trusted"),
        **dict.fromkeys("xyz", "accelerometer_trusted"),
    }
    assert not [column for column in MACHINE_LEARNING_CURATED.columns if column.pii is Pii.DIRECT]
