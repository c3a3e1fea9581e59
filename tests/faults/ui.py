"""A real UI of a world: its webserver and daemon, asked as its pages ask them.

Belongs here: launching runs, ending them, and what processes there are. Does not belong here: what must be true
afterwards (`world.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient

from resources.settings import Settings
from stedi_assets.definitions import build_definitions
from tests.dagster_dev import dagster_dev
from tests.faults.world import World, wait_until

ALL_ASSETS = "__ASSET_JOB"
"""What the UI calls a run of assets that were chosen by hand."""
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dataclass
class Ui:
    """The UI of a world."""

    world: World
    client: DagsterGraphQLClient

    def launch(self, selection: str) -> str:
        """Put a run of these assets into the queue; its id."""
        graph = build_definitions(Settings.from_environment({})).resolve_asset_graph()
        keys = dg.AssetSelection.from_string(selection).resolve(graph)
        run_id: str = self.client.submit_job_execution(ALL_ASSETS, asset_selection=sorted(keys))
        return run_id

    def wait_for(self, runs: Sequence[str]) -> None:
        """Wait until they have ended."""
        wait_until(
            lambda: {self.client.get_run_status(run) for run in runs} <= ENDED,
            lambda: [self.client.get_run_status(run) for run in runs],
        )

    @property
    def history(self) -> dg.DagsterInstance:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.world.home))
            return dg.DagsterInstance.get()

    def processes(self) -> set[int]:
        """All that belong to this UI or to its runs, whoever is their parent now."""
        mark, found = f"DAGSTER_HOME={self.world.home}".encode(), set[int]()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                belongs = mark in (process / "environ").read_bytes().split(b"\0")
                # Python's own: the code server starts it with its first run, and keeps it.
                keeps = b"resource_tracker" in (process / "cmdline").read_bytes()
            except OSError:
                continue
            if belongs and not keeps and int(process.name) != os.getpid():
                found.add(int(process.name))
        return found


@contextmanager
def ui_of(world: World) -> Iterator[Ui]:
    """Serve the world's UI."""
    with dagster_dev(world.settings, world.folder / "dev.log", ("-m", "tests.faults.served")) as port:
        yield Ui(world, DagsterGraphQLClient("127.0.0.1", port_number=port))
