"""Two processes are never in the same block at once, and a dead one is in none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resources.files.locks import lock, try_lock
from tests.support import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from resources.files.locks import lock
with lock(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, in the block until its stdin is closed."""
    command, environment = [sys.executable, "-c", HOLDER, str(path)], {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        yield holder
        holder.kill()


@pytest.mark.parametrize("leaves", ["by itself", "killed"])
def test_who_comes_second_says_so_and_waits_until_the_first_one_leaves(tmp_path: Path, leaves: str) -> None:
    path, left = tmp_path / "deep" / "lock", threading.Event()
    with another_holds(path) as holder:

        def leave() -> None:
            assert holder.stdin is not None
            left.set()
            holder.stdin.close() if leaves == "by itself" else os.kill(holder.pid, signal.SIGKILL)

        with lock(path, threading.Timer(0.3, leave).start):
            assert left.is_set()
        assert holder.wait() == (0 if leaves == "by itself" else -signal.SIGKILL)


def test_who_comes_alone_waits_for_nobody(tmp_path: Path) -> None:
    def waiting() -> None:
        pytest.fail("nobody is there")

    for _ in range(2):
        with lock(tmp_path / "lock", waiting):
            assert try_lock(tmp_path / "lock") is None


def test_a_block_that_fails_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock(tmp_path / "lock"):
        raise KeyError
    assert try_lock(tmp_path / "lock") is not None
