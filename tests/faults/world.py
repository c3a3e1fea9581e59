"""A lakehouse that a test does its worst to, with feeds in an old and a new state.

Belongs here: the feeds, what every table holds before and after them, and what must be true whatever happened.
Readers here are PyIceberg's own, on the catalog alone: nothing of the lakehouse's code tells whether it is right.
"""

from __future__ import annotations

import json
import shutil
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stedi_assets.contracts import ASSETS, TABLES
from tests.faults.command import COMPUTES, COPIES, LANDS, At, Run, start
from tests.oracle import expected_tables
from tests.resources.files.zones import LISTS
from tests.stedi_assets import examples
from tests.stedi_assets.examples import Row, T, as_delivered, customer, distance, reading
from tests.support import ROOT

SCENE = "SCENE_OF_THE_TESTS"
"""Names the file of a scene that another process made."""
State = dict[str, list[tuple[Any, ...]]]
PUBLISHED = sorted(TABLES)
NOTHING: State = {name: [] for name in PUBLISHED}


def select(*assets: str) -> str:
    """These assets, as the command and the UI are told."""
    return " or ".join(f'key:"{name}"' for name in assets)


ALL = select(*ASSETS)
"""All, without the pictures of them."""
OF_PART = {"customer_records", "customer_quarantine", "customer_trusted"}
PART = select("customer_landing", *sorted(OF_PART))
"""A feed's files, the two tables of one step, and one that is made of them."""
SELECTIONS = (
    PART,
    '+key:"accelerometer_trusted"',
    "group:landing",
    select("maintenance"),
    ALL,
    '+key:"machine_learning_curated"',
    select("customer_trusted", "customers_curated"),
    '+key:"step_trainer_trusted"',
    "group:trusted",
    ALL,
    'key:"customer_landing"+',
)
"""What runs that crowd a lakehouse make. The first four need nothing that they do not make themselves."""
PHASES = (COPIES, LANDS, COMPUTES, "before the check", "before commit")
"""Where a run may be stopped, in their order."""

Feeds = Mapping[str, list[Row]]
OLD: Feeds = {
    "customer": examples.CUSTOMERS,
    "accelerometer": examples.READINGS,
    "step_trainer": examples.DISTANCES,
}
NEW: Feeds = {
    "customer": [*examples.CUSTOMERS[1:], customer("ivy@x.org", "ivy", updated=T, consent=T)],
    "accelerometer": [*examples.READINGS[1:], *(reading("ivy@x.org", T + at, 0.5) for at in range(40))],
    "step_trainer": [*examples.DISTANCES[1:], *(distance("ivy", T + at, at) for at in range(40))],
}

AHEAD = {"customer_quarantine"}
"""What may be published of a run that is stopped while it publishes the records that go with it."""


