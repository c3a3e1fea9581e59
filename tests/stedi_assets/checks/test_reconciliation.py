"""That rows add up: rows lost or invented are told. What each rule drops is counted in `test_mutants.py`."""

from __future__ import annotations

import pytest

from stedi_assets.checks.reconciliation import NO_CONSENT, NOT_LATEST
from stedi_assets.pipeline.checks import Facts
from stedi_assets.pipeline.reconciliation import BECAME, RETAINED
from tests.stedi_assets.checks.worlds import ERROR, check_of

NUMBERS = {NOT_LATEST: 3, RETAINED: 2, BECAME: 2, NO_CONSENT: 2}


@pytest.mark.parametrize("facts", [Facts(*sums) for sums in ((7, 2), (7, 1), (7, 3), (8, 2), (6, 2))])
def test_a_row_that_is_lost_or_invented_makes_the_sums_differ(facts: Facts) -> None:
    result = check_of("customer_trusted", "rows_reconciled").evaluate(NUMBERS, facts)
    balanced = (facts.rows_in, facts.rows_published) == (7, 2)
    assert (result.passed, result.severity) == (balanced, ERROR)
    assert result.description == (
        f"{facts.rows_in} rows in = 2 retained; 3 dropped: {NOT_LATEST}; 2 dropped: {NO_CONSENT}. They became 2 rows"
        + ("." if balanced else f", but {facts.rows_published} are here: rows were lost or invented.")
    )
    shown = {name: entry.value for name, entry in result.metadata.items()}
    counted = {"rows in": facts.rows_in, "rows retained": 2, "rows published": facts.rows_published}
    assert shown == {**counted, NOT_LATEST: 3, NO_CONSENT: 2}
