"""What of a table is to be made again, and why: nothing, some days, or all of it.

Belongs here: comparing what the served version was made of with what there is now. Iceberg's metadata says which files
differ; rows are read only where other tables say something else of somebody. Does not belong here: making it
(`step.py`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from resources.errors import LakehouseError
from resources.iceberg.days import DAY_MS, spans, within
from resources.iceberg.version import Staged, Version
from resources.lazy import LazyModule
from stedi_assets.contracts import TABLES, Table
from stedi_assets.pipeline.inputs import CODE, INPUTS, MOST_AT_ONCE, SOURCE, Inputs, measured, table_inputs
from stedi_assets.pipeline.table import Dependence, LakehouseTable

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

MOST_REDONE = 1 / 3
"""The share of the rows above which all are made anew: files of few days that are read and written beside the others
cost more than one pass over everything."""


@dataclass(frozen=True)
class Changes:
    """What is to be made again. `days` (epoch ms of their first moment): these; None: everything. `onto` is the version
    whose other days stay, None where nothing of the served one does.
    """

    why: str
    days: frozenset[int] | None = None
    onto: Version | None = None

    @property
    def nothing(self) -> bool:
        """Whether the served version is what would be made now."""
        return self.onto is not None and self.days is None


def made_otherwise(served: Version, now: Mapping[str, str]) -> str | None:
    """Why the version is none to build on: `now` says by which code, of which source and by which options it would be
    made; None where it was.
    """
    for name, value in now.items():
        before = served.properties.get(name)
        if before != value:
            what = {CODE: "code", SOURCE: "source"}.get(name, f"option {name.removeprefix('stedi.')}")
            return f"rebuilt: the {what} has changed"
    return None


def why_rebuilt(inputs: Inputs, table: LakehouseTable, served: Version, now: Mapping[str, str]) -> str | None:
    """Why nothing can be built on the served version, if so: it was made otherwise than `now` says, was not held to all
    checks, or cannot be read as it should be.
    """
    if why := made_otherwise(served, now):
        return why
    if not {check.name for check in table.checks} <= measured(served).keys():
        return "rebuilt: it was not held to all checks that there are now"
    try:
        inputs.lakehouse.look_into(table.contract)
    except LakehouseError as error:
        if error.allow_retries:
            raise
        return f"rebuilt: {error.description}"
    wanted = [(column.name, column.type) for column in table.contract.columns]
    return None if inputs.columns(table.name) == wanted else "rebuilt: somebody has moved its columns"


def find_changes(inputs: Inputs, table: LakehouseTable, served: Version, now: Mapping[str, str]) -> Changes:
    """What of the table is to be made again, `now` being how. Starts an engine only where somebody may be concerned."""
    if why := why_rebuilt(inputs, table, served, now):
        return Changes(why)
    made_of: dict[str, int] = json.loads(served.properties[INPUTS])
    changed = [name for name, content in made_of.items() if inputs.version(name).content != content]
    if not changed:
        return Changes("unchanged", onto=served)
    if table.contract.taken is None:
        return Changes(f"made anew: {', '.join(changed)} changed")
    try:
        changes = _days(inputs, inputs.as_then(served), table, served, changed)
        # What is summed up for the whole table is measured of them as they were, too.
        for name, content in made_of.items() if changes.days else ():
            inputs.lakehouse.look_into(TABLES[name], content, changes.days if TABLES[name].taken else None)
    except LakehouseError as error:
        if error.allow_retries:
            raise
        return Changes(f"rebuilt: {error.description}")
    return changes


def _days(inputs: Inputs, then: Inputs, table: LakehouseTable, served: Version, changed: Sequence[str]) -> Changes:
    depends, days, reasons = table.depends, set[int](), list[str]()
    for name in changed:
        if TABLES[name].taken:
            found = inputs.lakehouse.changed_days(name, then.version(name).content)
            if found is None:
                return Changes(f"rebuilt: the version of {name} that it was made from is gone")
            days |= found
            reasons += [f"{name} changed"] if found else []
        elif depends is None or name not in depends.inputs:
            return Changes(f"rebuilt: {name} changed")
    if depends and depends.inputs & {*changed}:
        concerned, theirs = _concerned(depends, inputs, then, changed)
        days |= theirs
        reasons += [f"{depends.what} changed: {concerned:,}"] if concerned else []
    return _unless_most(inputs, table, served, days, reasons)


def _unless_most(
    inputs: Inputs, table: LakehouseTable, served: Version, days: Collection[int], reasons: Sequence[str]
) -> Changes:
    read = [inputs.lakehouse.rows_by_day(name) for name in table.inputs if TABLES[name].taken]
    rows, redone = sum(sum(one.values()) for one in read), sum(one.get(day, 0) for one in read for day in days)
    every = {*inputs.lakehouse.rows_by_day(table.name), *days}
    why = f"{len(days):,} of {len(every):,} days: {'; '.join(reasons) or 'nothing of what it shows has changed'}"
    if redone > rows * MOST_REDONE:
        return Changes(f"rebuilt: most of it would be made again ({why})")
    return Changes(why, frozenset(days), served)


def _concerned(depends: Dependence, inputs: Inputs, then: Inputs, changed: Collection[str]) -> tuple[int, set[int]]:
    """Of how many keys the changed tables say something else than they did, and the days on which they occur."""
    asked = [query for query in depends.says if {*table_inputs(query)} & {*changed}]
    differing = [_differing(then.bind(query), inputs.bind(query)) for query in asked]
    keys = reduce(lambda one, other: one.unionAll(other), differing).distinct()
    if not keys.limit(1).count():
        return 0, set()
    taken = TABLES[depends.table].taken
    assert taken is not None  # it has days
    readings = inputs.frame(depends.table)
    readings = readings.select(depends.key(readings).alias("key"), _day(taken)).join(keys, "key", "left_semi")
    # Each word of a record that could not be read may be a serial number: only those that have readings are told.
    (found,) = readings.agg(F.count_distinct("key").alias("keys"), F.collect_set("day").alias("days")).collect()
    return found["keys"], set(found["days"])


def days_in(rows: DataFrame, taken: str) -> dict[int, int]:
    """The days on which these rows' readings were taken, and how many on each."""
    return {row["day"]: row["count"] for row in rows.select(_day(taken)).groupBy("day").count().collect()}


