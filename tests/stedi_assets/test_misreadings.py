"""The pipeline with a feed read wrongly: where no audit of the feed can know, one of the tables made of it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from stedi_assets.ingestion import parse as reader
from tests.stedi_assets.examples import as_delivered
from tests.stedi_assets.misreadings import FAULTLESS, MISREADINGS, Misreading
from tests.stedi_assets.runs import data_folders
from tests.support import Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def deliver(stedi: Stedi, blank_lines: int) -> None:
    """The same records, and in other files than before, so that they are read again."""
    for feed, rows in FAULTLESS.items():
        lines = [json.dumps(row) for row in as_delivered(feed, rows)]
        stedi.deliver(feed, "\n" * blank_lines + "\n".join(lines))


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Stedi:
    stedi = Stedi(tmp_path_factory.mktemp("faultless"))
    deliver(stedi, 0)
    outcome = stedi.materialize()
    assert outcome.success
    assert [name for name, one in outcome.checks.items() if not one.passed] == []
    return stedi


@pytest.fixture(scope="module")
def deliveries() -> Iterator[int]:
    return count(1)


def not_passed(outcome: Outcome, severity: dg.AssetCheckSeverity) -> set[tuple[str, str]]:
    return {name for name, one in outcome.checks.items() if not one.passed and one.severity is severity}


@pytest.mark.parametrize("misread", MISREADINGS, ids=str)
def test_a_feed_that_is_read_wrongly_stops_the_table_that_cannot_be_right_or_is_warned_of(
    lakehouse: Stedi, deliveries: Iterator[int], misread: Misreading, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(lakehouse, next(deliveries))
    stopped = {table for table, _ in misread.stopped_by}
    before = {table: (lakehouse.lakehouse.version(table), data_folders(lakehouse, table)) for table in stopped}
    monkeypatch.setattr(reader, "type_records", misread.type_records)
    outcome = lakehouse.materialize(*misread.tables)
    assert not_passed(outcome, ERROR) == misread.stopped_by
    assert not_passed(outcome, WARN) == misread.warned_by
    assert outcome.materialized >= {feed.landing.name for feed in misread.feeds}
    assert outcome.success is not bool(stopped)
    for table, was in before.items():
        assert was[0] is not None
        assert table not in outcome.materialized
        assert f"{table} was not published, the previous version is still served." in outcome.failure
        assert (lakehouse.lakehouse.version(table), data_folders(lakehouse, table)) == was
