"""A lakehouse of real feeds does not become the sample's because somebody opened another shell."""

from __future__ import annotations

from tests.stedi_assets.examples import deliver_all
from tests.support import Stedi


def test_the_sample_takes_no_lakehouse_of_another_source_unless_somebody_asks_for_it(stedi: Stedi) -> None:
    """Who met it: "I forgot STEDI_SOURCE, and all our tables were the sample's, with a warning in the log"."""
    deliver_all(stedi)
    assert stedi.materialize().success
    before = stedi.counts()
    stedi.environment["STEDI_SOURCE"] = ""
    outcome = stedi.materialize()
    assert not outcome.success
    assert f"holds the feed as {stedi.source} has it, and STEDI_SOURCE is not set" in outcome.failure
    assert f"Set STEDI_SOURCE={stedi.source}, or STEDI_SOURCE=sample if" in outcome.failure
    assert stedi.counts() == before
    assert outcome.materialized == set()
    stedi.environment["STEDI_SOURCE"] = "sample"
    assert stedi.materialize("customer_landing").success
    stedi.environment["STEDI_SOURCE"] = ""
    assert stedi.materialize("customer_landing").success
