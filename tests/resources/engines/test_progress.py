"""A long query tells in the run's log how far it is; a short one is not worth a line."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from resources.engines import engine as progress
from resources.engines.engine import ProgressLog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass
class Stage:
    stage_id: int
    num_tasks: int
    num_completed_tasks: int
    done: bool = False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_open_stages_are_reported_every_ten_seconds(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report = ProgressLog(logging.getLogger("run"))
    for second in range(26):
        clock[0] = 100.0 + second
        report([Stage(1, 8, 8, done=True), Stage(2, 200, second)], 2, "query", False)
    assert caplog.messages == ["stage 2: 10 of 200 tasks done", "stage 2: 20 of 200 tasks done"]


def test_each_query_has_ten_seconds_before_its_first_line(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report = ProgressLog(logging.getLogger("run"))
    for second in range(30):
        clock[0] = 100.0 + second
        report([Stage(second, 4, 1)], 1, f"query {second // 9}", False)
    report(None, 0, "the last", True)
    assert caplog.messages == []


def test_apache_spark_sends_its_progress(
    apache_spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    handler = ProgressLog(logging.getLogger("run"))
    apache_spark.registerProgressHandler(handler)
    try:
        sleepy = "java_method('java.lang.Thread', 'sleep', 3000L + 0 * id) is null"
        apache_spark.range(0, 4, 1, 4).where(sleepy).collect()
    finally:
        apache_spark.removeProgressHandler(handler)
    assert any(" of 4 tasks done" in message for message in caplog.messages)