def _day(taken: str) -> Column:
    return F.expr(f"`{taken}` div {DAY_MS} * {DAY_MS}").alias("day")


def in_spans(frame: DataFrame, taken: str | None, rows: int) -> list[DataFrame]:
    """The frame of so many rows, in spans of days where there are too many at once. Without days, nothing is joined."""
    if taken is None or rows <= MOST_AT_ONCE:
        return [frame]
    return [within(frame, taken, span) for span in spans(days_in(frame, taken), MOST_AT_ONCE)]


def _differing(then: DataFrame, now: DataFrame) -> DataFrame:
    """The keys of which two frames do not have the same row. Columns: key."""
    # exceptAll takes the embedded engine 10 to 30 times as long.
    both = then.withColumn("_times", F.lit(-1)).unionAll(now.select(*then.columns).withColumn("_times", F.lit(1)))
    differing = both.groupBy(*then.columns).agg(F.sum("_times").alias("_times")).where("_times <> 0")
    return differing.select(F.col(then.columns[0]).alias("key"))


def has_same_rows(inputs: Inputs, table: Table, served: Version, staged: Staged) -> bool:
    """Whether the staged version has the rows of the served one, in whatever order."""
    if staged.total != served.rows:
        return False
    session, lakehouse = inputs.spark.spark_session, inputs.lakehouse
    try:
        before = lakehouse.read(session, table, served.content)
    except LakehouseError:  # files of it are gone, which may be why it is made anew
        return False
    assert before is not None  # it is served
    # By value: hashes take a null for nothing, and a consent that moves to the next column for none at all.
    return not _differing(before[0], lakehouse.read_staged(session, staged, whole=True)).limit(1).count()
