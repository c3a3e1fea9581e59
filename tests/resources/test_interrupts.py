"""An interrupt, whenever it comes, leaves the engine in a state in which it can be ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resources.files import side_by_side
from tests.support import ROOT

INTERRUPTED_OFTEN = """
import random, signal
from resources.spark import EmbeddedSpark

class Interrupted(BaseException):
    pass

def interrupt(*_):
    raise Interrupted

dice, engine, interrupted = random.Random(9), EmbeddedSpark(), 0
session = engine.spark_session
signal.signal(signal.SIGALRM, interrupt)
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.004))
        session.range(3).count()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        interrupted += 1
assert session.range(3).count() == 3
engine.close()
print("interrupted", interrupted)
"""


def test_interrupts_at_any_moment_of_a_query_leave_a_session_that_answers_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_OFTEN], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 100


COPIED_AND_INTERRUPTED = """
import random, signal, threading, time
from resources.files import side_by_side

class Interrupted(BaseException):
    pass

def interrupt(*_):
    raise Interrupted

dice, interrupted = random.Random(9), 0
signal.signal(signal.SIGALRM, interrupt)
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.004))
        side_by_side(lambda number: number, range(200))
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        interrupted += 1
time.sleep(0.5)
assert threading.active_count() == 1, threading.enumerate()
print("interrupted", interrupted)
"""


def test_interrupts_at_any_moment_of_copying_leave_nothing_that_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COPIED_AND_INTERRUPTED], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 100


def test_what_is_done_side_by_side_keeps_its_order_and_stops_at_an_error() -> None:
    assert side_by_side(lambda number: 2 * number, range(100)) == list(range(0, 200, 2))
    tried = []

    def fail(number: int) -> None:
        tried.append(number)
        raise OSError(f"no {number}")

    with pytest.raises(OSError, match="no 0"):
        side_by_side(fail, range(1000))
    assert len(tried) < 1000
