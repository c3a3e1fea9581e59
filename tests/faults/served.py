"""The project's code location for a UI of which a test wants a run to wait: the next one does so as it was `ordered`.

A run that the UI launches is a new process, which loads the code location anew: what the test did to its own process
is not there, and what it left in DAGSTER_HOME is.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stedi_assets import defs as defs
from tests.faults.command import At

ORDER = "order.pickle"


@contextmanager
def order(home: Path, at: At) -> Iterator[None]:
    """A block in which runs of the UI with this DAGSTER_HOME come to a point, and wait there."""
    (home / ORDER).write_bytes(pickle.dumps(at))
    yield
    (home / ORDER).unlink()


def _obey() -> None:
    ordered = Path(os.environ.get("DAGSTER_HOME", "")) / ORDER
    if ordered.exists():
        pickle.loads(ordered.read_bytes()).install()


_obey()
