"""An interrupt, whenever it comes, leaves the engine in a state in which it can be ended."""

from __future__ import annotations

import subprocess
import sys

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
