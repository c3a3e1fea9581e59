"""The pipeline with a feed read wrongly: where no check of the feed can know, one of the tables made of it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from resources.iceberg.catalogs import LocalLakehouse
from stedi_assets.contracts import FEEDS, REASON, RUN, TEXT, Feed
from stedi_assets.pipeline.evaluation import Evaluation
from stedi_assets.rules import Consent
from tests.stedi_assets.checks.misreadings import FAULTLESS, MISREADINGS, Misreading
from tests.stedi_assets.checks.worlds import ERROR, EVERY_FEEDS_TABLES, WARN, GivenTables, evaluated, in_memory
from tests.stedi_assets.runs import ASSETS
from tests.support import ENGINE, MakeFrame

if TYPE_CHECKING:
    import dagster as dg
    from pyspark.sql import DataFrame


@dataclass
class Made:
    """The tables that come of one way to read the faultless delivery, and what their checks found."""

    tables: GivenTables
    found: list[Evaluation]

    def checks(self, severity: dg.AssetCheckSeverity) -> set[tuple[str, str]]:
        results = (result for evaluation in self.found for result in evaluation.results)
        failed = (one for one in results if not one.passed and one.severity is severity)
        return {(one.asset_key.to_user_string(), str(one.check_name)) for one in failed if one.asset_key}


def parsed(frame: MakeFrame, feed: Feed) -> DataFrame:
    rows = [{**row, "file": "1.json"} for row in FAULTLESS[feed.name]]
    return frame(replace(feed.records, columns=(*feed.records.columns, REASON, TEXT, RUN)), rows)


def make(tables: GivenTables, feeds: Iterable[Feed], read: dict[str, DataFrame], from_before: Iterable[str]) -> Made:
    """Make the tables of these feeds, and all that are made of them, up to one that is stopped."""
    made = Made(replace(tables, given=dict(tables.given)), [])
    given: dict[str, DataFrame] = made.tables.given  # type: ignore[assignment]
    for feed in feeds:
        both = EVERY_FEEDS_TABLES[feed.name]
        given |= {table.name: table.function(read[feed.name]) for table in both}
        records, quarantine = (given[table.name] for table in both)
        own = {"parsed": read[feed.name], "text": read[feed.name], "records": records, "quarantine": quarantine}
        made.found += evaluated(both, replace(made.tables, given={**given, **own})).values()
    for name, table in ASSETS.items():
        if name not in from_before:
            given[name] = in_memory(made.tables.bind(table.function))
            made.found += evaluated([table], made.tables).values()
        if made.found[-1].stops:
            break
    return made


@pytest.fixture(scope="module")
def faultless(frame: MakeFrame, tmp_path_factory: pytest.TempPathFactory) -> Made:
    lakehouse = LocalLakehouse(root=str(tmp_path_factory.mktemp("empty") / "lakehouse"), namespace="stedi")
    nothing = GivenTables(ENGINE, lakehouse, {"consent": Consent.CUSTOMER})
    return make(nothing, FEEDS, {feed.name: parsed(frame, feed) for feed in FEEDS}, ())


def test_of_the_faultless_delivery_every_table_is_made_and_nothing_is_worth_a_remark(faultless: Made) -> None:
    assert faultless.tables.given.keys() >= ASSETS.keys()
    assert faultless.checks(ERROR) == faultless.checks(WARN) == set()


@pytest.mark.parametrize("misread", MISREADINGS, ids=str)
def test_a_feed_that_is_read_wrongly_stops_the_table_that_cannot_be_right_or_is_warned_of(
    frame: MakeFrame, faultless: Made, misread: Misreading
) -> None:
    read = {
        feed.name: in_memory(misread.happens(parsed(frame, feed)).select(*parsed(frame, feed).columns))
        for feed in misread.feeds
    }
    made = make(faultless.tables, misread.feeds, read, misread.from_before)
    assert made.checks(ERROR) == misread.stopped_by
    assert made.checks(WARN) == misread.warned_by
