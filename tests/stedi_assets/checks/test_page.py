"""The page that lists which check guards which rule says what the code does, and no check is on it for show."""

from __future__ import annotations

import re

import dagster as dg

from resources.settings import Settings
from stedi_assets.checks.consent import TABLES_KNOW_LATEST_CONSENTS
from stedi_assets.checks.ingestion import FILES_AS_EXPECTED
from stedi_assets.contracts import ASSETS
from stedi_assets.definitions import build_definitions
from stedi_assets.deliveries import DELIVERY_ACCEPTED
from tests.stedi_assets.checks.accidents import ACCIDENTS
from tests.stedi_assets.checks.misreadings import MISREADINGS
from tests.stedi_assets.checks.mutant_readers import MUTANT_READERS
from tests.stedi_assets.checks.mutants import MUTANTS
from tests.stedi_assets.checks.page import PAGE, page
from tests.stedi_assets.checks.worlds import OF_EVERY_FEED, ON_EVERY_TABLE, WHERE_ROWS_ARE_KEPT


def checks(*, stop: bool) -> set[tuple[str, str]]:
    """The checks of all assets that stop a table, or that do not."""
    graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
    keys = graph.get_check_keys_for_assets({dg.AssetKey(name) for name in ASSETS})
    chosen = [key for key in keys if graph.get_check_spec(key).blocking is stop]
    return {(key.asset_key.to_user_string(), key.name) for key in chosen}


def test_the_page_is_what_the_code_says_today() -> None:
    assert PAGE.read_text() == page(), "run: make docs"


def test_every_check_of_every_asset_is_on_the_page_and_nothing_else() -> None:
    listed = {
        (section.splitlines()[0].strip(), name)
        for section in PAGE.read_text().split("\n### ")[1:]
        for name in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    }
    assert listed == checks(stop=True) | checks(stop=False)


def test_every_check_that_can_stop_a_table_is_seen_to_stop_a_broken_version_of_the_pipeline() -> None:
    seen = {(mutant.table, one) for mutant in (*MUTANTS, *ACCIDENTS) for one in mutant.caught_by}
    seen = seen.union(*(one.caught_by for one in MUTANT_READERS), *(one.stopped_by for one in MISREADINGS))
    shared = (
        ON_EVERY_TABLE | WHERE_ROWS_ARE_KEPT | OF_EVERY_FEED
    )  # one table stands for all of them: see test_every_table.py
    assert {pair for pair in checks(stop=True) if pair[1] not in shared} == {
        one for one in seen if one[1] not in shared
    }
    assert {name for _, name in seen} >= shared


def test_every_check_that_warns_is_seen_to_warn_of_a_broken_version_of_the_pipeline() -> None:
    seen = frozenset[tuple[str, str]]().union(*(misread.warned_by for misread in MISREADINGS))
    # What is said of files, of a delivery and of other tables is seen in test_ingest.py, test_mutants.py and
    # test_outdated.py.
    elsewhere = {FILES_AS_EXPECTED.name, DELIVERY_ACCEPTED.name, TABLES_KNOW_LATEST_CONSENTS.name}
    assert {pair for pair in checks(stop=False) if pair[1] not in elsewhere} <= seen
