"""The measurement of one command: its own time, and the memory of everything that it started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench import measure as measuring
from bench.measure import MEMORY, CommandFailedError, Measurement, measure
from tests.support import require

CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}], start_new_session=True)"
HOLD = "import time; held = b'x' * ({} << 20); time.sleep(0.6)"
LEAVE = """
import os, time
if os.fork() == 0:
    open({!r}, "w").write(str(os.getpid()))
    time.sleep(60)
time.sleep(0.3)
"""
FORK = "import os, time; held = b'x' * (150 << 20); os.fork(); time.sleep(0.6)"


def run(program: str) -> Measurement:
    return measure([sys.executable, "-c", program], Path.cwd(), os.environ)


@pytest.mark.parametrize(
    ("program", "memory", "least", "most"),
    [
        (CHILD.format(CHILD.format(HOLD.format(200))), MEMORY, 200, 300),  # a child's child counts
        (FORK, "PSS", 150, 220),  # what processes share counts once
        (FORK, "RSS", 300, 400),  # where nothing tells the shares, it counts in each
    ],
)
def test_memory_is_that_of_the_whole_tree(
    monkeypatch: pytest.MonkeyPatch, program: str, memory: str | None, least: int, most: int
) -> None:
    require(MEMORY is not None, "the system has no /proc")
    require(memory in ("RSS", MEMORY), "the system tells no PSS")
    monkeypatch.setattr(measuring, "MEMORY", memory)
    peak = run(program).peak_mb
    assert peak is not None
    assert least < peak < most


def test_the_time_is_the_command_s_and_the_next_one_waits_for_what_it_left() -> None:
    began = time.perf_counter()
    measured = run("import os, time\nif os.fork() == 0: time.sleep(1)")
    took = time.perf_counter() - began
    assert took > 1
    assert measured.seconds < took - 0.5


def test_what_stays_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measuring, "PATIENCE", 0.2)
    note = tmp_path / "pid"
    run(LEAVE.format(str(note)))
    until = time.monotonic() + 5
    while runs(int(note.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs(int(note.read_text()))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_failure_tells_the_exit_code_the_command_and_what_it_last_said() -> None:
    with pytest.raises(CommandFailedError, match=r"(?s)exit 3: .*python.*-c.*the reason"):
        run("import sys; print('the', 'reason'); sys.exit(3)")
