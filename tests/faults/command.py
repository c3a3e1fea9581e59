"""The real command, `dagster asset materialize`, in a process of its own that a test can kill, stop or crowd.

Belongs here: starting it, and what may be done to it at a named point. The process is forked from one that has
imported everything already, as starting Python and Dagster anew takes longer than most runs.
Does not belong here: what must be true afterwards (`world.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COPIES = "while a file is copied"
LANDS = "before what has landed is listed"
COMPUTES = "while the engine computes and writes"
SECONDS = {COPIES: 2, COMPUTES: 0}
"""How long a run waits at a point, other than at the rest of them: a copy that has begun is not broken off."""

IMPORTS = """
alembic.autogenerate dagster._cli dagster._core.definitions.antlr_asset_selection.antlr_asset_selection
dagster._core.executor.in_process dagster._core.launcher.default_run_launcher
dagster._core.storage.event_log.sqlite dagster._core.storage.local_compute_log_manager
dagster._core.storage.sqlite_storage dagster._daemon grpc.aio numpy.random pyarrow.parquet pyiceberg.catalog.sql
pyiceberg.io.pyarrow pysail.spark pyspark.sql.connect.client pyspark.sql.connect.functions
pyspark.sql.connect.session dagster_pyspark pandas sqlalchemy.dialects.sqlite stedi_assets.definitions
tests.faults.command
"""
# Everything that a run imports, and nothing that it starts: what processes are forked from holds no thread.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(IMPORTS.split())


@dataclass(frozen=True)
class At:
    """The `number`-th time that a run comes to this point, it is killed; or it waits there, and `waits` is made."""

    point: str
    number: int = 1
    waits: Path | None = None

    def install(self) -> None:
        left = [self.number]

        def happen() -> None:
            left[0] -= 1
            if left[0] == 0:
                if self.waits is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                    return
                self.waits.touch()
                time.sleep(SECONDS.get(self.point, 60))

        INSTALLERS[self.point](happen)


@dataclass
class Run:
    """A run of the command; `said` is what it printed so far."""

    process: Any
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def ends(self) -> int:
        """Wait for its end; the exit code, negative where a signal ended it."""
        self.process.join(180)
        assert self.process.exitcode is not None, f"hangs\n{self.said[-3000:]}"
        code: int = self.process.exitcode
        return code

    def kill(self) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.ends()


def start(
    environment: Mapping[str, str],
    output: Path,
    *,
    select: str,
    at: At | None = None,
    prepare: Callable[[], None] | None = None,
) -> Run:
    """Start the command with these settings; `prepare` is called in its process before anything else."""
    arguments = ["asset", "materialize", "-m", "stedi_assets", "--select", select]
    process = FORKS.Process(target=_main, args=(dict(environment), arguments, output, at, prepare), daemon=True)
    process.start()
    return Run(process, output)


def _main(
    environment: dict[str, str],
    arguments: Sequence[str],
    output: Path,
    at: At | None,
    prepare: Callable[[], None] | None,
) -> None:
    from dagster._cli import cli

    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor in (1, 2):
        os.dup2(os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    for name in [name for name in os.environ if name.startswith(("STEDI_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ.update(environment)
    if prepare is not None:
        prepare()
    if at is not None:
        at.install()
    cli.main(list(arguments), prog_name="dagster")


# The points of a run ------------------------------------------------------------------------------------------

Happen = Callable[[], None]


def _before(owner: Any, name: str) -> Callable[[Happen], None]:
    def install(happen: Happen) -> None:
        original = getattr(owner, name)

        def first_happen(*args: Any, **options: Any) -> Any:
            happen()
            return original(*args, **options)

        setattr(owner, name, first_happen)

    return install


def _after(owner: Any, name: str, *, static: bool = False) -> Callable[[Happen], None]:
    def install(happen: Happen) -> None:
        original = getattr(owner, name)

        def then_happen(*args: Any, **options: Any) -> Any:
            result = original(*args, **options)
            happen()
            return result

        setattr(owner, name, staticmethod(then_happen) if static else then_happen)

    return install


def _when_the_first_file_is_there(happen: Happen) -> None:
    from resources.iceberg.staging import StagingDir

    original = StagingDir.open

    def watch(folder: Path) -> None:
        while not any(folder.glob("*")):
            time.sleep(0)
        happen()

    def opened(self: StagingDir, run_id: str) -> str:
        folder = original(self, run_id)
        threading.Thread(target=watch, args=(Path(folder),), daemon=True).start()
        return folder

    StagingDir.open = opened  # type: ignore[method-assign]


def _soon_after_the_check_began(happen: Happen) -> None:
    from resources.iceberg.lakehouse import Lakehouse

    _after(Lakehouse, "read_staged")(lambda: threading.Timer(0.02, happen).start())


def _while_the_engine_computes(happen: Happen) -> None:
    from pyspark.sql.connect.readwriter import DataFrameWriter

    original = DataFrameWriter.parquet

    def write_for_hours(self: Any, *args: Any, **options: Any) -> None:
        happen()
        original(self._spark.range(10**12).where("hash(id) % 1000 = 0").write, *args, **options)

    DataFrameWriter.parquet = write_for_hours  # type: ignore[method-assign]


def _points() -> dict[str, Callable[[Happen], None]]:
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

    from resources.files.landing_zone import LandingZone
    from resources.files.manifest import Manifest
    from resources.iceberg.lakehouse import Lakehouse

    return {
        COPIES: _before(LandingZone, "_take"),
        LANDS: _before(Manifest, "save"),
        "before stage": _before(Lakehouse, "stage"),
        "during the Parquet write": _when_the_first_file_is_there,
        "after stage": _after(Lakehouse, "stage"),
        "before the check": _before(Lakehouse, "read_staged"),
        "during the check": _soon_after_the_check_began,
        "before commit": _before(SqlCatalog, "commit_table"),
        "inside commit, before the catalog knows": _after(SqlCatalog, "_write_metadata", static=True),
        "inside commit, in the catalog's transaction": _before(Session, "commit"),
        COMPUTES: _while_the_engine_computes,
        "after commit, before the event is recorded": _after(Lakehouse, "publish"),
    }


INSTALLERS = _points()
POINTS = tuple(point for point in INSTALLERS if point != COMPUTES)
"""Where a run can be killed; while the engine computes, it can be stopped."""
