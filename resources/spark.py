"""The engines that compute tables, each as a resource with the property `spark_session`.

Belongs here: starting, naming and stopping an engine. One session serves a whole run: it starts with the first
table that asks for it and ends with the run.
Does not belong here: what is computed.
"""

from __future__ import annotations

import gc
import logging
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkEngine(dg.ConfigurableResource[Any], ABC):
    """An engine behind Spark Connect. The property's name is that of dagster-pyspark's resources."""

    _session: Any = PrivateAttr(default=None)

    @property
    @abstractmethod
    def engine(self) -> str:
        """The engine's name and version, as the UI shows it."""

    @abstractmethod
    def start(self) -> SparkSession:
        """Start the engine and connect to it."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the engine, also after a failure."""

    @property
    def spark_session(self) -> SparkSession:
        """The run's session; the first call starts the engine."""
        if self._session is None:
            self._session = self.start()
        session: SparkSession = self._session
        return session

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Nothing is started yet; but what is loaded by now stays for the whole run."""
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
        from pyspark.sql import SparkSession

        logging.getLogger("pyspark").setLevel(logging.ERROR)
        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        _, port = self._server.listening_address
        session: SparkSession = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        return session

    def stop(self) -> None:
        """Stop the server."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
