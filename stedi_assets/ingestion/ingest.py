"""The step that makes a feed's two tables: the records that were accepted, and those that were not.

Belongs here: what differs from other tables. It is made of landed files in place of tables; their text is parsed once,
for both; and files that the same code has read before are not read again. Does not belong here: parsing (`parse.py`),
syncing (`resources/files/`), or how tables are published (`pipeline/step.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from resources.errors import LakehouseError
from resources.files.folder import Folder
from resources.files.landing_zone import LandingZone, folder_at
from resources.files.manifest import SyncResult
from resources.iceberg.version import Version
from resources.lazy import LazyModule
from stedi_assets.contracts import FILE, REASON, RUN, TEXT, Feed
from stedi_assets.ingestion.parse import cut_records, parse, read_text
from stedi_assets.ingestion.stats import IngestStats, sentence_of, unknown_fields
from stedi_assets.pipeline.checks import (
    KEPT_ITS_ROWS,
    Evaluation,
    Facts,
    Numbers,
    evaluate,
    kept_its_rows,
)
from stedi_assets.pipeline.inputs import CODE, MAKE, MEASURED, RUN_ID, SOURCE, Inputs
from stedi_assets.pipeline.step import Found, Step
from stedi_assets.pipeline.table import LakehouseTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

MOST_SHOWN, LONGEST_SHOWN = 1_000, 10_000
"""How many refused records are saved to be looked at, and how many characters of each."""

FILES = "stedi.files"
"""Snapshot property: the fingerprint of the files that were read."""


def feed_lock(context: dg.AssetExecutionContext, zone: LandingZone, feed: Feed) -> AbstractContextManager[None]:
    """A block in which no other run syncs the feed or reads what is landed: what is said of files is what was read."""
    name = feed.landing.name
    return zone.lock(feed.name, lambda: context.log.info(f"{name}: waiting for another run that is at the same feed"))


def landed_files(zone: LandingZone, feed: Feed) -> SyncResult:
    """The feed's landed files; LakehouseError where it never was synced, or with another source."""
    landed, name = zone.landed(feed.name), feed.landing.name
    if not landed.synced:
        raise LakehouseError(
            f"{name} is needed, and was never materialized in {zone.root}. Make it first: {MAKE} '{name}'"
        )
    if landed.origin not in (None, zone.origin):
        raise LakehouseError(
            f"{name} has the files of {landed.origin}, and STEDI_SOURCE is {zone.origin}. Make it first: "
            f"{MAKE} '{name}'"
        )
    return landed


