"""The page `docs/audits.md`: which check guards which rule. `make docs` writes it.

Belongs here: the checks as the code has them, and the rules as the tests break them, in the words of a page.
"""

from __future__ import annotations

from collections.abc import Iterable

from stedi_assets.checks.consent import TABLES_KNOW_LATEST_CONSENTS
from stedi_assets.checks.ingestion import FILES_AS_EXPECTED
from stedi_assets.contracts import CUSTOMER_TRUSTED, FEEDS
from stedi_assets.deliveries import DELIVERY_ACCEPTED
from stedi_assets.pipeline.checks import Check
from tests.stedi_assets.checks.accidents import ACCIDENTS, Accident
from tests.stedi_assets.checks.misreadings import MISREADINGS, Checks, Misreading
from tests.stedi_assets.checks.mutant_readers import MUTANT_READERS, MutantReader
from tests.stedi_assets.checks.mutants import MUTANTS, Mutant
from tests.stedi_assets.checks.worlds import EVERY_TABLE
from tests.support import ROOT

PAGE = ROOT / "docs" / "audits.md"

HEAD = """# Which check guards which rule

Generated from the code: `make docs`. A table is checked while nobody sees it yet; where a check that *stops* fails,
nothing is published, and the previous version is still served. One that *warns* is shown, and stops nothing; a share
that warns when it is low stops where nothing at all is left.

## Rules that are broken on purpose

Each line is a test (`tests/stedi_assets/checks/test_mutants.py`): the table's own code is replaced by one that breaks
the rule. These checks fail, they and no others.
"""
ACCIDENT = """
## Accidents

What may happen to any table happens to one here, in a real run (the same file): what came of it is not published.
Every table has the checks that notice (`test_every_table.py`).
"""
READER = """
## Readers that are broken on purpose

Each line is a real run of a feed (the same file) whose reader breaks the rule. A feed's records and its quarantine are
published together, or not at all.
"""
MISREAD = """
## Feeds that are read wrongly on purpose

Each line is a test (`test_misreadings.py`): all tables are made from a delivery in which nothing is worth a remark, and
the code that reads a feed makes a mistake that the feed's own tables cannot know. These checks downstream fail or warn,
they and no others. One that warns stops nothing: it is for people to look at.
"""
EVERY = """
## Every check of every asset
"""


def page() -> str:
    """The whole page."""
    rules = _table(("what is broken", "in the table", "the checks that stop it"), map(_rule, _sorted(MUTANTS)))
    accidents = _table(("what happens", "to the table", "the checks that stop it"), map(_rule, ACCIDENTS))
    readers = _table(("what is broken", "the checks that stop it"), map(_reader, MUTANT_READERS))
    misread = _table(
        ("what is broken", "in the feeds", "what stops it", "what warns of it"), map(_misread, MISREADINGS)
    )
    checks = [
        f"\n### {name}\n\n" + _table(("check", "if it fails", "what it promises"), map(_check, checks))
        for name, checks in checks_by_asset().items()
    ]
    parts = [HEAD, rules, ACCIDENT, accidents, READER, readers, MISREAD, misread, EVERY, "\n".join(checks)]
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def checks_by_asset() -> dict[str, tuple[Check, ...]]:
    """Every check of every asset, as the assets have them."""
    checks = {name: table.all_checks for name, table in EVERY_TABLE.items()}
    for feed in FEEDS:
        checks[feed.records.name] += (DELIVERY_ACCEPTED,)
    checks[CUSTOMER_TRUSTED.name] += (TABLES_KNOW_LATEST_CONSENTS,)
    return {**{feed.landing.name: (FILES_AS_EXPECTED,) for feed in FEEDS}, **checks}


def _sorted(mutants: Iterable[Mutant]) -> list[Mutant]:
    order = list(checks_by_asset())
    return sorted(mutants, key=lambda one: order.index(one.table))


def _rule(one: Mutant | Accident) -> tuple[str, ...]:
    return one.rule, f"`{one.table}`", ", ".join(f"`{name}`" for name in sorted(one.caught_by))


def _reader(one: MutantReader) -> tuple[str, ...]:
    return one.rule, _pairs(one.caught_by)


def _misread(one: Misreading) -> tuple[str, ...]:
    return one.rule, ", ".join(feed.name for feed in one.feeds), _pairs(one.stopped_by), _pairs(one.warned_by)


def _pairs(checks: Checks) -> str:
    return ", ".join(f"`{table}`: `{name}`" for table, name in sorted(checks))


def _check(check: Check) -> tuple[str, ...]:
    does = "fails the run" if check is DELIVERY_ACCEPTED else "stops" if check.blocking else "warns"
    return f"`{check.name}`", does, check.description


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
