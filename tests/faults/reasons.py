"""Why a run that is not alone may fail: one of a few causes, each told in a sentence of its own.

Belongs here: the sentences, and finding them in what a run printed. Does not belong here: what the run left behind
(`world.py`).
"""

from __future__ import annotations

import re

from resources.settings import Settings
from stedi_assets.definitions import build_definitions

OVERTAKEN = "another run published the table first"
TOO_EARLY = "a table that is needed is not there yet"
MIXED = "its tables are made of two deliveries, and a check says so"
OTHER_SOURCE = "another run is at work on another source"

SENTENCES = {
    OVERTAKEN: r"Another run published (\w+) at the same time; this run's version was discarded\. "
    r"Materialize \1 again\.",
    TOO_EARLY: r"(\w+) is needed, and was never materialized in \S+\. "
    r"Make it first: dagster asset materialize -m stedi_assets --select '\+\1'",
    OTHER_SOURCE: r"Another run is at work on the source \S+ in this lakehouse, and this one is on \S+: \w+ was "
    r"replaced meanwhile\. Run again when it has ended, or give each source a STEDI_LAKEHOUSE of its own\."
    r"(?: Made before the latest consents: .+)?",
    MIXED: r"\w+ was not published, (?:the previous version is still served|nothing is served yet)\. \w+: .+",
}
COMPARE = {
    "consenting_customers_with_readings",
    "curated_customers_with_distances",
    "no_row_pairs_two_customers",
    "only_consenting_customers",
    "only_latest_records",
    "only_readings_of_consenting_customers",
    "only_readings_of_consenting_holders",
    "rows_reconciled",
}
"""The checks that hold a table against others, and so notice tables of two deliveries."""

CHECKS = {key.name for key in build_definitions(Settings.from_environment({})).resolve_asset_graph().asset_check_keys}
CAUSED = "The above exception was caused by the following exception:\n"
STATEMENT = r"(?:\n[\[(].*)*"  # SQLAlchemy adds it to its errors
ERROR = re.compile(
    rf"^(?P<caused>{CAUSED})?(?P<kind>[\w.]+): (?P<sentence>.*){STATEMENT}\n\nStack Trace:", re.MULTILINE
)
BENEATH = {
    "pyiceberg.exceptions.CommitFailedException",
    "pyiceberg.exceptions.TableAlreadyExistsError",
    "resources.errors.LakehouseError",
    "sqlalchemy.exc.IntegrityError",
    "sqlite3.IntegrityError",
}
"""The errors that a sentence may put in plain words."""


def reasons(said: str) -> set[str]:
    """Why the run failed, of all that its printed errors say; none of them may be unknown."""
    errors = list(ERROR.finditer(said))
    assert len(errors) == said.count("Stack Trace:"), said[-6000:]
    assert "Traceback (most recent call last)" not in said, said[-6000:]
    assert {error["kind"] for error in errors if error["caused"]} <= BENEATH, said[-6000:]
    return {reason(error["sentence"]) for error in errors if not error["caused"]}


def reason(sentence: str) -> str:
    """The cause that the sentence names."""
    told = [cause for cause, pattern in SENTENCES.items() if re.fullmatch(pattern, sentence)]
    broken = {check for check in CHECKS if f" {check}: " in sentence}
    assert len(told) == 1, f"unknown: {sentence}"
    assert broken <= COMPARE, f"no other run is to blame: {sentence}"
    return told[0]
