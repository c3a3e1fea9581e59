"""The page that lists which audit guards which rule says what the code does."""

from __future__ import annotations

import re

import dagster as dg

from resources.settings import Settings
from stedi_assets.contracts import TABLES
from stedi_assets.definitions import build_definitions
from tests.stedi_assets.audits_page import PAGE, page
from tests.stedi_assets.mutations import BROKEN, BROKEN_READERS


def test_the_page_is_what_the_code_says_today() -> None:
    assert PAGE.read_text() == page(), "run: make docs"


def test_every_check_of_every_asset_is_on_the_page_and_nothing_else() -> None:
    listed = {
        (section.splitlines()[0].strip(), name)
        for section in PAGE.read_text().split("\n### ")[1:]
        for name in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    }
    graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
    keys = graph.get_check_keys_for_assets({dg.AssetKey(name) for name in TABLES})
    assert listed == {(key.asset_key.to_user_string(), key.name) for key in keys}


def test_every_audit_that_stops_a_table_is_seen_to_stop_a_broken_rule_or_says_what_else_it_guards() -> None:
    stopping = {one for broken in (*BROKEN, *BROKEN_READERS) for one in broken.caught_by}
    graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
    keys = graph.get_check_keys_for_assets({dg.AssetKey(name) for name in TABLES})
    never = {key.name for key in keys if graph.get_check_spec(key).blocking} - stopping
    # These guard against feeds that went wrong, not against code: see test_audits.py and test_intake.py.
    assert never == {
        "quarantine_within_limit",
        "required_columns_filled",
        "readings_of_known_customers",
        "consenting_customers_with_readings",
        "curated_customers_with_distances",
        "distances_matched",
    }
