"""A scene for the tests of this folder, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.world import Scene, World, make_scene


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]) -> Scene:
    """A lakehouse and new feeds. Runs make two of its tables, or, with all rounds, all of them."""
    return make_scene(World(tmp_path_factory.mktemp("scene")), all_tables=bool(rounds(0, 1)))
