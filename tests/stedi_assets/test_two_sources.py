"""Two runs in one lakehouse, each on a source of its own: the one that cannot go on names the other's source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resources.iceberg.lakehouse import Lakehouse
from stedi_assets.ingestion import ingest
from stedi_assets.pipeline.step import Step
from tests.stedi_assets import examples
from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all, distance, reading
from tests.support import Stedi

POINTS = {
    "between landing and reading": (ingest, "feed_lock", lambda _, zone, feed: feed.name == "accelerometer"),
    "before a table is made": (Step, "run", lambda step: step.tables[0].name == "accelerometer_trusted"),
    "before its checks": (Lakehouse, "read_staged", lambda *args, **_: args[2].table.name == "step_trainer_trusted"),
    "before its commit": (Lakehouse, "publish", lambda _, staged, __: staged.table.name == "customers_curated"),
}


@pytest.fixture
def other(stedi: Stedi) -> Stedi:
    """The same lakehouse, from a source of other people."""
    folder = stedi.folder / "elsewhere"
    people = Stedi(folder)
    people.deliver("customer", as_delivered("customer", [customer("ivy@x.org", "ivy", updated=T, consent=T)]))
    people.deliver("accelerometer", as_delivered("accelerometer", [reading("ivy@x.org", T + 1, 0.5)]))
    people.deliver("step_trainer", as_delivered("step_trainer", [distance("ivy", T + 1, 1)]))
    return Stedi(stedi.folder, {"STEDI_SOURCE": str(people.source)}, stedi.instance)


@pytest.mark.parametrize(("owner", "name", "is_it"), POINTS.values(), ids=POINTS)
def test_a_run_that_another_ones_source_gets_in_the_way_of_says_so_and_blames_no_data(
    stedi: Stedi,
    other: Stedi,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    is_it: Callable[..., bool],
) -> None:
    """Two of 23 such runs said «15,434 rows break the promise», and none that another run was there."""
    deliver_all(stedi)
    original, left = getattr(owner, name), [other]

    def let_the_other_run(*args: Any, **options: Any) -> Any:
        if left and is_it(*args, **options):
            assert left.pop().materialize().success
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, let_the_other_run)
        outcome = stedi.materialize()
    assert not left
    assert not outcome.success
    sentence = f"Another run is at work on the source {other.settings.source} in this lakehouse, and this one is on"
    assert outcome.failure.startswith(sentence)
    assert outcome.failure.count("Run again when it has ended") == outcome.failure.count("Another run")
    assert [key for key, check in outcome.checks.items() if check.blocking and not check.passed] == []
    assert stedi.materialize().success
    assert len(stedi.rows("customer_records")) == len(examples.CUSTOMERS)
