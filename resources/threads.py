"""Waiting that an interrupt can end at any moment, without a lock that stays taken.

Belongs here: what keeps the main thread, in which Python raises interrupts, out of code that holds locks.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


def run_in_worker_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What the function returns or raises, called in a thread of its own where the main thread asks for it.

    An interrupt is raised here at once; the function goes on, and what it returns then is dropped.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return function(*arguments, **options)
    # No future: it has a lock of the same kind.
    results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            results.put((function(*arguments, **options), None))
        except BaseException as error:
            results.put((None, error))

    # No Thread: starting one holds locks, too, and waits for it to have begun.
    _thread.start_new_thread(call, ())
    result, error = results.get()
    if error is not None:
        raise error
    return result
