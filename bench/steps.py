"""Where the time of one lakehouse run goes: by phase, and by asset.

Belongs here: reading a run's event log (the seconds that each asset's metadata names, and when its step began and
ended), and dividing the command's wall time by it, so that the parts add up to the whole.
Does not belong here: how it is shown (`report.py`).
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Any

from bench.contestants import ROOT
from bench.measure import Measurement

if TYPE_CHECKING:
    from dagster import DagsterEvent, EventLogEntry, MetadataValue

LAP = "seconds: "
"""What the name of a phase's seconds begins with, in the metadata of a materialization."""
ENGINE, DAGSTER, EVIDENCE = "engine start", "Dagster", "evidence"
LAPS = ("sync", "compute", "check", "publish", "report")
PHASES = (ENGINE, *LAPS, EVIDENCE, DAGSTER)
"""The phases of a step. The engine is lazy: computing tables and writing them is one act, and so is parsing a feed."""

_ENGINE_STARTED = re.compile(r"started in ([\d.]+) s$")

Span = tuple[float, float]


@dataclass(frozen=True)
class Imports:
    """Seconds of a Python process that only imports Dagster, and what importing the project adds to it."""

    dagster: float
    project: float


@dataclass(frozen=True)
class Steps:
    """One run in parts: until Dagster's first event, until the first step, the steps, between them, and the end.

    `assets` divides each step's time into PHASES. All parts together are the wall time.
    """

    loading: float
    planning: float
    assets: Mapping[str, Mapping[str, float]]
    between: float
    ending: float

    def totals(self, imports: Imports) -> dict[str, float]:
        """What each part of the run took, in the order of their happening."""
        phases = {phase: sum(asset[phase] for asset in self.assets.values()) for phase in PHASES}
        return {
            "Python starts and imports Dagster": imports.dagster,
            "importing stedi_assets": imports.project,
            "Dagster loads the definitions and makes the run": self.loading - imports.dagster - imports.project,
            "Dagster notes what is planned": self.planning,
            "engine start": phases[ENGINE],
            "sync: the feeds' files are copied": phases["sync"],
            "compute: records are read, tables computed, all is staged": phases["compute"],
            "check": phases["check"],
            "publish": phases["publish"],
            "report: previews": phases["report"],
            "evidence: queries and pictures": phases[EVIDENCE],
            "Dagster notes checks and results, and between steps": phases[DAGSTER] + self.between,
            "the run ends, the engine stops, Python exits": self.ending,
        }


@dataclass
class _Step:
    """What the event log says of one step: moments in epoch seconds, and the seconds of its phases, if it names any."""

    began: float = 0.0
    ended: float = 0.0
    result: float = 0.0
    laps: dict[str, float] = field(default_factory=dict)

    def note(self, event: DagsterEvent, at: float) -> None:
        """Take in one event of the step."""
        match event.event_type_value:
            case "STEP_START":
                self.began = at
            case "STEP_OUTPUT":  # the last one counts
                self.result = at
            case "ASSET_MATERIALIZATION":
                self._note_laps(event.step_materialization_data.materialization.metadata)
            case "STEP_SUCCESS":
                self.ended = at

    def _note_laps(self, metadata: Mapping[str, MetadataValue[Any]]) -> None:
        laps = {name: value.value for name in LAPS if (value := metadata.get(LAP + name))}
        # Tables that one step makes are made together, and each says so, but they are reported one after the other.
        self.laps = laps | {"report": self.laps.get("report", 0.0) + laps.get("report", 0.0)} if laps else self.laps

    def phases(self, engine: Span) -> dict[str, float]:
        """The step's time by phase; `engine` is when the engine was started, in this step or in another."""
        phases = dict.fromkeys(PHASES, 0.0) | self.laps
        phases[ENGINE] = max(min(engine[1], self.ended) - max(engine[0], self.began), 0.0)
        if self.laps:
            phases["compute"] -= phases[ENGINE]  # which is what asks for the engine
        else:
            phases[EVIDENCE] = self.result - self.began - phases[ENGINE]
        phases[DAGSTER] = (self.ended - self.began) - sum(phases.values())
        return phases


def steps_of(home: Path, run: Measurement) -> Steps:
    """Divide the newest run of that DAGSTER_HOME, which is what the command did that was measured."""
    from dagster import DagsterInstance

    os.environ["DAGSTER_HOME"] = str(home)  # the project's dagster.yaml asks for it
    with DagsterInstance.get() as instance:
        newest = instance.get_runs(limit=1)[0]
        return divide(instance.all_logs(newest.run_id), run)


def divide(log: Sequence[EventLogEntry], run: Measurement) -> Steps:
    """Divide a run by its event log."""
    steps: dict[str, _Step] = {}
    engine = (0.0, 0.0)
    for entry in log:
        if started := _ENGINE_STARTED.search(entry.user_message):
            engine = (entry.timestamp - float(started[1]), entry.timestamp)
        if entry.step_key and entry.dagster_event:
            steps.setdefault(entry.step_key, _Step()).note(entry.dagster_event, entry.timestamp)
    made = dict(sorted(steps.items(), key=lambda item: item[1].began))
    first, last = (min(step.began for step in made.values()), max(step.ended for step in made.values()))
    return Steps(
        loading=log[0].timestamp - run.began,
        planning=first - log[0].timestamp,
        assets={name: step.phases(engine) for name, step in made.items()},
        between=last - first - sum(step.ended - step.began for step in made.values()),
        ending=run.ended - last,
    )


def import_seconds(repeat: int = 5) -> Imports:
    """Measure what imports cost, in processes of their own."""
    # The quickest of each: what else the machine does can only add to it, and one is taken from the other.
    dagster = min(_python("import dagster") for _ in range(repeat))
    project = min(_python("import dagster, stedi_assets.definitions") for _ in range(repeat))
    return Imports(dagster, project - dagster)


def _python(program: str) -> float:
    start = time.perf_counter()
    run([sys.executable, "-c", program], cwd=ROOT, env=os.environ, check=True)
    return time.perf_counter() - start
