"""What may happen to a lakehouse, in any order: news of every kind, and runs that end, or do not.

Belongs here: the rules of the state machine. Few people, devices and days, so that they meet. Each rule of the first
part changes what the source has; those of the second run something, after which every table is compared.
Does not belong here: what the tables must hold (`world.py`).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from stedi_assets.contracts import ASSETS
from tests.histories.world import World
from tests.stedi_assets.examples import Row, T, as_delivered, customer, distance, reading

DAY = 86_400_000
FIRST = T // DAY * DAY
DAYS = range(6)
AT = (0, 1, DAY - 1)
"""The moments of a day at which readings are taken: its first ones, and its last one."""
NEWS_PER_RUN = 3

PEOPLE = st.sampled_from(["ann", "bob", "cleo"])
DEVICES = st.sampled_from(["ann", "bob", "cleo", "pair", "pair"])
SOME_DAYS = st.lists(st.sampled_from(DAYS), min_size=1, max_size=2, unique=True)
SINCE = st.one_of(st.none(), st.sampled_from([0, *(FIRST + day * DAY + 1 for day in (0, 0, *DAYS))]))
NAMES = st.sampled_from(["1.json", "2.json", "3.json"])
FEED_NAMES = st.sampled_from(["customer", "accelerometer", "step_trainer"])
DELIVERED = st.runner().flatmap(
    lambda machine: st.sampled_from(
        [(feed, name) for feed, files in machine.world.source.items() for name in files if name != ANCHOR]
    )
)
"""A file that the source has."""
CUSTOMERS = {"customer_landing", "customer_records", "customer_quarantine", "customer_trusted"}
PARTS = st.sampled_from(
    [
        CUSTOMERS,
        {name for name in ASSETS if name.endswith("_landing")},
        {name for name in ASSETS if name.endswith(("_landing", "_records", "_quarantine"))},
        {name for name in ASSETS if not name.endswith("_landing")},
        {"accelerometer_landing", "accelerometer_records", "accelerometer_quarantine", "accelerometer_trusted"},
        {"step_trainer_landing", "step_trainer_records", "step_trainer_quarantine", "step_trainer_trusted"},
        {*CUSTOMERS, "accelerometer_trusted", "customers_curated"},
        {name for name in ASSETS if name.endswith(("_trusted", "_curated"))},
        {"customers_curated", "machine_learning_curated"},
        {"machine_learning_curated"},
    ]
)

ANCHOR = "0.json"
ZED = {
    "customer": [customer("zed@x.org", "zed", updated=FIRST, consent=FIRST)],
    "accelerometer": [reading("zed@x.org", FIRST + day * DAY, 0.5) for day in DAYS],
    "step_trainer": [distance("zed", FIRST + day * DAY, 9) for day in DAYS],
}
"""Zed always agreed, and steps every day: tables that turn empty stop a run, which other tests look at."""


class Lakehouse(RuleBasedStateMachine):
    """`news` counts what has changed in the source since the last run."""

    trained: int = 0
    """How many rows of other people than Zed the training table ever held."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Path(tempfile.mkdtemp(prefix="history-")))
        self.news = self.clock = 0

    def teardown(self) -> None:
        try:
            if sys.exception() is None and self.news:
                self.run()
        finally:
            self.world.close()

    @initialize(made=st.booleans())
    def opening(self, made: bool) -> None:
        """Zed, Ann and Bob have consented; Cleo has readings, and is no customer yet."""
        for feed, rows in ZED.items():
            self._deliver(feed, ANCHOR, rows)
        for who in ("ann", "bob"):
            self._record(customer(f"{who}@x.org", who, updated=FIRST, consent=FIRST + DAY))
        for name, who, days in (("1.json", "ann", (0, 1, 2)), ("2.json", "bob", (3, 4)), ("3.json", "cleo", (4, 5))):
            self._session(name, who, who, days)
        if made:
            self.run()

    # News ------------------------------------------------------------------------------------------------------------

    def may_have_news(self) -> bool:
        return self.news < NEWS_PER_RUN

    @precondition(may_have_news)
    @rule(name=NAMES, who=PEOPLE, device=DEVICES, days=SOME_DAYS)
    def steps(self, name: str, who: str, device: str, days: list[int]) -> None:
        """A file of each sensor, or others of their names: also days after or before all that there was."""
        self._session(name, who, device, days)

    @precondition(may_have_news)
    @rule(
        feed=st.sampled_from(["accelerometer", "step_trainer"]),
        name=NAMES,
        taken=st.lists(st.tuples(PEOPLE, st.sampled_from(DAYS), st.integers(0, 1)), min_size=0, max_size=4),
    )
    def odd_readings(self, feed: str, name: str, taken: list[tuple[str, int, int]]) -> None:
        """A file of one sensor alone, with equal readings; it may be empty."""
        make = (lambda who, at, what: reading(f"{who}@x.org", at, float(what))) if feed == "accelerometer" else distance
        self._deliver(feed, name, [make(who, FIRST + day * DAY, what) for who, day, what in taken])

    @precondition(may_have_news)
    @rule(who=PEOPLE, since=SINCE, device=DEVICES, late=st.booleans())
    def says(self, who: str, since: int | None, device: str, late: bool) -> None:
        """A consent, a withdrawal or a new device; `late`: by a record that is older than all others."""
        updated = FIRST - self.clock if late else self._now()
        self._record(customer(f"{who.title()}@x.org", device, updated=updated, consent=since))

    @precondition(may_have_news)
    @rule(who=PEOPLE)
    def withdraws(self, who: str) -> None:
        self._record(customer(f"{who}@x.org", who, updated=self._now(), consent=None))

    @precondition(may_have_news)
    @rule(who=PEOPLE, dated=st.booleans())
    def in_doubt(self, who: str, dated: bool) -> None:
        """A record of theirs cannot be read. If it is dated, the next one that can be read ends the doubt."""
        when = f'"lastUpdateDate": {self._now()}, ' if dated else ""
        self._change("customer", f"doubt-{self._now()}.json", f'{{"email": "{who}@x.org", {when}"phone\n')

    @precondition(may_have_news)
    @rule(feed=FEED_NAMES)
    def noise(self, feed: str) -> None:
        """What names nobody decides nothing."""
        self._change(feed, "noise.json", f"-- connection reset by peer {self._now()} --\n")

    @precondition(may_have_news)
    @rule(file=DELIVERED, name=NAMES, respelled=st.booleans())
    def again(self, file: tuple[str, str], name: str, respelled: bool) -> None:
        """The content of a file under another name; respelled, it is not the same file to the eye."""
        feed, other = file
        text = self.world.source[feed][other]
        self._change(feed, f"again-{name}", text.replace('": ', '":') if respelled else text)

    @precondition(may_have_news)
    @rule(file=DELIVERED, landed_too=st.booleans())
    def removes(self, file: tuple[str, str], landed_too: bool) -> None:
        """The source has the file no more; what landed stays, unless somebody takes it back."""
        self.news += 1
        (self.world.take_back if landed_too else self.world.vanish)(*file)

    @precondition(may_have_news)
    @rule()
    def other_rule(self) -> None:
        """Somebody chooses the other consent rule."""
        self.news += 1
        self.world.consent = "as-of-date" if self.world.consent == "customer" else "customer"

    # Runs ------------------------------------------------------------------------------------------------------------

    @rule()
    def run(self) -> None:
        """Everything, which must succeed."""
        self.news = 0
        self.world.run(*ASSETS)
        self._count()

    @rule(assets=PARTS)
    def run_part(self, assets: Iterable[str]) -> None:
        """Some tables, of whatever is upstream of them, or a sentence."""
        self.world.run(*assets)
        self._count()

    @rule(after=st.integers(1, 11))
    def run_is_killed(self, after: int) -> None:
        """Between two commits; or after the last one, if there were no more."""
        self.world.run(*ASSETS, killed_after=after)
        self._count()

    # How -------------------------------------------------------------------------------------------------------------

    def _session(self, name: str, who: str, device: str, days: Iterable[int]) -> None:
        """Both sensors read the same moments, but for the last one of the last day, which the phone missed."""
        taken = [FIRST + day * DAY + at for day in days for at in AT]
        self._deliver("accelerometer", name, [reading(f"{who}@x.org", at, 0.25) for at in taken[:-1]])
        self._deliver("step_trainer", name, [distance(device, at, at % 7) for at in taken])
        self.news -= 1  # it is one piece of news

    def _record(self, record: Row) -> None:
        self._deliver("customer", f"says-{self._now()}.json", [record])

    def _deliver(self, feed: str, name: str, rows: Iterable[Row]) -> None:
        self._change(feed, name, "".join(json.dumps(row) + "\n" for row in as_delivered(feed, rows)))

    def _change(self, feed: str, name: str, text: str) -> None:
        self.news += 1
        self.world.deliver(feed, name, text)

    def _now(self) -> int:
        """A moment after all moments that there were."""
        self.clock += 1
        return FIRST + self.clock

    def _count(self) -> None:
        rows = self.world.tables.get("machine_learning_curated", [])
        self.trained = max(self.trained, sum(row["serialnumber"] != "zed" for row in rows))
