"""What ends with the tests: DuckDB counts on the interpreter to collect what runs of the lakehouse froze."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def nothing_stays_frozen() -> Iterator[None]:
    """Give the garbage collector back what an engine told it to leave alone; DuckDB would call it leaked."""
    yield
    gc.unfreeze()
