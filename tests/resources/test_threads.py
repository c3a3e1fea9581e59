"""An interrupt, whenever it comes, leaves the engine in a state in which it can be ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resources.files.folder import side_by_side
from tests.support import ROOT

PROGRAM = """
import _thread, random, signal, threading, time
from resources.files.folder import side_by_side
from resources.engines.embedded import EmbeddedSpark

class Interrupted(BaseException):
    pass

def interrupt(*_):
    raise Interrupted

dice, interrupted, under_way = random.Random(9), 0, set()

def copy(number):
    under_way.add(number)
    time.sleep(0.002)
    under_way.remove(number)

signal.signal(signal.SIGALRM, interrupt)
{first}
while interrupted < 200:
    try:
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.004))
        {work}
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        interrupted += 1
        assert not under_way, "it goes on without its caller"
{last}
"""
QUERY = {
    "first": "engine = EmbeddedSpark(); session = engine.spark_session",
    "work": "session.range(3).count()",
    "last": "assert session.range(3).count() == 3; engine.close()",
}
COPYING = {
    "first": "",
    "work": "side_by_side(copy, range(20))",
    "last": "time.sleep(0.5); assert _thread._count() == 0, threading.enumerate()",
}


@pytest.mark.parametrize("program", [QUERY, COPYING], ids=["a query", "copying"])
def test_interrupts_at_any_moment_leave_a_session_that_answers_and_ends_and_nothing_that_goes_on(
    program: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(**program)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_is_done_side_by_side_keeps_its_order_and_stops_at_an_error() -> None:
    assert side_by_side(lambda number: 2 * number, range(100)) == list(range(0, 200, 2))
    tried = []

    def fail(number: int) -> None:
        tried.append(number)
        raise OSError(f"no {number}")

    with pytest.raises(OSError, match="no 0"):
        side_by_side(fail, range(1000))
    assert len(tried) < 1000
