"""An interrupt, whenever it comes, leaves the engine in a state in which it can be ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resources.files.folder import side_by_side
from tests.support import ROOT

PROGRAM = """
import _thread, random, signal, threading, time
from resources.engines.embedded import EmbeddedSpark
from resources.files.folder import side_by_side

class Interrupted(BaseException):
    pass

def interrupt(*_):
    raise Interrupted

dice, under_way = random.Random(9), set()

def copy(number):
    under_way.add(number)
    time.sleep(0.001)
    under_way.remove(number)

def interrupt_again_and_again(work):
    interrupted = 0
    while interrupted < 200:
        try:
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.004))
            work()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            interrupted += 1
            assert not under_way, "it goes on without its caller"

signal.signal(signal.SIGALRM, interrupt)
before = _thread._count()
interrupt_again_and_again(lambda: side_by_side(copy, range(20)))
until = time.monotonic() + 30
while _thread._count() > before:
    assert time.monotonic() < until, threading.enumerate()
engine = EmbeddedSpark()
session = engine.spark_session
interrupt_again_and_again(lambda: session.range(3).count())
assert session.range(3).count() == 3
engine.close()
"""


def test_interrupts_at_any_moment_leave_a_session_that_answers_and_ends_and_nothing_that_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
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
