"""The channel of Spark Connect, whose calls an interrupt leaves whole.

Belongs here: how gRPC is spoken to, on every engine. Python raises an interrupt in the main thread, wherever that is;
in the moment in which gRPC holds a lock there, the lock would stay taken, and ending the session would never end.
Where answers may be lost on the way, as from EMR Serverless, pyspark itself starts threads under a lock to ask for them
again, so there such a moment is left: AWS then ends the session once it is idle.
Does not belong here: what else EMR Serverless needs (`emr_channel.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from pyspark.sql.connect.client import DefaultChannelBuilder

from resources.threads import elsewhere


class ConnectChannel(DefaultChannelBuilder):
    """The channel to an `sc://` address."""

    def toChannel(self) -> grpc.Channel:  # noqa: N802
        """Open it."""
        return CallsElsewhere(super().toChannel())


class CallsElsewhere(grpc.Channel):  # type: ignore[misc]
    """The channel, whose calls the main thread makes in another one: an interrupt finds it waiting, without a lock."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Calls with one answer."""
        method = self._channel.unary_unary(*arguments, **options)
        return lambda *request, **metadata: elsewhere(method, *request, **metadata)

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Calls whose answers come one by one."""
        method = self._channel.unary_stream(*arguments, **options)
        return lambda *request, **metadata: _Answers(elsewhere(method, *request, **metadata))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """The channel's own: nothing here sends a stream."""
        return self._channel.stream_unary(*arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """The channel's own."""
        return self._channel.stream_stream(*arguments, **options)

    def subscribe(self, *arguments: Any, **options: Any) -> None:
        """The channel's own."""
        self._channel.subscribe(*arguments, **options)

    def unsubscribe(self, *arguments: Any) -> None:
        """The channel's own."""
        self._channel.unsubscribe(*arguments)

    def close(self) -> None:
        """End all calls; new ones fail at once."""
        self._channel.close()

    def __enter__(self) -> CallsElsewhere:
        """The channel, for a block at whose end it is closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class _Answers:
    """Answers, each of which is waited for elsewhere; all else is the call's own."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return elsewhere(next, self._call)
        except Exception:
            raise
        except BaseException:  # an interrupt: nobody waits for the answer any more
            elsewhere(self._call.cancel)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
