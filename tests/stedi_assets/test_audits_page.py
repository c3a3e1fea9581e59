"""The page that lists which audit guards which rule says what the code does."""

from __future__ import annotations

import re

import dagster as dg

from resources.settings import Settings
from stedi_assets.contracts import FEEDS, TABLES
from stedi_assets.definitions import build_definitions
from stedi_assets.ingestion.delivery import FILES_AS_EXPECTED
from tests.stedi_assets.audits_page import PAGE, page
from tests.stedi_assets.misreadings import MISREADINGS
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


def checks_that(*, stop: bool) -> set[tuple[str, str]]:
    graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
    keys = graph.get_check_keys_for_assets({dg.AssetKey(name) for name in TABLES})
    chosen = [key for key in keys if graph.get_check_spec(key).blocking is stop]
    return {(key.asset_key.to_user_string(), key.name) for key in chosen}


def test_every_audit_that_can_stop_a_table_is_seen_to_stop_a_broken_version_of_the_pipeline() -> None:
    seen = {(broken.table, one) for broken in (*BROKEN, *BROKEN_READERS) for one in broken.caught_by}
    assert checks_that(stop=True) == seen.union(*(misread.stopped_by for misread in MISREADINGS))


def test_every_audit_that_warns_is_seen_to_warn_of_a_broken_version_of_the_pipeline() -> None:
    seen = frozenset[tuple[str, str]]().union(*(misread.warned_by for misread in MISREADINGS))
    # What is said of the files is said before anything reads them: see test_intake.py.
    of_files = {(feed.landing.name, FILES_AS_EXPECTED.name) for feed in FEEDS}
    assert checks_that(stop=False) - of_files <= seen
