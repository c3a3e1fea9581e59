"""How far a long query is, in the run's log.

Belongs here: turning an engine's progress reports into lines that a person wants to read, a few for each query.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any, Protocol

EVERY_SECONDS = 10.0


class Stage(Protocol):
    """What an engine says of one stage of a query."""

    stage_id: int
    num_tasks: int
    num_completed_tasks: int
    done: bool


class ProgressLog:
    """Reports a query's open stages every ten seconds; one that ends sooner is not worth a line."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._query: str | None = None
        self._next = 0.0

    def __call__(
        self, stages: Iterable[Stage] | None, inflight_tasks: int, operation_id: str | None, done: bool, **_: Any
    ) -> None:
        """What pyspark calls for each report that the engine sends."""
        now = time.monotonic()
        if operation_id != self._query:
            self._query, self._next = operation_id, now + EVERY_SECONDS
        if done or now < self._next:
            return
        self._next = now + EVERY_SECONDS
        for stage in stages or ():
            if not stage.done:
                self._log.info(f"stage {stage.stage_id}: {stage.num_completed_tasks} of {stage.num_tasks} tasks done")
