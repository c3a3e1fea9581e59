"""A lakehouse that many tests look at and none changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stedi_assets.contracts import ASSETS, FEEDS
from tests.stedi_assets.examples import deliver_all
from tests.support import Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Stedi, Outcome]:
    """Every asset, made of the example feeds with one broken record in each, and the run that made it."""
    stedi = Stedi(tmp_path_factory.mktemp("made"), {"STEDI_QUARANTINE_LIMIT": "1"})
    deliver_all(stedi)
    for feed in FEEDS:
        stedi.deliver(feed.name, "rubbish", "2.json")
    outcome = stedi.materialize(*ASSETS, "query_evidence")
    assert outcome.success, outcome.failure
    return stedi, outcome
