"""Contracts in the words of the UI: schema, lineage, and a preview that tells nobody who somebody is."""

from __future__ import annotations

import pytest

from stedi_assets.contracts import CUSTOMER, MACHINE_LEARNING_CURATED, TABLES, Pii
from stedi_assets.pipeline.metadata import column_lineage, mask, preview, schema


def test_the_ui_shows_meaning_nullability_and_personal_data_of_each_column() -> None:
    shown = {column.name: column for column in schema(CUSTOMER.landing).columns}
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


@pytest.mark.parametrize(
    ("value", "pii", "shown"),
    [
        ("ada@example.com", Pii.DIRECT, "•••"),
        ("1234-5678-abcd", Pii.DEVICE, "…abcd"),
        ("12345678", Pii.DEVICE, "•••"),
        ("free", Pii.NONE, "free"),
        (None, Pii.DIRECT, None),
    ],
)
def test_a_value_is_shown_as_its_column_allows(value: str | None, pii: Pii, shown: str | None) -> None:
    assert mask(value, pii) == shown


def test_a_preview_has_every_column_masked_where_the_contract_says_personal() -> None:
    row = {name: f"{name} of somebody" for name in CUSTOMER.landing.column_names} | {"phone": None, "lastupdatedate": 7}
    shown = preview(CUSTOMER.landing, [row])
    assert sorted(column.name for column in shown.schema.columns) == sorted(CUSTOMER.landing.column_names)
    (record,) = shown.records
    assert {name: record.data[name] for name in ("customername", "email", "phone", "birthday", "serialnumber")} == {
        **dict.fromkeys(("customername", "email", "birthday"), "•••"),
        "phone": "",
        "serialnumber": "…body",
    }
    assert record.data["lastupdatedate"] == 7


def test_a_preview_begins_with_what_is_not_masked_so_that_consent_is_seen_without_scrolling() -> None:
    """Who met it: "the preview of the customers is cut off before it says who agreed"."""
    columns = [column.name for column in preview(CUSTOMER.records, []).schema.columns]
    assert columns[:3] == ["registrationdate", "lastupdatedate", "sharewithresearchasofdate"]
    assert columns[-5:] == ["customername", "email", "phone", "birthday", "serialnumber"]
