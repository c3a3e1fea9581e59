"""The step that makes a feed's two tables: the records that were accepted, and those that were not.

Belongs here: what differs from other tables. It is made of landed files in place of tables; their text is parsed once,
for both; and files that the same code has read before are not read again. Does not belong here: parsing (`parse.py`),
syncing (`resources/files/`), or how tables are published (`pipeline/step.py`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from resources.errors import LakehouseError
from resources.files.folder import Folder
from resources.files.landing_zone import LandingZone, folder_at
from resources.files.manifest import LandedFile, SyncResult
from resources.iceberg.version import Staged, Version
from resources.lazy import LazyModule
from stedi_assets.contracts import FILE, REASON, RUN, TEXT, Feed
from stedi_assets.ingestion.parse import cut_records, parse, read_text
from stedi_assets.ingestion.stats import IngestStats, sentence_of, unknown_fields
from stedi_assets.pipeline.changes import Changes, days_in, in_spans, why_rebuilt
from stedi_assets.pipeline.checks import Facts, Numbers
from stedi_assets.pipeline.evaluation import Evaluation
from stedi_assets.pipeline.inputs import MAKE, Inputs, measured
from stedi_assets.pipeline.sources import Context, another_run, is_made_by
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
    return zone.lock(feed.name, lambda what: context.log.info(f"{name}: {what}"))


def landed_files(context: Context, zone: LandingZone, feed: Feed) -> SyncResult:
    """The feed's landed files; LakehouseError where it never was synced, or with another source."""
    landed, name = zone.landed(feed.name), feed.landing.name
    if not landed.synced:
        raise LakehouseError(
            f"{name} is needed, and was never materialized in {zone.root}. Make it first: {MAKE} '{name}'"
        )
    if landed.origin not in (None, zone.origin):
        if is_made_by(context, name):
            raise another_run(name, str(landed.origin), zone.origin)
        raise LakehouseError(
            f"{name} has the files of {landed.origin}, and STEDI_SOURCE is {zone.origin}. Set it to that, or make the "
            f"other first: {MAKE} '{name}'"
        )
    return landed


