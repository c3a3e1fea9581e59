"""The engines that compute tables, each as a resource with the property `spark_session`.

Belongs here: what all engines have in common, and the embedded one. One session serves a whole run: it starts with
the first table that asks for it and ends with the run.
Does not belong here: what is computed, or how another engine starts (`local_spark.py`, `emr_serverless.py`).
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

import dagster as dg
from pydantic import PrivateAttr

from resources.engine_errors import keep_rows_out_of_the_log, query_error
from resources.engines.progress import ProgressLog

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import RetryPolicy

    from resources.engines.channel import ConnectChannel


COMMON_CONF = {
    "spark.sql.session.timeZone": "UTC",
    # pyspark would walk the stack for each column, to note where in the code it was made.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
"""Settings of Spark's that all engines have in common."""


class EngineError(dg.Failure):
    """An engine cannot start. Retrying does not help; the sentence says what does."""

    def __init__(self, sentence: str) -> None:
        super().__init__(description=sentence, allow_retries=False)


class EngineUnavailableError(dg.Failure):
    """An engine did not come up, or was lost while it worked. A retry starts a fresh one."""

    def __init__(self, sentence: str) -> None:
        super().__init__(description=sentence, allow_retries=True)


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
            keep_rows_out_of_the_log()
            self._session.registerProgressHandler(ProgressLog(self._log))
            self._log.info(f"{self.engine} started in {time.perf_counter() - began:.2f} s")
        session: SparkSession = self._session
        return session

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
        """The time in which a table is made. EngineUnavailableError where the engine is lost meanwhile, QueryError
        where a query fails: no row that the engine quotes is in it, nor in what Dagster keeps of its causes.
        """
        try:
            yield
        except Exception as error:
            if sentence := self.why_lost(error):
                self.close()
                raise EngineUnavailableError(sentence) from None
            if _is_of_a_query(error):
                raise query_error(error) from None
            raise

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


def _is_of_a_query(error: Exception) -> TypeGuard[PySparkException]:
    # Not imported for this: where nobody has started an engine, no query has failed.
    module = sys.modules.get("pyspark.errors")
    return module is not None and isinstance(error, module.PySparkException)


def connect(channel: ConnectChannel, policy: RetryPolicy) -> SparkSession:
    """A session of the engine behind the channel; the policy says how long an answer is waited for."""
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as `builder.remote` does: functions are then Spark Connect's
    session: Any = ConnectSession.builder.channelBuilder(channel).create()
    session.client.set_retry_policies([policy])
    connected: SparkSession = session
    return connected


def connect_here(address: str) -> SparkSession:
    """A session of an engine on this machine. If that has died, a query says so at once, not after ten minutes."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    from resources.engines.channel import ConnectChannel

    session: Any = connect(ConnectChannel(address), DefaultPolicy(max_retries=3))
    # No answer is lost on the way here, and what would ask for it again starts threads under a lock (`channel.py`).
    session.client.disable_reattachable_execute()
    connected: SparkSession = session
    return connected


class EmbeddedSpark(SparkEngine):
    """Sail: a Spark-compatible engine inside this process. Needs no Java."""

    _server: Any = PrivateAttr(default=None)

    @property
    def engine(self) -> str:
        """Sail's version and the Spark API that it serves."""
        from importlib.metadata import version

        return f"Sail {version('pysail')} (Spark {version('pyspark')} API)"

    def start(self) -> SparkSession:
        """Start Sail on a free local port and connect to it."""
        # The server reads these once, when it starts. Its notes on every session are no news to a run's reader.
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer

        logging.getLogger("pyspark").setLevel(logging.ERROR)
        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        _, port = self._server.listening_address
        session = connect_here(f"sc://127.0.0.1:{port}")
        for name, value in COMMON_CONF.items():
            session.conf.set(name, value)
        return session

    def stop(self) -> None:
        """Stop the server."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
