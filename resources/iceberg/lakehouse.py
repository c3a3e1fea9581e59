"""New versions of Iceberg tables. Spark computes Parquet, PyIceberg publishes it.

Belongs here: staging a version as Parquet files that no reader can see, and publishing it by one atomic commit, or
discarding it. Does not belong here: which tables exist and what is in them, as callers give the columns; reading
(`tables.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from resources.engines.engine import analysing
from resources.errors import LakehouseError, engine_has_ended, translate_errors
from resources.iceberg.days import files_of, is_of, write
from resources.iceberg.moved import path_of
from resources.iceberg.retention import expire_most, merge_manifests, reachable, transaction_on
from resources.iceberg.staging import StagingDir
from resources.iceberg.tables import Tables, read_files
from resources.iceberg.version import Staged, TableSpec, Version

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table import Transaction
    from pyspark.sql import DataFrame, SparkSession

STAGED_IN = "stedi.staged-in"
"""Snapshot property: the folder whose files this version is made of."""

WHATEVER = -1
"""In place of a snapshot: rows that do not depend on which one is served."""


class Lakehouse(Tables):
    """Tables of which new versions are staged, and published or discarded."""

    def stage(
        self,
        frames: Iterable[DataFrame],
        table: TableSpec,
        run_id: str,
        days: Collection[int] | None = None,
        onto: int | None = WHATEVER,
    ) -> Staged:
        """Compute the frames one by one, and write them where no reader looks, in place of these days' rows, or of all.

        `onto` is the snapshot that is served when it is decided what the rows are; None: none. Where another one is
        by now, its rows may be newer than these.
        """
        from resources.iceberg.footers import read_footers

        with translate_errors(f"stage {table.name}", self.root):
            directory = self.staging_dir(table.name)
            base = self._published(table)
            snapshot = base.current_snapshot() if base else None
            if onto not in (WHATEVER, snapshot and snapshot.snapshot_id):
                raise self._another_run(table.name)
            retaining = "" if days is None else table.name
            served = files_of(base, snapshot, for_rows_of=retaining) if base and snapshot else []
            path = directory.open(run_id)
            try:
                for frame in frames:
                    with analysing(frame):
                        write(frame, path, table.taken)
                footers = read_footers(self.io, directory.data_files)
                retained = tuple(one for one in served if not is_of(one, days))
                replaced = tuple(one for one in served if is_of(one, days))
                return Staged(table, directory, base, footers, retained, replaced)
            except BaseException as error:
                directory.discard() if engine_has_ended(error) else directory.discard_at_exit()
                raise

    def clear_up(self, table: str) -> None:
        """Remove what crashed runs left of the table, before this run stages anything of it."""
        with translate_errors(f"clear up {table}", self.root):
            self.staging_dir(table).remove_leftovers(lambda: self._reachable(table))

    def _reachable(self, table: str) -> Collection[str]:
        loaded = self.load(table)
        return reachable(loaded) if loaded else ()

    def _published(self, table: TableSpec) -> IcebergTable | None:
        """The table that a version will replace, if it can be replaced."""
        from resources.iceberg.schema import FORMAT

        base = self.load(table.name)
        if base is not None and base.format_version != FORMAT:
            raise LakehouseError(
                f"{table.name} is of Iceberg's format version {base.format_version}, and only version {FORMAT} can be "
                f"published here. Drop it in the catalog, and materialize {table.name} again to make it anew."
            )
        return base

    def staging_dir(self, table: str) -> StagingDir:
        """A folder of the caller's own, to be opened, beside the published files of the table."""
        return StagingDir(self.io, self.uri(table))

    def read_staged(self, spark: SparkSession, staged: Staged, *, whole: bool = False) -> DataFrame:
        """The staged rows, or those of the whole version, for the checks."""
        retained = [path_of(one.file_path) for one in staged.retained] if whole else []
        return read_files(spark, staged.table, [*staged.files, *retained])

    def publish(self, staged: Staged, properties: Mapping[str, str]) -> Version:
        """Replace the days' rows by the staged ones in one commit. LakehouseError if another writer was faster.

        Where it is unknown whether the commit arrived, the files stay, and the next run knows.
        """
        name, directory = staged.table.name, staged.directory
        try:
            with translate_errors(f"publish {name}", self.root):
                version = self._commit(staged, {**properties, STAGED_IN: directory.name})
            directory.close()
            return version
        except LakehouseError:
            with suppress(LakehouseError):
                if arrived := self._published_from(staged):  # only its answer was lost
                    directory.close()
                    return arrived
            raise
        finally:
            directory.release()

    def _commit(self, staged: Staged, properties: dict[str, str]) -> Version:
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError, ValidationException

        name, now = staged.table.name, self._published(staged.table)
        staged.directory.confirm()
        if staged.directory.data_files != {footer.location: footer.size for footer in staged.footers}:
            raise LakehouseError(f"What was staged of {name} is gone or was changed. Materialize {name} again.")
        try:
            # Somebody may have changed more of it than rows, while those were computed: that is kept, or put right.
            if _served(now) != _served(staged.base):
                raise CommitFailedException
            transaction = self._transaction(now, staged.table)
            self._replace_files(transaction, staged, properties)
            published = transaction.commit_transaction()
        except (CommitFailedException, TableAlreadyExistsError, ValidationException):
            staged.directory.discard()
            raise self._another_run(name) from None
        snapshot = published.current_snapshot()
        assert snapshot is not None
        with suppress(LakehouseError), translate_errors(f"expire versions of {name}", self.root):
            expire_most(published)  # what is refused here, the next commit does
        return Version.of(snapshot)

    def _another_run(self, name: str) -> LakehouseError:
        return LakehouseError(
            f"Another run published {name} at the same time; this run's version was discarded. "
            f"Materialize {name} again.",
            retry=True,
        )

    def _published_from(self, staged: Staged) -> Version | None:
        history = self.history(staged.table.name)
        return next((one for one in history if one.properties.get(STAGED_IN) == staged.directory.name), None)

    def _transaction(self, base: IcebergTable | None, table: TableSpec) -> Transaction:
        from resources.iceberg.schema import evolve, iceberg_schema, partition_spec, table_properties

        if base is not None:
            transaction = transaction_on(base)
            evolve(transaction, table.columns, table.taken)
            return transaction
        schema = iceberg_schema(table.columns)
        return self.catalog.create_table_transaction(
            self.identifier(table.name),
            schema,
            location=self.uri(table.name),
            partition_spec=partition_spec(schema, table.taken),
            properties=table_properties(schema, table.columns),
        )

    def _replace_files(self, transaction: Transaction, staged: Staged, properties: dict[str, str]) -> None:
        from resources.iceberg.footers import data_files

        merge_manifests(transaction, self.io)
        new = data_files([one for one in staged.footers if one.metadata.num_rows], transaction.table_metadata)
        update = transaction.update_snapshot(snapshot_properties=properties)
        with update.overwrite(commit_uuid=staged.directory.commit) as overwrite:
            for file in staged.replaced:
                overwrite.delete_data_file(file)
            for file in new:
                overwrite.append_data_file(file)


def _served(table: IcebergTable | None) -> int | None:
    return table.metadata.current_snapshot_id if table else None
