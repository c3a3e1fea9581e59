"""Sail, a Spark-compatible engine inside this process. Needs no Java.

Belongs here: starting and ending its server.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from resources.engines.engine import COMMON_CONF, SparkEngine, connect_here

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class EmbeddedSpark(SparkEngine):
    """Sail behind Spark Connect, on a free port of this machine."""

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
