"""The whole lakehouse gives the right counts on data whose answers are known, under both consent rules."""

from __future__ import annotations

import pytest

from sample.feeds import write_feeds
from tests.stedi_assets.counts import COUNTS
from tests.support import REFERENCE, Stedi, require_reference


@pytest.mark.parametrize("consent", COUNTS)
def test_the_reference_data_gives_the_reference_counts(stedi: Stedi, consent: str) -> None:
    require_reference()
    stedi.environment |= {"STEDI_SOURCE": str(REFERENCE), "STEDI_CONSENT": consent}
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    assert stedi.counts() == COUNTS[consent]
    assert [key for key, check in outcome.checks.items() if check.blocking and not check.passed] == []


@pytest.mark.parametrize(("consent", "seed"), [("customer", 1), ("as-of-date", 20220615)])
def test_the_sample_gives_the_counts_that_its_generator_knows(stedi: Stedi, consent: str, seed: int) -> None:
    expected = write_feeds(stedi.folder / "sample", customers=60, seed=seed)
    stedi.environment |= {"STEDI_SOURCE": str(stedi.folder / "sample"), "STEDI_CONSENT": consent}
    assert stedi.materialize().success
    assert stedi.counts() == expected.rows(consent)
