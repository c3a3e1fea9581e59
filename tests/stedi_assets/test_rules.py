"""The words of the tables' definitions, where no table's own test holds them to every column."""

from __future__ import annotations

from stedi_assets.contracts import CUSTOMER, FEEDS
from stedi_assets.rules import latest_record, quarantined
from tests.stedi_assets.examples import customer, values
from tests.support import MakeFrame


def test_a_latest_record_has_the_columns_of_a_record_and_no_other(frame: MakeFrame) -> None:
    records = frame(CUSTOMER.landing, [customer("ann@x", updated=1), customer("ann@x", updated=2)])
    assert latest_record(records).columns == records.columns


def test_quarantine_has_what_was_not_accepted_with_the_feed_the_reason_the_text_and_the_run(frame: MakeFrame) -> None:
    refused = {"quarantine_reason": "email is missing", "quarantine_text": "{}", "run": "7"}
    for feed in FEEDS:
        kept = quarantined(frame(feed.records, [refused, {"run": None}]), feed.landing.name)
        assert tuple(kept.columns) == feed.quarantine.column_names
        assert values(kept) == [(feed.landing.name, "email is missing", "{}", "7")]
