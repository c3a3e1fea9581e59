"""What may happen to a lakehouse, day by day: news of every kind, and a run that ends, or does not.

Belongs here: the news, each a method that changes what the source has, and the strategies that make histories of them.
Few people, devices and days, so that they meet. Does not belong here: what the tables must hold (`world.py`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from resources.iceberg import compaction
from stedi_assets.contracts import ASSETS
from stedi_assets.pipeline import changes
from stedi_assets.pipeline.table import LakehouseTable
from tests.histories.world import World
from tests.stedi_assets.examples import Row, T, as_delivered, customer, distance, reading
from tests.support import Stedi

DAY_MS = 86_400_000
FIRST = T // DAY_MS * DAY_MS
DAYS = range(6)
AT = (0, 1, DAY_MS - 1)
"""The moments of a day at which readings are taken: its first ones, and its last one."""

ANCHOR = "0.json"
ZED = {
    "customer": [customer("zed@x.org", "zed", updated=FIRST, consent=FIRST)],
    "accelerometer": [reading("zed@x.org", FIRST + day * DAY_MS, 0.5) for day in DAYS],
    "step_trainer": [distance("zed", FIRST + day * DAY_MS, 9) for day in DAYS],
}
"""Zed always agreed, and steps every day: tables that turn empty stop a run, which other tests look at."""

News = tuple[Any, ...]
Run = tuple[Any, ...]


class History:
    """What happened to one world. Each piece of news is the name of a method, and its arguments.

    `trained`: how many rows of other people than Zed the training table had at most.
    """

    def __init__(self, rebuild_above: float = 1, stedi: Stedi | None = None) -> None:
        self.world = World(stedi or Stedi(Path(tempfile.mkdtemp(prefix="history-"))))
        self.clock = self.trained = 0
        self.patch = pytest.MonkeyPatch()
        # Of so few days most would be made again each time, and then all are: here only where all must.
        self.patch.setattr(changes, "MOST_REDONE", rebuild_above)
        self.patch.setattr(compaction, "FEW", 0)
        self._open()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *error: object) -> None:
        self.patch.undo()
        self.world.close()

    def _open(self) -> None:
        """Zed, Ann and Bob have consented; Cleo has readings, and is no customer yet."""
        for feed, rows in ZED.items():
            self._deliver(feed, ANCHOR, rows)
        for who in ("ann", "bob"):
            self._record(customer(f"{who}@x.org", who, updated=FIRST, consent=FIRST + DAY_MS))
        for name, who, days in (("1.json", "ann", (0, 1, 2)), ("2.json", "bob", (3, 4)), ("3.json", "cleo", (4, 5))):
            self.steps(name, who, who, days)

    def day(self, news: Sequence[News] = (), run: Run = ("everything",)) -> None:
        """What arrives, and what is then run; every table is compared after it."""
        for what, *arguments in news:
            getattr(self, what)(*arguments)
        how, *arguments = run
        getattr(self, how)(*arguments)
        rows = self.world.tables.get("machine_learning_curated", [])
        self.trained = max(self.trained, sum(row["serialnumber"] != "zed" for row in rows))

    # News ------------------------------------------------------------------------------------------------------------

    def steps(self, name: str, who: str, device: str, days: Iterable[int]) -> None:
        """A file of each sensor, or others of their names. They read the same moments, but for the last one, which the
        phone missed.
        """
        taken = [FIRST + day * DAY_MS + at for day in days for at in AT]
        self._deliver("accelerometer", name, [reading(f"{who}@x.org", at, 0.25) for at in taken[:-1]])
        self._deliver("step_trainer", name, [distance(device, at, at % 7) for at in taken])

    def moves(self, name: str, taken: Iterable[tuple[str, int, int]]) -> None:
        """A file of phones alone, with equal readings; it may be empty."""
        rows = [reading(f"{who}@x.org", FIRST + day * DAY_MS, float(x)) for who, day, x in taken]
        self._deliver("accelerometer", name, rows)

    def measures(self, name: str, taken: Iterable[tuple[str, int, int]]) -> None:
        """A file of Step Trainers alone."""
        self._deliver("step_trainer", name, [distance(device, FIRST + day * DAY_MS, far) for device, day, far in taken])

    def says(self, who: str, since: int | None, device: str) -> None:
        """A consent since that day, a withdrawal (None) or a new device: the latest record of them all."""
        consent = since if since is None else FIRST + since * DAY_MS + 1
        self._record(customer(f"{who.title()}@x.org", device, updated=self._now(), consent=consent))

    def said(self, who: str, since: int | None) -> None:
        """A record that is older than all others arrives late."""
        consent = since if since is None else FIRST + since * DAY_MS
        self._record(customer(f"{who}@x.org", who, updated=FIRST - self._now() % DAY_MS, consent=consent))

    def in_doubt(self, who: str, device: str, dated: bool) -> None:
        """A record of theirs cannot be read. If it is dated, the next one that can be read ends the doubt, also about
        the device that it names.
        """
        when = f'"lastUpdateDate": {self._now()}, ' if dated else ""
        text = f'{{"email": "{who}@x.org", {when}"serialNumber": "{device}", "phone\n'
        self.world.deliver("customer", f"doubt-{self._now()}.json", text)

    def noise(self, feed: str) -> None:
        """What names nobody decides nothing."""
        self.world.deliver(feed, "noise.json", f"-- connection reset by peer {self._now()} --\n")

    def again(self, which: int, name: str, respelled: bool) -> None:
        """The content of a file under another name; respelled, it is not the same file to the eye."""
        feed, other = self._file(which)
        text = self.world.source[feed][other]
        self.world.deliver(feed, f"again-{name}", text.replace('": ', '":').replace("@x", "@X") if respelled else text)

    def vanishes(self, which: int) -> None:
        """The source has the file no more; what landed stays."""
        self.world.vanish(*self._file(which))

    def taken_back(self, which: int) -> None:
        """The file is removed from the source and from the landing zone, and its records with it."""
        self.world.take_back(*self._file(which))

    def other_rule(self) -> None:
        """Somebody chooses the other consent rule."""
        self.world.consent = "as-of-date" if self.world.consent == "customer" else "customer"

    def other_code(self) -> None:
        """Another version of the project, which makes the same of the same."""
        version = LakehouseTable.code_version
        self.patch.setattr(LakehouseTable, "code_version", lambda table, options: f"{version(table, options)}'")

    # Runs ------------------------------------------------------------------------------------------------------------

    def everything(self) -> None:
        self.world.run(*ASSETS)

    def part(self, name: str) -> None:
        """Some tables, of whatever is upstream of them, or a sentence."""
        self.world.run(*PARTS[name])

    def killed_after(self, commits: int) -> None:
        """Between two commits; or after the last one, if there were no more."""
        self.world.run(*ASSETS, killed_after=commits)

    def rebuilt(self) -> None:
        """Everything anew, since somebody asks for it."""
        self.world.stedi.environment["STEDI_REBUILD"] = "1"
        self.everything()
        del self.world.stedi.environment["STEDI_REBUILD"]

    def rebuilt_alike(self) -> None:
        """A rebuild's checks measure what those by days came to: the sums over days are those of the whole."""
        before = self.world.measured()
        self.rebuilt()
        assert self.world.measured() == before

    def maintained(self, expire: bool) -> None:
        """The days of each table get one file each, and its history expires: all of it, or none yet."""
        self.world.maintain(timedelta(0) if expire else timedelta(days=7))

    def nothing_new(self) -> None:
        """Everything once more: nothing is written."""
        before = self.world.snapshots()
        self.everything()
        assert self.world.snapshots() == before

    # How -------------------------------------------------------------------------------------------------------------

    def _record(self, record: Row) -> None:
        self._deliver("customer", f"says-{self._now()}.json", [record])

    def _deliver(self, feed: str, name: str, rows: Iterable[Row]) -> None:
        self.world.deliver(feed, name, "".join(json.dumps(row) + "\n" for row in as_delivered(feed, rows)))

    def _file(self, which: int) -> tuple[str, str]:
        """One of the files that the source has, but for those that Zed is in."""
        files = [(feed, name) for feed, texts in self.world.source.items() for name in texts if name != ANCHOR]
        return files[which % len(files)]

    def _now(self) -> int:
        """A moment after all moments that there were."""
        self.clock += 1
        return FIRST + self.clock