@dataclass(kw_only=True)
class FeedStep(Step):
    """`tables` are the feed's records and quarantine, in this order."""

    feed: Feed
    zone: LandingZone
    _quarantined: DataFrame | None = None
    _refused: str | None = None
    _gone: set[str] = field(default_factory=set)
    _fresh: list[LandedFile] = field(default_factory=list)
    _lines: DataFrame | None = None

    def run(self) -> Iterator[Found]:
        """Under the feed's lock."""
        with feed_lock(self.context, self.zone, self.feed):
            yield from super().run()

    def materialize(self) -> Iterator[Found]:
        """Publish what has changed; files that the same code has read before are not read again."""
        yield from super().materialize()
        self.zone.confirm_lock(self.feed.name)
        if self._refused is None:
            self._evidence.remove(file.name for file in self._evidence.files() if file.name == self._refused_name)
        if served := self.inputs.lakehouse.version(self.feed.records.name):
            self.zone.forget(self.feed.name, but=served.properties[FILES])

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
            table.name: self.evaluate_again(table, version) for table in self.tables if (version := served[table.name])
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
                data_version=dg.DataVersion(str(version.content)),
                check_results=found[table.name].selected(self.context),
            )

    def find_changes(self) -> dict[str, Changes]:
        """Which files are new, changed or gone since the tables were made. Either both are built upon, or none is."""
        self.zone.refuse_gone(self.feed.name, self.landed)
        changes = {table.name: self._files_changed(table) for table in self.tables}
        whole = next((one for one in changes.values() if one.onto is None), None)
        made_of = {one.onto.properties[FILES] for one in changes.values() if one.onto}
        if whole is None and len(made_of) > 1:
            whole = Changes("rebuilt: an earlier run ended between the feed's two tables")
        if whole:
            self._gone, self._fresh = set(), self.landed.files
        return dict.fromkeys(changes, whole) if whole else changes

    def _files_changed(self, table: LakehouseTable) -> Changes:
        served, why = self.served[table.name], self.whole(table)
        if why or served is None:
            return Changes(why or "made for the first time")
        if broken := why_rebuilt(self.inputs, table, served, self.made_by(table)):
            return Changes(broken)
        known = self.zone.remembered(self.feed.name, served.properties[FILES])
        if known is None:
            return Changes("rebuilt: which files it was made of is not known any more")
        now = {file.name: file.sha256 for file in self.landed.files}
        self._gone = {name for name, content in known.items() if now.get(name) != content}
        self._fresh = [file for file in self.landed.files if known.get(file.name) != file.sha256]
        if not self._gone and not self._fresh:
            return Changes("unchanged", onto=served)
        come = f"{len(self._fresh):,} of {len(now):,} files are new or changed"
        return Changes(f"{come}, {len(known.keys() - now.keys()):,} are gone", frozenset(), served)

    def frames(self, staged: ExitStack) -> dict[str, list[DataFrame]]:
        """Parse the text of the files once, where no reader looks; both tables are selected from that, and from what
        they have of files that stay.
        """
        session, lakehouse = self.inputs.spark.spark_session, self.inputs.lakehouse
        self.zone.remember(self.feed.name, self.landed)
        parsed = parse(self._text(self._fresh, staged), self.feed).withColumn(RUN.name, F.lit(self.context.run_id))
        columns = (*self.feed.records.columns, REASON, TEXT, RUN)
        scratch = staged.enter_context(
            lakehouse.stage([parsed], replace(self.feed.records, columns=columns, taken=None), self.context.run_id)
        )
        rows = lakehouse.read_staged(session, scratch)
        return {table.name: self._with_what_stays(table, table.function(rows), scratch.total) for table in self.tables}

    def _with_what_stays(self, table: LakehouseTable, fresh: DataFrame, rows: int) -> list[DataFrame]:
        """The rows of fresh files, and those of files that stay: of their days, or all where a table has no days."""
        name, taken, changes = table.name, table.contract.taken, self.changes[table.name]
        if changes.onto is None:
            return in_spans(fresh, taken, rows)
        if taken is None:
            self.changes[name] = Changes(changes.why)
            return [fresh.unionAll(self._of_files(name, stay=True))]
        days = {*days_in(fresh, taken), *(days_in(self._of_files(name, stay=False), taken) if self._gone else ())}
        why = f"{len(days):,} day{'' if len(days) == 1 else 's'}: {changes.why}"
        self.changes[name] = replace(changes, days=frozenset(days), why=why)
        return [fresh.unionAll(self._of_files(name, stay=True, days=days))] if days else []

    def _of_files(self, name: str, *, stay: bool, days: Collection[int] | None = None) -> DataFrame:
        """The served rows of files that stay, or of those that are gone."""
        rows = self.inputs.on(days).frame(name)
        if stay and not self._gone:
            return rows
        gone = self.inputs.spark.spark_session.createDataFrame([(one,) for one in self._gone], f"{FILE.name} string")
        return rows.join(gone, FILE.name, "left_anti" if stay else "left_semi").select(*rows.columns)

    def measure(self, staged: Mapping[str, Staged], block: ExitStack) -> dict[str, dict[str, Numbers]]:
        """What the checks measure; the records that were found before in files that stay are found in them still."""
        numbers = super().measure(staged, block)
        served = [self.inputs.lakehouse.version(table.name) for table in self.tables]
        if len(self._fresh) == len(self.landed.files) or None in served:  # nothing of what was found before stays
            return numbers
        before = IngestStats.of(measured(cast(Version, served[0]))["rows_reconciled"]).found
        went = sum(self._of_files(table.name, stay=False).count() for table in self.tables) if self._gone else 0
        return {
            table: {
                check: {**found, "found": found["found"] + before - went} if "found" in found else found
                for check, found in checks.items()
            }
            for table, checks in numbers.items()
        }

    def given(self, rows: Mapping[str, DataFrame], block: ExitStack) -> dict[str, DataFrame]:
        """Both tables under names that are the same for all feeds, and the text that they were parsed from."""
        records, self._quarantined = (rows[table.name] for table in self.tables)
        return {
            "records": records,
            "quarantine": self._quarantined,
            "text": cut_records(self._text(self.landed.files, block)),
        }

    def facts(self, inputs: Inputs, table: LakehouseTable, rows: int) -> Facts:
        """Nothing is known of the records before they are counted; a delivery that is refused is looked into."""
        return Facts(rows_published=rows, hint=self._hint)

    def source(self, table: LakehouseTable) -> str:
        """Where the feed comes from."""
        return self.zone.origin

    def upstream(self, table: LakehouseTable) -> list[str]:
        """The raw files."""
        return [self.feed.landing.name]

    def made_of(self) -> dict[str, str]:
        """Which files were read: nobody else has had the feed while they were."""
        self.zone.confirm_lock(self.feed.name)
        return {FILES: self.landed.fingerprint}

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
        return landed_files(self.context, self.zone, self.feed)

    def _text(self, files: Sequence[LandedFile], block: ExitStack) -> DataFrame:
        """The text of these files, unless some were read before in this step: then it is theirs."""
        if self._lines is None:
            readable = block.enter_context(self.zone.readable(self.feed.name, files))
            self._lines = read_text(self.inputs.spark, readable)
        return self._lines

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

    @cached_property
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
