"""The whole lakehouse gives the right counts on data whose answers are known, under both consent rules."""

from __future__ import annotations

import pytest

from sample.feeds import write_feeds
from tests.support import REFERENCE, Stedi, require_reference

COUNTS = {
    "customer": {
        "customer_landing": 956,
        "accelerometer_landing": 81_273,
        "step_trainer_landing": 28_680,
        "customer_quarantine": 0,
        "accelerometer_quarantine": 0,
        "step_trainer_quarantine": 0,
        "customer_trusted": 482,
        "accelerometer_trusted": 40_981,
        "customers_curated": 482,
        "step_trainer_trusted": 14_460,
        "machine_learning_curated": 40_981,
    }
}
COUNTS["as-of-date"] = {
    **COUNTS["customer"],
    "accelerometer_trusted": 32_025,
    "customers_curated": 464,
    "step_trainer_trusted": 11_297,
    "machine_learning_curated": 32_025,
}


@pytest.mark.parametrize("consent", COUNTS)
def test_the_reference_data_gives_the_reference_counts(stedi: Stedi, consent: str) -> None:
    require_reference()
    stedi.environment |= {"STEDI_SOURCE": str(REFERENCE), "STEDI_CONSENT": consent}
    assert stedi.materialize().success
    assert stedi.counts() == COUNTS[consent]


@pytest.mark.parametrize("consent", COUNTS)
@pytest.mark.parametrize("seed", [1, 20220615])
def test_the_sample_gives_the_counts_that_its_generator_knows(stedi: Stedi, consent: str, seed: int) -> None:
    expected = write_feeds(stedi.folder / "sample", customers=60, seed=seed)
    stedi.environment |= {"STEDI_SOURCE": str(stedi.folder / "sample"), "STEDI_CONSENT": consent}
    assert stedi.materialize().success
    assert stedi.counts() == expected.rows(consent)
