"""The engines that compute tables, each as a resource with the property `spark_session`.

Belongs here: what all engines have in common: one session that serves a whole run, from the first table that asks for
it until the run ends; how a query or the engine fails; how far a long query is.
Does not belong here: what is computed, or how one engine starts (`embedded.py`, `local.py`, `remote.py`).
"""

from __future__ import annotations

import gc
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from pydantic import PrivateAttr

from resources.errors import LakehouseError, as_failure, keys_refused, refused_query, remedy_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.connect.client.retries import RetryPolicy

    from resources.engines.channel import ConnectChannel


COMMON_CONF = {
    "spark.sql.session.timeZone": "UTC",
    # pyspark would walk the stack for each column, to note where in the code it was made.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
"""Settings of Spark's that all engines have in common."""
PROGRESS_SECONDS = 10.0


class SparkEngine(dg.ConfigurableResource[Any], ABC):
    """An engine behind Spark Connect. The property's name is that of dagster-pyspark's resources."""

    _session: Any = PrivateAttr(default=None)
    _log: Any = PrivateAttr(default_factory=lambda: logging.getLogger(__name__))

    @property
    @abstractmethod
    def engine(self) -> str:
        """The engine's name and version, as the UI shows it."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What every asset of the run says about the engine that made it. Starts nothing."""
        return {"engine": self.engine}

    @abstractmethod
    def start(self) -> SparkSession:
        """Start the engine and connect to it."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the engine, also after a failure."""

    @property
    def spark_session(self) -> SparkSession:
        """The run's session; the first call starts the engine, and so does the first one after it was lost."""
        if self._session is not None and not self.is_alive():
            self.close()
        if self._session is None:
            began = time.perf_counter()
            self._session = self.start()
            gc.freeze()  # what it has loaded, too
            keep_rows_out_of_the_log()
            report_progress(self._session, self._log)
            self._log.info(f"{self.engine} started in {time.perf_counter() - began:.2f} s")
        session: SparkSession = self._session
        return session

    def read_text(self, folder: str, names: Sequence[str]) -> DataFrame:
        """The lines of these text files of a folder, and which file each is of. Columns: file, value."""
        from pyspark.sql import functions as F

        lines = self.spark_session.read.text([f"{folder}/{name}" for name in names], lineSep="\n")
        # The engine tells a URI in which the folder may be spelled otherwise, but has as many parts.
        parts = len(folder.partition("://")[2].split("/")) if "://" in folder else folder.count("/")
        name = F.regexp_replace(F.col("_metadata.file_path"), rf"^[a-z0-9]+:/+(?:[^/]*/){{{parts}}}", "")
        return lines.select(name.alias("file"), "value")

    @property
    def is_started(self) -> bool:
        """Whether the run has a session by now."""
        return self._session is not None

    def is_alive(self) -> bool:
        """Whether the engine that was started can still be used; engines that others may end look."""
        return True

    def why_lost(self, error: Exception) -> str | None:
        """The sentence that explains an error by the engine's end, or None where the error has another reason."""
        return None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The time of a step. Every error leaves it as dg.Failure that says whether a retry may help.

        It may where the engine was lost: the next step starts a fresh one. No row that somebody quotes is in the error,
        and Dagster, which keeps causes with their words, learns of none.
        """
        try:
            yield
        except Exception as error:
            if sentence := self.why_lost(error):
                self.close()
                raise LakehouseError(sentence, retry=True) from None
            raise as_failure(error) from None

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Nothing is started yet; but what is loaded by now stays for the whole run."""
        if context.log is not None:
            self._log = context.log
        # So the garbage collector need not look through it again, which it does several times while engines load.
        gc.freeze()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End the session with the run, whether it succeeded or not."""
        self.close()

    def close(self) -> None:
        """End the session, and the engine, which may be there without one: a start can fail halfway."""
        session, self._session = self._session, None
        try:
            if session is not None:
                session.stop()
        finally:
            self.stop()


def connect(channel: ConnectChannel, policy: RetryPolicy) -> SparkSession:
    """A session of the engine behind the channel; the policy says how long an answer is waited for."""
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as `builder.remote` does: functions are then Spark Connect's
    session: Any = ConnectSession.builder.channelBuilder(channel).create()
    session.client.set_retry_policies([policy])
    return cast("SparkSession", session)


def connect_here(address: str) -> SparkSession:
    """A session of an engine on this machine. If that has died, a query says so at once, not after ten minutes."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    from resources.engines.channel import ConnectChannel

    session: Any = connect(ConnectChannel(address), DefaultPolicy(max_retries=3))
    # No answer is lost on the way here, and what would ask for it again starts threads under a lock (`channel.py`).
    session.client.disable_reattachable_execute()
    return cast("SparkSession", session)


# What fails ---------------------------------------------------------------------------------------------------------


@contextmanager
def analysing(frame: DataFrame) -> Iterator[None]:
    """A block that computes the frame. LakehouseError in the engine's own words where it names what there is not.

    The engine is asked only where the block fails: before each query, that took a small run a thirtieth of its time.
    It reads no row for that answer. What storage refuses, what a row is the reason of, and a lost engine stay the
    engine's error: callers and `at_work` say what became of them.
    """
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        if _is_elsewhere(error):
            raise
        try:
            _ = frame.schema
        except PySparkException as why:
            if not _is_elsewhere(why):
                raise refused_query(why) from None
        raise


def _is_elsewhere(error: Exception) -> bool:
    """Whether storage refused, or the way to the engine is lost: no engine has said what is exactly of that class."""
    return bool(remedy_for(error, "") or keys_refused(error)) or type(error).__name__ == "SparkConnectGrpcException"


def keep_rows_out_of_the_log() -> None:
    """Silence pyspark's own logs of errors, which have the engine's words and go to stderr."""
    from pyspark.logger import PySparkLogger

    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger", "pyspark.sql.connect.logging"):
        # By its level: whoever configures Python's logging, as Dagster does, enables again what was disabled.
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL + 1)


# How far a long query is --------------------------------------------------------------------------------------------


def report_progress(session: SparkSession, log: logging.Logger) -> None:
    """Report the session's long queries in the run's log."""
    from pyspark.errors import PySparkRuntimeError

    with suppress(PySparkRuntimeError):  # a session that is none of Spark Connect's has no reports to give
        session.registerProgressHandler(ProgressLog(log))


class ProgressLog:
    """Reports a query's open stages every ten seconds; one that ends sooner is not worth a line."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._query: str | None = None
        self._next = 0.0

    def __call__(
        self, stages: Iterable[Any] | None, inflight_tasks: int, operation_id: str | None, done: bool, **_: Any
    ) -> None:
        """What pyspark calls for each report that the engine sends."""
        now = time.monotonic()
        if operation_id != self._query:
            self._query, self._next = operation_id, now + PROGRESS_SECONDS
        if done or now < self._next:
            return
        self._next = now + PROGRESS_SECONDS
        for stage in stages or ():
            if not stage.done:
                self._log.info(f"stage {stage.stage_id}: {stage.num_completed_tasks} of {stage.num_tasks} tasks done")
