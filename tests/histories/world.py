"""A lakehouse with a history: what was delivered and run so far, and what each table must hold after it.

Belongs here: the world's two sides, the real one (files, Dagster runs, the catalog) and the one in plain Python, which
learns from the real one only which assets were made. Does not belong here: what may happen (`history.py`), or the rules
of the tables (`tests/oracle.py`).
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from resources.files.landing_zone import folder_at
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.maintenance import maintain
from stedi_assets.contracts import ASSETS, FEEDS, TABLES, Feed
from stedi_assets.definitions import build_definitions
from stedi_assets.pipeline.inputs import WHAT, measured
from tests import oracle
from tests.oracle import Record
from tests.support import Outcome, SharedSpark, Stedi

LANDING = {feed.landing.name: feed for feed in FEEDS}
RECORDS = {feed.records.name: feed for feed in FEEDS}
QUARANTINE = {feed.quarantine.name: feed for feed in FEEDS}
SENTENCES = (
    "was made before the latest consents",
    "was never materialized",
    "was made under STEDI_CONSENT",
    "are gone",  # files that were taken back, and whose records are made before their feed is looked at
)
"""Why a run of a part may be refused."""


class Killed(KeyboardInterrupt):
    """The run ends here, and nothing in it hears of it in time."""


class World:
    """`tables` is what each table must hold, by name, as far as it was ever made. `made` counts the versions that were
    made of some days alone, and those that were made anew.
    """

    def __init__(self, stedi: Stedi) -> None:
        self.stedi = stedi
        # Whether a run may shrink a table, or quarantine much, is no question here.
        stedi.environment |= {"STEDI_QUARANTINE_LIMIT": "1", "STEDI_SHRINK_LIMIT": "1", "STEDI_CONSENT": "customer"}
        self.source: dict[str, dict[str, str]] = {feed.name: {} for feed in FEEDS}
        self.landed: dict[str, dict[str, str]] = {feed.name: {} for feed in FEEDS}
        self.tables: dict[str, list[Record]] = {}
        self.made = Counter[str]()

    def close(self) -> None:
        self.stedi.instance.dispose()
        shutil.rmtree(self.stedi.folder)

    # What happens to it --------------------------------------------------------------------------------------

    @property
    def consent(self) -> str:
        return self.stedi.environment["STEDI_CONSENT"]

    @consent.setter
    def consent(self, rule: str) -> None:
        self.stedi.environment["STEDI_CONSENT"] = rule

    def deliver(self, feed: str, name: str, text: str) -> None:
        """A new file, or another one of the same name."""
        self.source[feed][name] = text
        self.stedi.deliver(feed, text, name)

    def vanish(self, feed: str, name: str) -> None:
        """The source removes the file: what has landed stays."""
        del self.source[feed][name]
        (self.stedi.source / feed / "landing" / name).unlink()

    def take_back(self, feed: str, name: str) -> None:
        """Somebody removes the file from the source and from the landing zone."""
        self.vanish(feed, name)
        if self.landed[feed].pop(name, None) is not None:
            folder_at(self.stedi.settings.lakehouse).below(f"{feed}_landing").remove([name])

    def run(self, *assets: str, killed_after: int | None = None) -> set[str]:
        """Materialize these assets, unless the run is killed after so many commits. The answer is what was made."""
        run_id, before = str(uuid.uuid4()), self.snapshots()
        with killing(killed_after) as killed:
            outcome = self._materialize(assets, run_id)
        made = {name for name, snapshot in self.snapshots().items() if snapshot != before[name]}
        self.made.update("by days" if " days: " in self.why(name) else "whole" for name in made)
        made |= {name for name in ASSETS if self._materialized_by(name) == run_id}
        for name in (name for name in ASSETS if name in made):  # upstream first
            self._make(name)
        self.check()
        if not killed and set(assets) == set(ASSETS):
            assert outcome.success, outcome.failure
            _compare(self._held(), self._from_scratch())
        elif not killed and not outcome.success:
            assert any(sentence in outcome.failure for sentence in SENTENCES), outcome.failure
        return made

    def maintain(self, history: timedelta) -> None:
        """Compact all tables, and have what is older expire: no row is another one after it."""
        for table in TABLES.values():
            done = maintain(self.stedi.lakehouse, table, history)
            assert not done.refused, done.refused
        self.check()

    def _materialize(self, assets: tuple[str, ...], run_id: str) -> Outcome:
        # Without checks selected: they stop what they would stop, and Dagster has 80 events less to store.
        definitions = build_definitions(self.stedi.settings, {"spark": SharedSpark(lender=self.stedi.engine)})
        job = definitions.resolve_implicit_global_asset_job_def()
        part = job.get_subset(asset_selection=set(map(dg.AssetKey, assets)), asset_check_selection=set())
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        return Outcome(
            part.execute_in_process(instance=self.stedi.instance, run_config=quiet, raise_on_error=False, run_id=run_id)
        )

    def _materialized_by(self, name: str) -> str | None:
        event = self.stedi.instance.get_latest_materialization_event(dg.AssetKey(name))
        return event.run_id if event else None

    # What is there -------------------------------------------------------------------------------------------

    def snapshots(self) -> dict[str, int | None]:
        """The snapshot that readers see of each table."""
        lakehouse = self.stedi.lakehouse
        versions = {name: lakehouse.version(name) for name in TABLES}
        return {name: version.snapshot_id if version else None for name, version in versions.items()}

    def why(self, table: str) -> str:
        """What was done to the table's version that is served, and why."""
        version = self.stedi.lakehouse.version(table)
        return version.properties[WHAT] if version else ""

    def measured(self) -> dict[str, dict[str, dict[str, float]]]:
        """What the checks of each table that is served measured: {table: {check: {measure: value}}}, without zeros."""
        lakehouse = self.stedi.lakehouse
        versions = {name: version for name in TABLES if (version := lakehouse.version(name))}
        return {
            name: {check: {what: n for what, n in found.items() if n} for check, found in measured(version).items()}
            for name, version in versions.items()
        }

    def check(self) -> None:
        """Each table holds what it must, as an Iceberg reader finds it."""
        lakehouse, found = self.stedi.lakehouse, {}
        for name in TABLES:
            table = lakehouse.load(name)
            if table is not None:
                found[name] = Counter(_rows(name, table.scan().to_arrow().to_pylist()))
        _compare(found, self._held())

    def _held(self) -> dict[str, Counter[tuple[Any, ...]]]:
        return {name: Counter(_rows(name, rows)) for name, rows in self.tables.items()}

    # What must be there --------------------------------------------------------------------------------------

    def _from_scratch(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """Every table, as if all that has landed were read for the first time."""
        read = {feed.name: _read(feed, self.landed[feed.name]) for feed in FEEDS}
        unreadable = [row["text"] for row in read["customer"][1]]
        made = oracle.expected_tables(*(read[feed.name][0] for feed in FEEDS), self.consent, unreadable)
        records = {feed.records.name: _rows(feed.records.name, read[feed.name][0]) for feed in FEEDS}
        refused = {feed.quarantine.name: _rows(feed.quarantine.name, read[feed.name][1]) for feed in FEEDS}
        return {name: Counter(rows) for name, rows in {**records, **refused, **made}.items()}

    def _make(self, name: str) -> None:
        """The asset is made of what is upstream of it now, old or new."""
        if name in LANDING:
            self._land(LANDING[name])
            return
        tables = self.tables
        if name in RECORDS:
            tables[name] = _read(RECORDS[name], self.landed[RECORDS[name].name])[0]
        elif name in QUARANTINE:
            tables[name] = _read(QUARANTINE[name], self.landed[QUARANTINE[name].name])[1]
        elif name == "customer_trusted":
            tables[name] = oracle.customer_trusted(tables["customer_records"], self._unreadable())
        elif name == "accelerometer_trusted":
            tables[name] = oracle.accelerometer_trusted(
                tables["accelerometer_records"], tables["customer_trusted"], self.consent
            )
        elif name == "customers_curated":
            tables[name] = oracle.customers_curated(tables["customer_trusted"], tables["accelerometer_trusted"])
        elif name == "step_trainer_trusted":
            tables[name] = oracle.step_trainer_trusted(
                tables["step_trainer_records"],
                tables["customers_curated"],
                tables["customer_records"],
                self._unreadable(),
                self.consent,
            )
        else:
            tables[name] = oracle.machine_learning_curated(
                tables["step_trainer_trusted"], tables["accelerometer_trusted"], tables["customer_trusted"]
            )

    def _unreadable(self) -> list[str]:
        return [row["text"] for row in self.tables["customer_quarantine"]]

    def _land(self, feed: Feed) -> None:
        """A content lands once: under the name that it has already, or else under the first one."""
        source, before = self.source[feed.name], self.landed[feed.name]
        landed = {name: text for name, text in before.items() if name not in source}
        for name in sorted(source, key=lambda name: (before.get(name) != source[name], name)):
            if source[name] not in landed.values() or not source[name]:
                landed[name] = source[name]
        self.landed[feed.name] = landed


@contextmanager
def killing(after: int | None) -> Iterator[list[str]]:
    """A block in which a run is killed when it has published so many tables; it gets to know how."""
    publish, published = Lakehouse.publish, Counter[str]()
    killed: list[str] = []

    def publish_and_die(*args: Any, **options: Any) -> Any:
        version = publish(*args, **options)
        published["tables"] += 1
        if published["tables"] == after:
            killed.append(f"after {after} tables")
            raise Killed
        return version

    with pytest.MonkeyPatch.context() as patch:
        if after is not None:
            patch.setattr(Lakehouse, "publish", publish_and_die)
        yield killed


def _compare(found: dict[str, Counter[tuple[Any, ...]]], expected: dict[str, Counter[tuple[Any, ...]]]) -> None:
    """AssertionError that says which tables have which rows too many, and which too few."""
    nothing = Counter[tuple[Any, ...]]()
    for name in TABLES:
        assert (name in found) == (name in expected), f"{name}: published {name in found}, expected {name in expected}"
        one, other = found.get(name, nothing), expected.get(name, nothing)
        assert one == other, f"{name}: too many {dict(one - other)}, too few {dict(other - one)}"


def _read(feed: Feed, files: dict[str, str]) -> tuple[list[Record], list[Record]]:
    """The records and the quarantine of files that have a record, or something that is none, on each line."""
    records: list[Record] = []
    quarantine: list[Record] = []
    for name, text in files.items():
        for line in text.splitlines():
            try:
                given = json.loads(line)
            except json.JSONDecodeError:
                quarantine.append({"file": name, "text": line})
            else:
                columns = feed.landing.columns
                records.append({"file": name, **{column.name: given.get(column.feed_names[0]) for column in columns}})
    return records, quarantine


def _rows(table: str, records: list[Any]) -> list[tuple[Any, ...]]:
    """In the table's columns, but for what a run says of quarantined records."""
    columns = [name for name in TABLES[table].column_names if name not in ("reason", "run")]
    return [tuple(record.get(name) for name in columns) for record in records]
