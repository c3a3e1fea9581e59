"""One command, measured: its wall time, and the most memory that its whole process tree held.

Belongs here: processes. Does not belong here: what the command does.

Memory is PSS where the kernel tells it: each process's own pages, and its share of those that several map, so that
nothing counts twice. Else it is RSS, where a page that processes share counts in each. Without /proc there is none.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen

PROC = Path("/proc")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
MEMORY = "PSS" if (PROC / "self" / "smaps_rollup").exists() else "RSS" if PROC.exists() else None
"""What is measured as memory on this machine."""
PERIOD = 0.2
"""Seconds from one look at the memory to the next; in the beginning less, so that short commands are looked at too."""
SHARE = 20
"""A pause is at least so many times the work of the look before it: looking costs 5 % of a core at most."""
PATIENCE = 30
"""Seconds that the command's processes may stay after its end, until they are ended."""


@dataclass(frozen=True)
class Measurement:
    """What one run of a command took, and when it began (epoch seconds). `peak_mb` is None where nothing tells it."""

    began: float
    seconds: float
    peak_mb: float | None

    @property
    def ended(self) -> float:
        """When it ended (epoch seconds)."""
        return self.began + self.seconds


class CommandFailedError(Exception):
    """The command did not succeed; the text says how, and ends with what it last printed."""


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Measurement:
    """Run the command in that folder and measure it. CommandFailedError where it fails."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        began, start = time.time(), time.perf_counter()
        # A session of its own: what the command leaves behind is still known to be its own.
        process = Popen(
            command, cwd=folder, env=environment, stdin=DEVNULL, stdout=log, stderr=STDOUT, start_new_session=True
        )
        try:
            peak = _peak_mb(process)
            seconds = time.perf_counter() - start
            _wait_for_the_others(process.pid)
        finally:
            _end(process)
        if process.returncode:
            log.seek(0)
            last = "".join(log.readlines()[-20:])
            raise CommandFailedError(f"exit {process.returncode}: {' '.join(command)}\n{last}")
    return Measurement(began, seconds, peak)


def tree_mb(root: int) -> float | None:
    """Return the memory of a process, its descendants and its session now, or None where nothing tells it."""
    return sum(map(_mb, tree(root))) if MEMORY else None


def tree(root: int) -> list[int]:
    """Return a process, its descendants, and the processes of the session that it leads."""
    children: dict[int, list[int]] = {}
    session = []
    for entry in PROC.glob("[0-9]*"):
        try:
            # The command's name, in parentheses, may hold anything; what follows it is regular.
            state, parent, _, leader, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process ended meanwhile
        if state != "Z":
            children.setdefault(int(parent), []).append(int(entry.name))
            if int(leader) == root:
                session.append(int(entry.name))
    found = dict.fromkeys([root, *session])
    queue = list(found)
    for pid in queue:
        queue += (new := [child for child in children.get(pid, []) if child not in found])
        found |= dict.fromkeys(new)
    return list(found)


def _mb(pid: int) -> float:
    try:
        if MEMORY == "RSS":
            return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_MB
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0  # the process ended meanwhile
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _peak_mb(process: Popen[bytes]) -> float | None:
    """Wait for a process to end and return the most memory that its tree held."""
    ended = threading.Event()
    samples: list[float] = []

    def sample() -> None:
        began, pause = time.perf_counter(), 0.0
        while not ended.wait(pause):
            spent = time.thread_time()
            if (size := tree_mb(process.pid)) is not None:
                samples.append(size)
            planned = min(PERIOD, (time.perf_counter() - began) / SHARE)
            pause = max(planned, SHARE * (time.thread_time() - spent))

    # Beside the wait, not in a polling loop: the end of the process must be seen at once.
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        process.wait()
    finally:
        ended.set()
        sampler.join()
    return max(samples, default=None)


def _wait_for_the_others(leader: int) -> None:
    """Wait until what the command started has ended too (a JVM outlives its program a little): the next run is due."""
    until = time.monotonic() + PATIENCE
    while tree(leader) != [leader] and time.monotonic() < until:
        time.sleep(0.05)


def _end(process: Popen[bytes]) -> None:
    """End what is left of the command, whatever happened."""
    left = tree(process.pid)
    if process.poll() is not None:
        left.remove(process.pid)  # it has ended, and its number may be another's by now
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
