"""Each way of not making again what has changed is caught, by a check or by the comparison with a rebuild."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from resources.iceberg.lakehouse import Lakehouse
from stedi_assets.pipeline import changes
from tests.histories.history import History, News

LATE_READINGS: list[News] = [("steps", "late.json", "ann", "ann", [1, 4])]
WITHDRAWAL: list[News] = [("says", "ann", None, "ann")]
CONSENT: list[News] = [("says", "cleo", 0, "cleo")]


def forget(days: set[int] | None) -> set[int] | None:
    """All of these days but the first."""
    return days and set(sorted(days)[1:])


def a_day_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    changed_days = Lakehouse.changed_days
    patch.setattr(Lakehouse, "changed_days", lambda *arguments: forget(changed_days(*arguments)))


def an_old_day_of_a_person_is_missed(patch: pytest.MonkeyPatch) -> None:
    concerned = changes._concerned

    def forgetful(*arguments: Any) -> tuple[int, set[int]]:
        number, theirs = concerned(*arguments)
        return number, forget(theirs)

    patch.setattr(changes, "_concerned", forgetful)


def days_are_appended_in_place_of_replaced(patch: pytest.MonkeyPatch) -> None:
    stage = Lakehouse.stage

    def beside(*arguments: Any, **options: Any) -> Any:
        staged = stage(*arguments, **options)
        return replace(staged, retained=(*staged.retained, *staged.replaced), replaced=())

    patch.setattr(Lakehouse, "stage", beside)


@pytest.fixture
def history(spark: SparkSession) -> Iterator[History]:
    """Ann has stepped on the days 0, 1 and 2, Bob on 3 and 4, Cleo on 4 and 5; Cleo is no customer yet."""
    with History() as history:
        history.day()
        yield history


def test_news_of_some_days_makes_those_again(history: History) -> None:
    for news, days in ((LATE_READINGS, 2), (WITHDRAWAL, 4), (CONSENT, 2)):
        history.day(news)
        assert history.world.why("machine_learning_curated").startswith(f"{days} of 6 days: ")


@pytest.mark.parametrize(
    ("broken", "news"),
    [
        (a_day_is_forgotten, LATE_READINGS),
        (an_old_day_of_a_person_is_missed, WITHDRAWAL),
        (an_old_day_of_a_person_is_missed, CONSENT),
        (days_are_appended_in_place_of_replaced, LATE_READINGS),
    ],
)
def test_a_broken_protocol_is_caught(
    history: History, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None], news: list[News]
) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        history.day(news)
