"""A lakehouse that a test does its worst to, with feeds in an old and a new state.

Belongs here: the feeds, what every table holds before and after them, and what must be true whatever happened.
Readers here are PyIceberg's own, on the catalog alone: nothing of the lakehouse's code tells whether it is right.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stedi_assets.contracts import FEEDS, TABLES
from tests.faults.command import At, Run, start
from tests.oracle import expected_tables
from tests.stedi_assets.examples import (
    CUSTOMERS,
    DISTANCES,
    READINGS,
    Row,
    T,
    as_delivered,
    customer,
    distance,
    reading,
)
from tests.support import ROOT

State = dict[str, list[tuple[Any, ...]]]
PUBLISHED = sorted({feed.records.name for feed in FEEDS} | set(TABLES) - {feed.landing.name for feed in FEEDS})
ALL = " or ".join(f'key:"{name}"' for name in TABLES)
"""All tables, without the pictures of them."""
PART = 'key:"customer_landing" or key:"customer_trusted"'

OLD: dict[str, list[Row]] = {"customer": CUSTOMERS, "accelerometer": READINGS, "step_trainer": DISTANCES}
NEW: dict[str, list[Row]] = {
    "customer": [*CUSTOMERS[1:], customer("ivy@x.org", "ivy", updated=T, consent=T)],
    "accelerometer": [*READINGS[1:], *(reading("ivy@x.org", T + at, 0.5) for at in range(40))],
    "step_trainer": [*DISTANCES[1:], *(distance("ivy", T + at, at) for at in range(40))],
}


@dataclass
class World:
    """A source, a lakehouse and a DAGSTER_HOME in one folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        for path in (self.source, self.home):
            path.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / ".dagster" / "dagster.yaml", self.home)

    @property
    def root(self) -> Path:
        return self.folder / "lakehouse"

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "STEDI_SOURCE": str(self.source),
            "STEDI_LAKEHOUSE": str(self.root),
            "STEDI_QUARANTINE_LIMIT": "1",
            "DAGSTER_HOME": str(self.home),
            "PYTHONWARNINGS": "ignore",
            **self.environment,
        }

    def deliver(self, feeds: Mapping[str, list[Row]]) -> None:
        """Put one file of each feed, with a line that is no record, in place of the one before."""
        for feed, rows in feeds.items():
            lines = [json.dumps(row) for row in as_delivered(feed, rows)] + [f"no record: {len(rows)}, {rows[0]}"]
            path = self.source / feed / "landing" / "1.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")

    def start(self, select: str = ALL, at: At | None = None, prepare: Callable[[], None] | None = None) -> Run:
        self.runs += 1
        return start(self.settings, self.folder / f"run-{self.runs}.txt", select=select, at=at, prepare=prepare)

    def materialize(self, feeds: Mapping[str, list[Row]] | None = None, select: str = ALL) -> Run:
        """Deliver the feeds, if any, and run the command, which must succeed."""
        if feeds is not None:
            self.deliver(feeds)
        run = self.start(select)
        assert run.ends() == 0, run.said[-4000:]
        return run

    def put_back(self, lakehouse: Path | None) -> None:
        """Make the lakehouse what that one is; none at all, if it is None."""
        for path in self.root.iterdir() if self.root.exists() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if lakehouse is not None:
            shutil.copytree(lakehouse, self.root, dirs_exist_ok=True)

    @property
    def state(self) -> State:
        """What an Iceberg reader finds in every table; nothing for one that was never published."""
        catalog = iceberg(self.root)
        if catalog is None:
            return {name: [] for name in PUBLISHED}
        there = {name for _, name in catalog.list_tables("stedi")} if catalog.namespace_exists("stedi") else set()
        return {name: rows(catalog.load_table(f"stedi.{name}")) if name in there else [] for name in PUBLISHED}

    def differs_from(self, *states: State) -> dict[str, Any]:
        """The tables that are wholly as in none of these states."""
        return {name: found for name, found in self.state.items() if all(found != state[name] for state in states)}

    def untidy(self) -> list[str]:
        """What lies in the lakehouse and belongs to no version, and what a version lacks."""
        catalog = iceberg(self.root)
        assert catalog is not None
        found = []
        for _, name in catalog.list_tables("stedi"):
            table = catalog.load_table(f"stedi.{name}")
            folder = self.root / "stedi" / name
            data = {str(task.file.file_path) for version in table.metadata.snapshots for task in _files(table, version)}
            lists = {version.manifest_list for version in table.metadata.snapshots}
            manifests = {
                one.manifest_path for version in table.metadata.snapshots for one in version.manifests(table.io)
            }
            log = {entry.metadata_file for entry in table.metadata.metadata_log} | {table.metadata_location}
            wanted = {path.removeprefix("file://") for path in data | lists | manifests | log}
            there = {str(path) for path in folder.rglob("*") if path.is_file()}
            staged = {version.summary["stedi.staged-in"] for version in table.metadata.snapshots}  # type: ignore[index]
            folders = {path.name for path in (folder / "data").iterdir()}
            found += [f"left over: {path}" for path in there - wanted]
            found += [f"missing: {path}" for path in wanted - there]
            found += [f"left over: {name}/data/{one}" for one in folders - staged]
        found += [f"left over: {path}" for path in self.root.rglob("*.part")]
        return found