CUSTOMERS = {"customer_landing", "customer_records", "customer_quarantine", "customer_trusted"}
PARTS = {
    "customers": CUSTOMERS,
    "landing": {name for name in ASSETS if name.endswith("_landing")},
    "all feeds": {name for name in ASSETS if name.endswith(("_landing", "_records", "_quarantine"))},
    "all but landing": {name for name in ASSETS if not name.endswith("_landing")},
    "phones": {"accelerometer_landing", "accelerometer_records", "accelerometer_quarantine", "accelerometer_trusted"},
    "trainers": {"step_trainer_landing", "step_trainer_records", "step_trainer_quarantine", "step_trainer_trusted"},
    "up to curated": {*CUSTOMERS, "accelerometer_trusted", "customers_curated"},
    "trusted and curated": {name for name in ASSETS if name.endswith(("_trusted", "_curated"))},
    "curated": {"customers_curated", "machine_learning_curated"},
    "training table": {"machine_learning_curated"},
}

_PEOPLE = st.sampled_from(["ann", "bob", "cleo"])
_DEVICES = st.sampled_from(["ann", "bob", "cleo", "pair", "pair"])
_SOME_DAYS = st.lists(st.sampled_from(DAYS), min_size=1, max_size=2, unique=True)
_NAMES = st.sampled_from(["1.json", "2.json", "3.json"])
_TAKEN = st.lists(st.tuples(_PEOPLE, st.sampled_from(DAYS), st.integers(0, 1)), max_size=4)
_WHICH = st.integers(0, 20)
_SINCE = st.sampled_from([None, 0, 0, *DAYS])
_NEWS = (
    st.tuples(st.just("steps"), _NAMES, _PEOPLE, _DEVICES, _SOME_DAYS),
    st.tuples(st.just("steps"), _NAMES, _PEOPLE, _DEVICES, _SOME_DAYS),
    st.tuples(st.just("moves"), _NAMES, _TAKEN),
    st.tuples(st.just("measures"), _NAMES, _TAKEN),
    st.tuples(st.just("says"), _PEOPLE, _SINCE, _DEVICES),
    st.tuples(st.just("says"), _PEOPLE, st.none(), _PEOPLE),
    st.tuples(st.just("said"), _PEOPLE, _SINCE),
    st.tuples(st.just("in_doubt"), _PEOPLE, _DEVICES, st.booleans()),
    st.tuples(st.just("noise"), st.sampled_from(["customer", "accelerometer", "step_trainer"])),
    st.tuples(st.just("again"), _WHICH, _NAMES, st.booleans()),
    st.tuples(st.just("vanishes"), _WHICH),
    st.tuples(st.just("taken_back"), _WHICH),
    st.sampled_from([("other_rule",), ("other_code",)]),
)
_RUNS = (
    st.just(("everything",)),
    st.just(("everything",)),
    st.just(("everything",)),
    st.tuples(st.just("part"), st.sampled_from(sorted(PARTS))),
    st.tuples(st.just("part"), st.sampled_from(sorted(PARTS))),
    st.tuples(st.just("killed_after"), st.integers(1, 11)),
    st.just(("rebuilt",)),
    st.tuples(st.just("maintained"), st.booleans()),
)


def histories(most_days: int) -> st.SearchStrategy[list[tuple[list[News], Run]]]:
    """News and a run for each of some days; the last run is one of everything, for all that happened before."""
    news = st.lists(st.sampled_from(_NEWS).flatmap(lambda one: one), min_size=1, max_size=3)
    return st.lists(st.tuples(news, st.sampled_from(_RUNS).flatmap(lambda one: one)), min_size=2, max_size=most_days)