@dataclass
class World:
    """A source, a lakehouse and a DAGSTER_HOME in one folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        self.root, self.source, self.home = (self.folder / name for name in ("lakehouse", "source", "home"))
        self.home.mkdir(exist_ok=True)
        shutil.copy(ROOT / ".dagster" / "dagster.yaml", self.home)

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

    def deliver(self, feeds: Feeds) -> None:
        """Put one file of each feed, with a line that is no record, in place of the one before.

        Customers span lines, so that engines read a copy.
        """
        for feed, rows in feeds.items():
            # It names nobody: a customer whom an unreadable record names is in doubt.
            no_record = f"no record: {len(rows)}, {zlib.crc32(repr(rows[0]).encode())}"
            indent = 1 if feed == "customer" else None
            lines = [json.dumps(row, indent=indent) for row in as_delivered(feed, rows)] + [no_record]
            path = self.source / feed / "landing" / "1.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")

    def start(self, selection: str = ALL, at: At | None = None, prepare: Callable[[], None] | None = None) -> Run:
        self.runs += 1
        return start(self.settings, self.folder / f"run-{self.runs}.txt", select=selection, at=at, prepare=prepare)

    def materialize(self, selection: str = ALL) -> None:
        """Run the command, which must succeed."""
        run = self.start(selection)
        assert run.ends() == 0, run.said[-4000:]

    def put_back(self, lakehouse: Path | None) -> None:
        """Make the lakehouse what that one is; none at all, if it is None."""
        for path in self.root.iterdir() if self.root.exists() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if lakehouse is not None:
            shutil.copytree(lakehouse, self.root, dirs_exist_ok=True)

    @property
    def tables(self) -> dict[str, Any]:
        """The tables as any other Iceberg reader opens them; none, where a run was killed making the catalog."""
        from pyiceberg.catalog.sql import SqlCatalog

        if not (self.root / "catalog.db").exists():
            return {}
        with SqlCatalog("stedi", uri=f"sqlite:///{self.root}/catalog.db") as catalog:
            there = catalog.list_tables("stedi") if catalog.namespace_exists("stedi") else []
            return {name: catalog.load_table((space, name)) for space, name in there}

    @property
    def state(self) -> State:
        """What an Iceberg reader finds in every table; nothing for one that was never published."""
        return {**NOTHING, **{name: rows(table) for name, table in self.tables.items()}}

    def differs_from(self, *states: State) -> State:
        """The tables that are wholly as in none of these states."""
        return {name: found for name, found in self.state.items() if all(found != state[name] for state in states)}

    def untidy(self) -> list[str]:
        """What lies in the lakehouse and belongs to no version, and what a version lacks."""
        found = [f"left over: {path}" for path in self.root.rglob("*.part")]
        beside = [path for path in (self.root / "landing").rglob("*.json") if not path.name.endswith(LISTS)]
        found += [f"left over: {path}" for path in beside]
        for name, table in self.tables.items():
            folder, wanted = self.root / "stedi" / name, set(files_of(table))
            there = {str(path) for path in folder.rglob("*") if path.is_file()}
            staged = {version.summary["stedi.staged-in"] for version in table.metadata.snapshots}
            folders = {path.name for path in (folder / "data").iterdir()}
            found += [f"left over: {path}" for path in there - wanted]
            found += [f"missing: {path}" for path in wanted - there]
            found += [f"left over: {name}/data/{one}" for one in folders - staged]
        return found


def files_of(table: Any) -> list[str]:
    """The paths of all files that the table's versions are made of."""
    metadata, files = table.metadata, [table.metadata_location]
    files += [entry.metadata_file for entry in metadata.metadata_log]
    for version in metadata.snapshots:
        files += [version.manifest_list, *(manifest.manifest_path for manifest in version.manifests(table.io))]
        files += [task.file.file_path for task in table.scan(snapshot_id=version.snapshot_id).plan_files()]
    return [path.removeprefix("file://") for path in files]


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
        return NOTHING if first_run else self.old

    def after(self, before: State) -> State:
        """The state after a run on new feeds."""
        return {name: self.new[name] if name in self.chosen else before[name] for name in PUBLISHED}

    def start(self, **options: Any) -> Run:
        """Start a run on what was delivered."""
        return self.world.start(self.selection, **options)

    def assert_not_published(self, before: State, phase: str = "") -> None:
        """Each table is as before; but of a feed's two, quarantine may be published before its records are refused."""
        different = self.world.differs_from(before)
        assert {name: found for name, found in different.items() if name not in AHEAD} == {}, phase
        assert all(found == self.new[name] for name, found in different.items()), phase

    def assert_stopped(self, before: State, phase: str) -> None:
        """Nothing was published, and nothing is left of the run that was stopped in this phase, but for an empty note
        where the engine may have gone on writing: the next run looks there.
        """
        self.assert_not_published(before, phase)
        if phase != "before commit":  # whether a commit was sent is for the next run to see
            notes = (".staging",) if phase == COMPUTES else ()
            assert [one for one in self.world.untidy() if not one.endswith(notes)] == [], phase

    def mend(self, before: State, selection: str | None = None) -> None:
        """The next run succeeds without help, and nothing is left of what happened before it."""
        self.world.materialize(selection or self.selection)
        different = self.world.differs_from(self.new if selection == ALL else self.after(before))
        assert different == {}, different
        assert self.world.untidy() == []


def make_scene(world: World, *, all_tables: bool) -> Scene:
    """Make the lakehouse from both feeds, held to the plain-Python statement of the rules."""
    states = []
    for feeds in (NEW, OLD):
        world.put_back(None)
        world.deliver(feeds)
        world.materialize()
        states.append(world.state)
        expected = expected_tables(*feeds.values(), "customer")
        assert {name: states[-1][name] for name in expected} == {
            name: sorted(found, key=repr) for name, found in expected.items()
        }
    new, old = states
    assert all(old[name] and new[name] and old[name] != new[name] for name in PUBLISHED)
    copy = world.folder / "as it was"
    shutil.copytree(world.root, copy)
    return Scene(world, ALL if all_tables else PART, set(PUBLISHED) if all_tables else OF_PART, old, new, copy)


def wait_until(condition: Callable[[], bool], said: Callable[[], object], seconds: float = 300) -> None:
    """Wait until it is so; what `said` gives tells what there was instead, if it takes longer than that."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)