def _files(table: Any, version: Any) -> Any:
    return table.scan(snapshot_id=version.snapshot_id).plan_files()


def iceberg(root: Path) -> Any:
    """The catalog as any other Iceberg reader opens it; None where there is none, or a run was killed making it."""
    from pyiceberg.catalog.sql import SqlCatalog

    if not (root / "catalog.db").exists():
        return None
    return SqlCatalog("stedi", uri=f"sqlite:///{root}/catalog.db")


def rows(table: Any) -> list[tuple[Any, ...]]:
    """The rows without the id of the run that quarantined them."""
    found = table.scan().to_arrow()
    columns = [name for name in found.column_names if name != "run"]
    return sorted((tuple(row.values()) for row in found.select(columns).to_pylist()), key=repr)


@dataclass
class Scene:
    """A lakehouse made from the old feeds, to be put back again and again, and what each table holds before and after.

    `selection` is what runs make anew; `chosen` are the Iceberg tables of it.
    """

    world: World
    selection: str
    chosen: set[str]
    old: State
    new: State
    as_it_was: Path

    def put_back(self, *, first_run: bool = False) -> State:
        """The state before a run on new feeds: of a lakehouse that was made before, or of one that is not there yet."""
        self.world.put_back(None if first_run else self.as_it_was)
        self.world.deliver(NEW)
        return {name: [] for name in PUBLISHED} if first_run else self.old

    def after(self, before: State) -> State:
        """The state after a run on new feeds."""
        return {name: self.new[name] if name in self.chosen else before[name] for name in PUBLISHED}

    def start(self, **options: Any) -> Run:
        """Start a run on what was delivered."""
        return self.world.start(self.selection, **options)

    def mend(self, before: State) -> None:
        """The next run succeeds without help, and nothing is left of what happened before it."""
        self.world.materialize(select=self.selection)
        assert self.world.differs_from(self.after(before)) == {}
        assert self.world.untidy() == []


def make_scene(world: World, *, all_tables: bool) -> Scene:
    """Make the lakehouse from both feeds, held to the plain-Python statement of the rules."""
    states = []
    for feeds in (NEW, OLD):
        world.put_back(None)
        world.materialize(feeds)
        states.append(world.state)
        expected = expected_tables(*feeds.values(), "customer")
        assert {name: states[-1][name] for name in expected} == {
            name: sorted(found, key=repr) for name, found in expected.items()
        }
    new, old = states
    assert all(old[name] and new[name] and old[name] != new[name] for name in PUBLISHED)
    copy = world.folder / "as it was"
    shutil.copytree(world.root, copy)
    if all_tables:
        return Scene(world, ALL, set(PUBLISHED), old, new, copy)
    return Scene(world, PART, {"customer_records", "customer_trusted"}, old, new, copy)
