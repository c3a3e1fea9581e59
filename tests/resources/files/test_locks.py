"""Two processes are never in the same block at once, and a dead one is in none."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from resources.files.locks import lock, try_lock
from tests.resources.files.zones import another_holds


@pytest.mark.parametrize("leaves", ["by itself", "killed"])
def test_who_comes_second_says_so_and_waits_until_the_first_one_leaves(tmp_path: Path, leaves: str) -> None:
    path, left = tmp_path / "deep" / "lock", threading.Event()
    with another_holds(path) as holder:

        def leave() -> None:
            assert holder.stdin is not None
            left.set()
            holder.stdin.close() if leaves == "by itself" else os.kill(holder.pid, signal.SIGKILL)

        with lock(path, threading.Timer(0.1, leave).start):
            assert left.is_set()
        assert holder.wait() == (0 if leaves == "by itself" else -signal.SIGKILL)


def test_who_comes_alone_waits_for_nobody_also_behind_a_block_that_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with lock(tmp_path / "lock", lambda: pytest.fail("nobody is there")):
            assert try_lock(tmp_path / "lock") is None
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    assert try_lock(tmp_path / "lock") is not None