@dataclass(kw_only=True)
class FeedStep(Step):
    """`tables` are the feed's records and quarantine, in this order."""

    feed: Feed
    zone: LandingZone
    _quarantined: DataFrame | None = None
    _refused: str | None = None

    def run(self) -> Iterator[Found]:
        """Under the feed's lock."""
        with feed_lock(self.context, self.zone, self.feed):
            yield from super().run()

    def materialize(self) -> Iterator[Found]:
        """Publish what is new; files that the same code has read before are not read again."""
        yield from self._publish()
        if self._refused is None:
            self._evidence.remove(file.name for file in self._evidence.files() if file.name == self._refused_name)

    def _publish(self) -> Iterator[Found]:
        read_before = self._read_before()
        if read_before is None:
            yield from super().materialize()
            return
        self.context.log.info(f"{self.feed.records.name}: no file is new, changed or gone since it was made")
        evaluations = {table.name: self._evaluate_again(table, read_before[table.name]) for table in self.tables}
        if any(one.stops for one in evaluations.values()):
            yield from self.refuse(evaluations)
            return
        for table in self.selected_tables():
            yield self.report(table, read_before[table.name], evaluations[table.name])

    def check_published(self) -> dict[str, Evaluation]:
        """Check what readers see; LakehouseError where other files are landed than it was made of."""
        for table in self.tables:
            version = self.inputs.version(table.name)
            if version.properties.get(FILES) != self.landed.fingerprint:
                raise LakehouseError(
                    f"{table.name} cannot be checked: other files are landed than it was made of. Make it first: "
                    f"{MAKE} '{table.name}'"
                )
        return super().check_published()

    def refuse(self, evaluations: Mapping[str, Evaluation]) -> Iterator[Found]:
        """Let the tables be made that can be, of what is served of this feed: a consent that another feed brings must
        not wait until this one is mended. The check `delivery_accepted` fails the run. Where nothing is served, or only
        what today's limits refuse as well, the step fails.
        """
        served = {table.name: self.inputs.lakehouse.version(table.name) for table in self.tables}
        found = {
            table.name: self._evaluate_again(table, version) for table in self.tables if (version := served[table.name])
        }
        if None in served.values() or any(one.stops for one in found.values()):
            yield from super().refuse(evaluations)
        why = self.refusal(evaluations)
        self.context.log.error(why)
        for table in self.selected_tables():
            version = cast(Version, served[table.name])
            yield dg.MaterializeResult(
                asset_key=table.name,
                metadata={
                    "refused": why,
                    **self.where_to_look(),
                    "served since": dg.MetadataValue.timestamp(version.committed_ms / 1000),
                    "dagster/row_count": version.rows,
                    "snapshot id": str(version.snapshot_id),
                },
                data_version=dg.DataVersion(f"{version.properties.get(FILES)}-{version.properties.get(CODE)}"),
                check_results=found[table.name].selected(self.context),
            )

    def frames(self, staged: ExitStack) -> dict[str, DataFrame]:
        """Parse the text once, where no reader looks; both tables are selected from that."""
        session, lakehouse = self.inputs.spark.spark_session, self.inputs.lakehouse
        parsed = parse(self._text(), self.feed).withColumn(RUN.name, F.lit(self.context.run_id))
        columns = (*self.feed.records.columns, REASON, TEXT, RUN)
        scratch = staged.enter_context(
            lakehouse.stage(parsed, replace(self.feed.records, columns=columns), self.context.run_id)
        )
        rows = lakehouse.read_staged(session, scratch)
        return {table.name: table.function(rows) for table in self.tables}

    def given(self, rows: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
        """Both tables under names that are the same for all feeds, and the text that they were parsed from."""
        records, self._quarantined = (rows[table.name] for table in self.tables)
        return {"records": records, "quarantine": self._quarantined, "text": cut_records(self._text())}

    def facts(self, inputs: Inputs, table: LakehouseTable, rows: int) -> Facts:
        """Nothing is known of the records before they are counted; a delivery that is refused is looked into."""
        return Facts(rows_published=rows, hint=self._hint)

    def source(self, table: LakehouseTable) -> str:
        """Where the feed comes from."""
        return self.zone.origin

    def upstream(self, table: LakehouseTable) -> list[str]:
        """The raw files."""
        return [self.feed.landing.name]

    def origin(self, table: LakehouseTable, evaluation: Evaluation) -> dict[str, str]:
        """Where the table's new version comes from, as its commit records it."""
        return {
            RUN_ID: self.context.run_id,
            **self._made_of(table),
            MEASURED: json.dumps(evaluation.numbers),
        }

    def data_version(self, table: LakehouseTable) -> dg.DataVersion:
        """What downstream tables read depends on the files, and on how they are read."""
        return dg.DataVersion(f"{self.landed.fingerprint}-{table.code_version(self.inputs.options)}")

    def numbers(self, table: LakehouseTable, evaluation: Evaluation) -> dict[str, Any]:
        """What the delivery held."""
        stats = IngestStats.of(evaluation.numbers["rows_reconciled"])
        times = {"first reading": stats.first, "last reading": stats.last}
        return {
            "records found": stats.found,
            "records quarantined": stats.quarantined,
            **{name: dg.MetadataValue.timestamp(at / 1000) for name, at in times.items() if at is not None},
        }

    @cached_property
    def landed(self) -> SyncResult:
        """The landed files."""
        return landed_files(self.zone, self.feed)

    def _text(self) -> DataFrame:
        return read_text(self.inputs.spark, self.zone.readable(self.feed.name, self.landed))

    def _made_of(self, table: LakehouseTable) -> dict[str, str]:
        return {
            FILES: self.landed.fingerprint,
            CODE: table.code_version(self.inputs.options),
            SOURCE: self.zone.origin,
        }

    def _read_before(self) -> dict[str, Version] | None:
        """The published versions, if they are what would be made now, and their files are there."""
        versions = {}
        for table in self.tables:
            version = self.inputs.lakehouse.version(table.name)
            if version is None or not self._made_of(table).items() <= version.properties.items():
                return None
            if not {check.name for check in table.checks} <= json.loads(version.properties.get(MEASURED, "{}")).keys():
                return None
            versions[table.name] = version
        _ = self.inputs.spark.spark_session  # an engine that does not start says nothing about the files
        try:
            for name in versions:
                self.inputs.frame(name)
        except LakehouseError as error:
            if error.allow_retries:
                raise
            return None  # what was read is damaged: read it again
        return versions

    def _evaluate_again(self, table: LakehouseTable, version: Version) -> Evaluation:
        """What was measured of the version, evaluated by today's limits; a check that is newer finds nothing there."""
        evaluation = evaluate(table.contract, [(column.name, column.type) for column in table.contract.columns])
        numbers: dict[str, Numbers] = json.loads(version.properties.get(MEASURED, "{}"))
        known = [check for check in table.checks if check.name in numbers]
        evaluation.add_all(known, table.name, numbers, self.facts(self.inputs, table, version.rows))
        if not table.contract.of_rejects:
            evaluation.add(KEPT_ITS_ROWS, table.name, kept_its_rows(version.rows, version.rows, version.rows, 1))
        return evaluation

    def where_to_look(self) -> dict[str, Any]:
        """The records that were not accepted, where that is why nothing was published."""
        return {"refused records": dg.MetadataValue.path(self._refused)} if self._refused else {}

    def _keep_refused(self) -> str | None:
        """Save records that were not accepted: their table is not published. The answer is the file's path."""
        if self._quarantined is None or not self.context.selected_asset_keys:  # they are in the table that is served
            return None
        some = self._quarantined.select(FILE.name, REASON.name, F.substring(TEXT.name, 1, LONGEST_SHOWN).alias("text"))
        rows = [row.asDict() for row in some.limit(MOST_SHOWN).collect()]
        with suppress(OSError), self._evidence.create(self._refused_name) as out:
            out.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
            self._refused = self._evidence.path(self._refused_name)
        return self._refused

    @property
    def _evidence(self) -> Folder:
        return folder_at(self.zone.root).below("evidence")

    @property
    def _refused_name(self) -> str:
        return f"{self.feed.name}_refused.jsonl"

    def _hint(self, numbers: Numbers) -> str:
        """Where to look for what changed in the feed. Only a delivery that is refused is searched for it."""
        stats, unknown = IngestStats.of(numbers), unknown_fields(self.landed, self.feed)
        reason, _ = stats.by_frequency[0]
        quarantined = self._quarantined or self.inputs.frame(self.feed.quarantine.name)
        example = quarantined.where(F.col(REASON.name) == reason).select(FILE.name).first()
        hint = f" In {example[0]}, for example, {reason}." if example else ""
        hint += f" Fields that the feed has not had so far: {sentence_of(unknown)}." if unknown else ""
        hint += f" Those records: {where}." if (where := self._keep_refused()) else ""
        return (
            f"{hint} Mend the files in {self.zone.source} and run again, or allow more with STEDI_QUARANTINE_LIMIT. To "
            f"take back a file that the source has no more, remove it from {self.zone.uri(self.feed.name)} too."
        )
