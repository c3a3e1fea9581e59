"""Sail, a Spark-compatible engine inside this process. Needs no Java.

Belongs here: starting and ending its server.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from resources.engines.engine import COMMON_CONF, SparkEngine, connect_here

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


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
        # What a query has freed goes back at once: at 100 times the reference size the process held 4.3 GB, and so 3.2.
        os.environ.setdefault("MIMALLOC_PURGE_DELAY", "1")
        from pysail.spark import SparkConnectServer

        logging.getLogger("pyspark").setLevel(logging.ERROR)
        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        _, port = self._server.listening_address
        session = connect_here(f"sc://127.0.0.1:{port}")
        for name, value in COMMON_CONF.items():
            session.conf.set(name, value)
        return session

    def read_text(self, folder: str, names: Sequence[str]) -> DataFrame:
        """A read for each file, since Sail does not tell which file a line came from: 300 take 0.2 s more than one."""
        from pyspark.sql import functions as F

        read = self.spark_session.read
        return _union(
            [read.text(f"{folder}/{name}", lineSep="\n").select(F.lit(name).alias("file"), "value") for name in names]
        )

    def stop(self) -> None:
        """Stop the server."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    """The frames as one: halved, since plans nest only so deep."""
    half = len(frames) // 2
    return frames[0] if not half else _union(frames[:half]).unionAll(_union(frames[half:]))
