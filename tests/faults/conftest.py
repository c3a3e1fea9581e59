"""A scene for the tests of this folder, made once."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.world import SCENE, Scene, World, make_scene


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory, rounds: Callable[[int, int], int]) -> Scene:
    """A lakehouse and new feeds. Runs make a few of its tables, or, with all rounds, all of them."""
    if SCENE in os.environ:  # on a disk of its own: made outside
        made: Scene = pickle.loads(Path(os.environ[SCENE]).read_bytes())
        return made
    return make_scene(World(tmp_path_factory.mktemp("scene")), all_tables=bool(rounds(0, 1)))
