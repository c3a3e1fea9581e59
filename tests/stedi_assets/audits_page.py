"""The page `docs/audits.md`: which audit guards which rule. `make docs` writes it.

Belongs here: the audits as the code has them, and the rules as the tests break them, in the words of a page.
"""

from __future__ import annotations

from collections.abc import Iterable

from stedi_assets.contracts import FEEDS
from stedi_assets.definitions import LAKEHOUSE_TABLES
from stedi_assets.ingestion import delivery
from stedi_assets.pipeline.checks import Check
from stedi_assets.pipeline.publish import MATCHES_CONTRACT
from tests.stedi_assets.misreadings import MISREADINGS, Checks, Misreading
from tests.stedi_assets.mutations import BROKEN, BROKEN_READERS, Broken
from tests.support import ROOT

PAGE = ROOT / "docs" / "audits.md"

HEAD = """# Which audit guards which rule

Generated from the code: `make docs`. A table is audited while nobody sees it yet; where an audit that *stops* fails,
nothing is published, and the previous version is still served. One that *warns* is shown, and stops nothing; a share
that warns when it is low stops where nothing at all is left.

## Rules that are broken on purpose

Each line is a test (`tests/stedi_assets/test_mutations.py`): the table's own code is replaced by one that breaks the
rule, in a real run. These audits fail, they and no others, and what came of it is not published.
"""
MISREAD = """
## Feeds that are read wrongly on purpose

Each line is a test (`tests/stedi_assets/test_misreadings.py`): all tables are made from a delivery in which nothing is
worth a remark, and the code that reads a feed makes a mistake that its landing table cannot know. These audits
downstream fail or warn, they and no others. One that warns stops nothing: it is for people to look at.
"""
EVERY = """
## Every audit of every table
"""


def page() -> str:
    """The whole page."""
    rules = _table(("what is broken", "in the table", "the audits that stop it"), map(_rule, _sorted()))
    misread = _table(
        ("what is broken", "in the feeds", "what stops it", "what warns of it"), map(_misread, MISREADINGS)
    )
    audits = [
        f"\n### {name}\n\n" + _table(("audit", "if it fails", "what it promises"), map(_audit, checks))
        for name, checks in checks_by_table().items()
    ]
    return "\n".join([HEAD, rules, MISREAD, misread, EVERY, "\n".join(audits)]).replace("\n\n\n", "\n\n")


def checks_by_table() -> dict[str, tuple[Check, ...]]:
    """Every check of every table, as the assets have them."""
    landing = {feed.landing.name: delivery.CHECKS for feed in FEEDS}
    return {**landing, **{table.name: (MATCHES_CONTRACT, *table.audits) for table in LAKEHOUSE_TABLES}}


def _sorted() -> list[Broken]:
    order = list(checks_by_table())
    return sorted((*BROKEN_READERS, *BROKEN), key=lambda one: order.index(one.table))


def _rule(one: Broken) -> tuple[str, ...]:
    return one.rule, f"`{one.table}`", ", ".join(f"`{name}`" for name in sorted(one.caught_by))


def _misread(one: Misreading) -> tuple[str, ...]:
    return one.rule, ", ".join(feed.name for feed in one.feeds), _pairs(one.stopped_by), _pairs(one.warned_by)


def _pairs(checks: Checks) -> str:
    return ", ".join(f"`{table}`: `{name}`" for table, name in sorted(checks))


def _audit(check: Check) -> tuple[str, ...]:
    return f"`{check.name}`", "stops" if check.blocking else "warns", check.description


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
