"""Calls of Spark Connect that an interrupt leaves whole.

Belongs here: how Ctrl-C and a terminated run meet gRPC. Python raises an interrupt in the main thread, wherever that
is; in the moment in which gRPC holds a lock there, the lock would stay taken, and ending the session would never end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import grpc


class CallsElsewhere(grpc.Channel):  # type: ignore[misc]
    """The channel, whose calls the main thread makes in another one: an interrupt finds it waiting, without a lock."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Calls with one answer."""
        method = self._channel.unary_unary(*arguments, **options)
        return lambda *request, **metadata: _elsewhere(method, *request, **metadata)

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Calls whose answers come one by one."""
        method = self._channel.unary_stream(*arguments, **options)
        return lambda *request, **metadata: _Answers(_elsewhere(method, *request, **metadata))

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


def _elsewhere(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What the function gives or raises, called in a thread of its own."""
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments, **options)
    # No future: it has a lock of the same kind.
    answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            answers.put((function(*arguments, **options), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    answer, error = answers.get()
    if error is not None:
        raise error
    return answer


class _Answers:
    """Answers, each of which is waited for elsewhere; all else is the call's own."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return _elsewhere(next, self._call)
        except Exception:
            raise
        except BaseException:  # an interrupt: nobody waits for the answer any more
            self._call.cancel()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
