"""Taking a delivery: bring the files, read their records once, judge them, publish them or not.

Belongs here: the order of these steps for one feed in one run. Does not belong here: each step itself
(`resources/files/landing_zone.py`, `reader.py`, `delivery.py`, `publishing.py`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone
from resources.files.manifest import SyncResult
from resources.lazy import LazyModule
from resources.query import Query
from resources.settings import Settings
from stedi_assets.contracts import QUARANTINE_REASON, Feed
from stedi_assets.ingestion import delivery
from stedi_assets.ingestion import parse as reader
from stedi_assets.ingestion.delivery import Delivery
from stedi_assets.pipeline import report
from stedi_assets.pipeline.publish import (
    ACCEPTED,
    CODE,
    SOURCE,
    Outcome,
    Stopwatch,
    Tables,
    provenance,
    publish_or_discard,
    refuse_if_broken,
)
from stedi_assets.rules import Consent

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
else:
    F = LazyModule("pyspark.sql.functions")

FILES = "stedi.files"
DELIVERY = "stedi.delivery"
DDL = Path(__file__).parents[2] / "sql"


@dataclass
class Intake:
    """One feed's delivery in one step."""

    feed: Feed
    settings: Settings
    code_version: str
    tables: Tables
    zone: LandingZone
    query: Query

    def take_delivery(self, context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Publish what is new; files that the same code has read before are not read again."""
        # Until the records are published: what is said of the files must be what was read of them.
        with self._alone(context):
            yield from self._take_delivery(context)

    def _take_delivery(self, context: dg.AssetExecutionContext) -> Iterator[Any]:
        watch = Stopwatch()
        landing = self.zone.sync(self.feed.name)
        if landing.dropped:
            context.log.warning(
                f"{self.feed.landing.name}: the source is now {self.zone.source}; {len(landing.dropped)} files of "
                "the source before were removed from the landing zone"
            )
        if landing.unreadable:
            context.log.warning(
                f"{self.feed.landing.name}: not everything was brought: {delivery.refused(landing.unreadable)}. What "
                "was landed before is kept; the next run tries again"
            )
        watch.lap("landing")
        read_before = self._read_before(landing)
        self._ensure_external_table(context)
        if read_before is None:
            delivered = yield from self._read_and_publish(context, landing, watch)
        else:
            delivered = read_before
            outcome = self._judge(landing, delivered, self.tables.frame(self.feed.records.name))
            yield from outcome.for_dagster(context)
            refuse_if_broken(outcome, self.feed.landing.name, served=True)
        context.log.info(
            f"{self.feed.landing.name}: {len(landing.files)} files ({len(landing.new)} new, {len(landing.replaced)} "
            f"replaced), {delivered.accepted:,} records accepted, {delivered.quarantined:,} quarantined"
        )
        # What downstream tables read depends on the files, and on how they are read.
        data_version = f"{landing.fingerprint}-{self.code_version}"
        shown = report.shown_before(context, self.feed.landing, data_version) if read_before else None
        if shown is None:
            shown = {"preview": report.preview(self.feed.landing, self._accepted())}
        watch.lap("report")
        yield dg.MaterializeResult(
            asset_key=self.feed.landing.name,
            data_version=dg.DataVersion(data_version),
            metadata={**self._numbers(landing, delivered), **shown, **watch.seconds},
        )

    def audit_published(self, context: dg.AssetExecutionContext) -> Outcome:
        """Audit the landing zone as it is, and the records that downstream tables read."""
        with self._alone(context):
            landing = self.zone.landed(self.feed.name)
            records = self.tables.frame(self.feed.records.name)
            return self._judge(landing, delivery.count(self.feed, records, self._found(landing)), records)

    def _alone(self, context: dg.AssetExecutionContext) -> AbstractContextManager[None]:
        name = self.feed.landing.name
        return self.zone.lock(
            self.feed.name, lambda: context.log.info(f"{name}: waiting for another run that is at the same feed")
        )

    def _accepted(self) -> list[dict[str, Any]]:
        name, columns = self.feed.records.name, self.feed.records.column_names
        rows = self.tables.lakehouse.preview(name, self.tables.version(name).snapshot_id, columns, 1000)
        return [row for row in rows if row[QUARANTINE_REASON.name] is None][: report.PREVIEW_ROWS]

    def _ensure_external_table(self, context: dg.AssetExecutionContext) -> None:
        """Let people query the raw files, also those of a delivery that will not be accepted."""
        name = self.feed.landing.name
        done = self.query.ensure_table(name, (DDL / f"{name}.sql").read_text(), self.zone.uri(self.feed.name))
        if done:
            context.log.info(done)

    def _read_before(self, landing: SyncResult) -> Delivery | None:
        version = self.tables.lakehouse.version(self.feed.records.name)
        if version is None:
            return None
        read = tuple(map(version.properties.get, (FILES, CODE, SOURCE)))
        if read != (landing.fingerprint, self.code_version, self.zone.source):
            return None
        try:
            self.tables.frame(self.feed.records.name)
        except LakehouseError:  # what was read is damaged: read it again
            return None
        return Delivery.load(version.properties[DELIVERY])

    def _read_and_publish(
        self, context: dg.AssetExecutionContext, landing: SyncResult, watch: Stopwatch
    ) -> Generator[dg.AssetCheckResult, None, Delivery]:
        lakehouse, session = self.tables.lakehouse, self.tables.spark.spark_session
        lines = reader.read_text(session, self.zone.readable(self.feed.name, landing))
        records = reader.type_records(reader.cut_records(lines), self.feed, context.run_id)
        with lakehouse.stage(records, self.feed.records, context.run_id) as staged:
            watch.lap("compute")
            read = lakehouse.read_staged(session, staged)
            delivered = delivery.count(self.feed, read, self._found(landing))
            outcome = self._judge(landing, delivered, read)
            watch.lap("audit")
            yield from outcome.for_dagster(context)
            origin = provenance(context.run_id, self.code_version, Consent(self.settings.consent), self.zone.source, {})
            facts = {
                FILES: landing.fingerprint,
                ACCEPTED: str(delivered.accepted),
                DELIVERY: delivered.dump(),
            }
            publish_or_discard(lakehouse, staged, outcome, self.feed.landing.name, {**origin, **facts})
            watch.lap("publish")
        return delivered

    def _found(self, landing: SyncResult) -> int:
        lines = reader.read_text(self.tables.spark.spark_session, self.zone.readable(self.feed.name, landing))
        return reader.cut_records(lines).count()

    def _file_with(self, landing: SyncResult, text: str) -> str | None:
        texts = self.zone.readable(self.feed.name, landing)
        lines = reader.read_text(self.tables.spark.spark_session, texts)
        row = lines.where(F.contains("value", F.lit(text))).first()
        return str(row["file"]) if row else None

    def _judge(self, landing: SyncResult, delivered: Delivery, records: DataFrame) -> Outcome:
        outcome, asset, limit = Outcome(), self.feed.landing.name, self.settings.quarantine_limit
        outcome.add(delivery.RECORDS_BALANCE, asset, delivery.judge_balance(delivered))
        outcome.add(delivery.ACCEPTED_ARE_SOUND, asset, delivery.judge_accepted(delivered))
        hint = self._hint(landing, delivered, records) if delivery.share(delivered) > limit else ""
        outcome.add(delivery.QUARANTINE_WITHIN_LIMIT, asset, delivery.judge_limit(delivered, limit, hint))
        outcome.add(delivery.FILES_AS_EXPECTED, asset, delivery.judge_files(landing, self.feed))
        return outcome

    def _hint(self, landing: SyncResult, delivered: Delivery, records: DataFrame) -> str:
        """Where to look for what changed in the feed. Only a delivery that is refused is searched for it."""
        reason, text = delivery.example(delivered, records) or ("", "")
        file = self._file_with(landing, text) if text else None
        unknown = delivery.unknown_fields(landing, self.feed)
        hint = f" In {file}, for example, {reason}." if file else ""
        if file in landing.retained:
            hint += f" The source has it no more: to take it back, remove it from {self.zone.uri(self.feed.name)} too."
        hint += f" Fields that the feed has not had so far: {delivery.told(unknown)}." if unknown else ""
        return f"{hint} Mend the files in {self.zone.source} and run again, or allow more with STEDI_QUARANTINE_LIMIT."

    def _numbers(self, landing: SyncResult, delivered: Delivery) -> dict[str, Any]:
        times = {"first reading": delivered.first, "last reading": delivered.last}
        return {
            "dagster/row_count": delivered.accepted,
            "files": len(landing.files),
            "size (bytes)": landing.size,
            "files new": len(landing.new),
            "files unchanged": len(landing.unchanged),
            "files replaced": len(landing.replaced),
            "files delivered twice": len(landing.duplicates),
            "records found": delivered.found,
            "records quarantined": delivered.quarantined,
            **self.tables.spark.metadata,
            **{
                name: dg.MetadataValue.timestamp(datetime.fromtimestamp(at / 1000, UTC))
                for name, at in times.items()
                if at is not None
            },
        }
