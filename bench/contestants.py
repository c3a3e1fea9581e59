"""The rows of the benchmark: each a command that makes the five tables, and where it leaves their files.

Belongs here: what is run, with which settings, from which starting point. Does not belong here: running it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.news import Late, deliver, hold_back, one_day, one_withdrawal, take_back

ROOT = Path(__file__).resolve().parents[1]
YARDSTICK = "plain"
DAGSTER = Path(sys.executable).parent / "dagster"


@dataclass(frozen=True)
class Contestant:
    """A program that makes the five tables in `folder`, which is its own."""

    name: str
    title: str
    command: tuple[str, ...]
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    needs_java: bool = True

    @property
    def tables(self) -> Path:
        """Where the program is to write."""
        return tables_in(self.folder)

    @property
    def home(self) -> Path:
        """The DAGSTER_HOME, for those who use Dagster."""
        return self.folder / "dagster_home"

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment without settings of its own, which must not change what is timed."""
        foreign = ("STEDI_", "DAGSTER_", "SPARK_", "PYSPARK_", "PYTHONDONTWRITEBYTECODE")
        retained = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**retained, **self.settings, "DAGSTER_HOME": str(self.home)}

    def prepare(self, run: Callable[[], object]) -> None:
        """Before a timed run: no tables and no history of runs, but Dagster's settings. `run` is one run, untimed."""
        self.clear()
        self.home.mkdir(parents=True)
        shutil.copy(ROOT / ".dagster" / "dagster.yaml", self.home)

    def files(self, table: str) -> list[str]:
        """Return the Parquet files that hold a table after a run."""
        return sorted(map(str, (self.tables / table).glob("*.parquet")))

    def clear(self) -> None:
        """Remove what a run left."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Lakehouse(Contestant):
    """The project itself: the whole Dagster command. It syncs, reads and checks everything in every timed run."""

    def files(self, table: str) -> list[str]:
        """Return the files of the version that any reader of the catalog sees."""
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("stedi", uri=f"sqlite:///{self.tables / 'catalog.db'}", warehouse=str(self.tables))
        planned = list(catalog.load_table(f"stedi.{table}").scan().plan_files())
        if any(task.delete_files for task in planned):
            sys.exit(f"{self.title}: {table} carries row deletes, its Parquet files alone do not say what it holds.")
        return [task.file.file_path.removeprefix("file://") for task in planned]


class DailyLakehouse(Lakehouse):
    """The daily case: the same command once more, on a lakehouse that has read these feeds before."""

    def prepare(self, run: Callable[[], object]) -> None:
        """Before the first run, make the lakehouse; after that it stays as it is."""
        if not self.folder.exists():
            super().prepare(run)
            run()

    def clear(self) -> None:
        """Keep the lakehouse: the next run starts from it."""


@dataclass(frozen=True)
class NewsLakehouse(DailyLakehouse):
    """A run after news: all else that `source` has was read before, in runs that are not timed."""

    source: Path = field(kw_only=True)
    late: Callable[[Path], Late] = field(kw_only=True)

    def prepare(self, run: Callable[[], object]) -> None:
        """Make the lakehouse of all but the news, or go back to it, and have the news come."""
        early, news = Path(self.settings["STEDI_SOURCE"]), self.folder / "news"
        if self.folder.exists():
            take_back(early, self.tables)
            run()
        else:
            Contestant.prepare(self, run)
            hold_back(self.source, early, news, self.late(self.source))
            run()
        deliver(news, early)


def contestants(source: Path, scratch: Path) -> list[Contestant]:
    """Return all rows, each with a folder of its own in `scratch`."""

    def lakehouse(name: str, title: str, engine: str, kind: type[Lakehouse] = Lakehouse) -> Contestant:
        folder = scratch / name
        settings = {"STEDI_SPARK": engine, "STEDI_SOURCE": str(source), "STEDI_LAKEHOUSE": str(tables_in(folder))}
        return kind(name, title, materialize("stedi_assets"), folder, settings, needs_java=engine == "local")

    def after(name: str, title: str, late: Callable[[Path], Late]) -> Contestant:
        folder = scratch / name
        settings = {"STEDI_SOURCE": str(folder / "source"), "STEDI_LAKEHOUSE": str(tables_in(folder))}
        return NewsLakehouse(
            name, title, materialize("stedi_assets"), folder, settings, needs_java=False, source=source, late=late
        )

    def script(name: str, title: str, module: str, *, needs_java: bool = True) -> Contestant:
        command = (sys.executable, "-m", module, str(source), str(tables_in(scratch / name)))
        return Contestant(name, title, command, scratch / name, needs_java=needs_java)

    naive = {"NAIVE_SOURCE": str(source), "NAIVE_OUTPUT": str(tables_in(scratch / "naive"))}
    return [
        lakehouse("embedded", "lakehouse, embedded engine", "embedded"),
        lakehouse("embedded-again", "lakehouse, embedded engine, nothing new delivered", "embedded", DailyLakehouse),
        after("embedded-day", "lakehouse, embedded engine, one more day", one_day),
        after("embedded-withdrawal", "lakehouse, embedded engine, one withdrawal", one_withdrawal),
        lakehouse("local", "lakehouse, local Apache Spark", "local"),
        script(YARDSTICK, "plain PySpark script, Apache Spark", "bench.plain_spark"),
        Contestant(
            "naive", "naive Dagster assets, Apache Spark", materialize("bench.naive_dagster"), scratch / "naive", naive
        ),
        script("duckdb", "DuckDB script, the lower bound", "bench.duckdb_lower_bound", needs_java=False),
    ]


def tables_in(folder: Path) -> Path:
    """Return where a program is to write that has this folder."""
    return folder / "tables"


def materialize(module: str) -> tuple[str, ...]:
    """Return the command that materializes all assets of a module."""
    return (str(DAGSTER), "asset", "materialize", "-m", module, "--select", "*")
