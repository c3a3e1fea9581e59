"""Iceberg tables: read, stage, publish, history. Spark computes Parquet, PyIceberg publishes it.

Belongs here: everything that knows the catalog and where a table's files lie. A table's new version is staged as
Parquet files that no reader can see, and published by one atomic commit, or discarded.
Does not belong here: which tables exist and what is in them; callers bring the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlparse

import dagster as dg
from pydantic import PrivateAttr

from resources.staging import StagingArea

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table import Transaction
    from pyiceberg.table.snapshots import Snapshot
    from pyspark.sql import DataFrame, SparkSession

STAGED_IN = "stedi.staged-in"
"""Snapshot property: the folder whose files this version is made of."""


class ColumnSpec(Protocol):
    """What the lakehouse needs to know of a column."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def type(self) -> str: ...  # noqa: D102

    @property
    def meaning(self) -> str: ...  # noqa: D102


class TableSpec(Protocol):
    """What the lakehouse needs to know of a table."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def columns(self) -> Sequence[ColumnSpec]: ...  # noqa: D102


class LakehouseError(dg.Failure):
    """A table cannot be read or published. Retrying does not help; the sentence says what does."""

    def __init__(self, sentence: str) -> None:
        super().__init__(description=sentence, allow_retries=False)


class NotPublishedError(LakehouseError):
    """The table was never published."""


@dataclass(frozen=True)
class Staged:
    """A version of a table that is written and not published: its folder, data files and their footers' facts.

    `base` is the published table that it will replace: if somebody publishes meanwhile, the commit is refused.
    """

    table: TableSpec
    area: StagingArea
    base: IcebergTable | None
    files: tuple[str, ...]
    rows: int
    schema: pa.Schema | None

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Names and types of the columns as written; the promised ones where nothing was written."""
        if self.schema is None:
            return [(column.name, column.type) for column in self.table.columns]
        return [(field.name, _spark_type(str(field.type))) for field in self.schema]


@dataclass(frozen=True)
class Version:
    """A published version of a table, as its commit describes it. `size` is in bytes."""

    snapshot_id: int
    rows: int
    size: int
    files: int
    committed_ms: int
    properties: Mapping[str, str]


class Lakehouse(dg.ConfigurableResource[Any]):
    """Tables under `root`, in a SQLite catalog named `stedi`, in the namespace `namespace`."""

    root: str
    namespace: str

    _catalog: Any = PrivateAttr(default=None)

    @property
    def catalog(self) -> SqlCatalog:
        """The Iceberg catalog; opened on first use."""
        if self._catalog is None:
            from pyiceberg.catalog.sql import SqlCatalog
            from sqlalchemy import URL

            root = Path(self.root)
            root.mkdir(parents=True, exist_ok=True)
            database = URL.create("sqlite", database=str(root / "catalog.db"))
            self._catalog = SqlCatalog("stedi", uri=database.render_as_string(), warehouse=_uri(root))
            self._catalog.create_namespace_if_not_exists(self.namespace)
        catalog: SqlCatalog = self._catalog
        return catalog

    def identifier(self, table: str) -> str:
        """The table's full name."""
        return f"{self.namespace}.{table}"

    def location(self, table: str) -> Path:
        """The folder that holds the table's data and metadata."""
        return Path(self.root) / self.namespace / table

    def uri(self, table: str) -> str:
        """The table's location."""
        return _uri(self.location(table))

    def load(self, table: str) -> IcebergTable | None:
        """The Iceberg table, or None where it was never published."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self.catalog.load_table(self.identifier(table))
        except NoSuchTableError:
            return None

    def version(self, table: str) -> Version | None:
        """The version that readers see now, or None where the table was never published."""
        loaded = self.load(table)
        snapshot = loaded.current_snapshot() if loaded else None
        return _version(snapshot) if snapshot else None

    def history(self, table: str) -> list[Version]:
        """Every version of the table that its metadata knows, oldest first."""
        loaded = self.load(table)
        return [_version(snapshot) for snapshot in loaded.metadata.snapshots] if loaded else []

    def read(self, spark: SparkSession, table: TableSpec, snapshot_id: int | None = None) -> tuple[DataFrame, Version]:
        """The published rows (of that snapshot, or the newest), and the version they belong to."""
        loaded = self.load(table.name)
        if loaded is None or not loaded.metadata.snapshots:
            raise NotPublishedError(f"{table.name} has never been published in {self.root}.")
        snapshot = loaded.snapshot_by_id(snapshot_id) if snapshot_id else loaded.current_snapshot()
        if snapshot is None:
            raise LakehouseError(f"{table.name} in {self.root} has no version {snapshot_id} any more.")
        paths = []
        for task in loaded.scan(snapshot_id=snapshot.snapshot_id).plan_files():
            if task.delete_files:
                raise LakehouseError(
                    f"{table.name} carries row deletes, written by another engine: reading its files would bring "
                    f"the deleted rows back. Rewrite the table there, or materialize {table.name} again."
                )
            paths.append(_path(task.file.file_path))
        # Engines may take a missing file for an empty one.
        if missing := [path for path in paths if not Path(path).is_file()]:
            raise LakehouseError(
                f"{len(missing)} of {len(paths)} data files of {table.name} are gone, {missing[0]} among them: "
                f"something removed them behind the table's back. Materialize {table.name} again to make it anew."
            )
        return read_files(spark, table, paths), _version(snapshot)

    def stage(self, frame: DataFrame, table: TableSpec, run_id: str) -> Staged:
        """Compute the frame and write it where no reader looks. First remove what crashed runs left behind."""
        area = StagingArea(self.location(table.name) / "data")
        area.remove_leftovers(lambda: {one.properties.get(STAGED_IN, "") for one in self.history(table.name)})
        base = self.load(table.name)
        folder = area.open(run_id)
        try:
            frame.write.parquet(str(folder))
            return _staged(table, area, base)
        except BaseException:
            area.discard()
            raise

    def read_staged(self, spark: SparkSession, staged: Staged) -> DataFrame:
        """The staged rows, for the audits."""
        return read_files(spark, staged.table, staged.files)

    def publish(self, staged: Staged, properties: Mapping[str, str]) -> Version:
        """Replace the table's rows by the staged ones in one commit. LakehouseError if another writer was faster."""
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError, ValidationException

        try:
            transaction = self._transaction(staged.base, staged.table)
            self._replace_files(transaction, staged, {**properties, STAGED_IN: staged.area.name})
            snapshot = transaction.commit_transaction().current_snapshot()
        except (CommitFailedException, TableAlreadyExistsError, ValidationException) as error:
            staged.area.discard()
            raise LakehouseError(
                f"Another run published {staged.table.name} at the same time; this run's version was discarded. "
                f"Materialize {staged.table.name} again."
            ) from error
        finally:
            staged.area.close()
        assert snapshot is not None
        return _version(snapshot)

    def _transaction(self, base: IcebergTable | None, table: TableSpec) -> Transaction:
        from resources.iceberg_schema import NAME_MAPPING, evolve, iceberg_schema, name_mapping

        if base is not None:
            transaction = base.transaction()
            evolve(transaction, base.schema(), table.columns)
            return transaction
        schema = iceberg_schema(table.columns)
        return self.catalog.create_table_transaction(
            self.identifier(table.name),
            schema,
            location=self.uri(table.name),
            # A refused commit is not tried again: it would replace a version that it was not made from.
            properties={"format-version": "2", "commit.retry.num-retries": "0", NAME_MAPPING: name_mapping(schema)},
        )

    def _replace_files(self, transaction: Transaction, staged: Staged, properties: dict[str, str]) -> None:
        from pyiceberg.io.pyarrow import parquet_files_to_data_files

        new = parquet_files_to_data_files(
            transaction._table.io,
            transaction.table_metadata,
            iter([_uri(Path(file)) for file in staged.files]),
        )
        with transaction.update_snapshot(snapshot_properties=properties).overwrite() as overwrite:
            for task in staged.base.scan().plan_files() if staged.base is not None else ():
                overwrite.delete_data_file(task.file)
            for file in new:
                overwrite.append_data_file(file)


def read_files(spark: SparkSession, table: TableSpec, paths: Iterable[str]) -> DataFrame:
    """Parquet files of a table as one frame; an empty one where there are none."""
    paths = list(paths)
    ddl = spark_ddl(table)
    return spark.read.schema(ddl).parquet(*paths) if paths else spark.createDataFrame([], ddl)


def spark_ddl(table: TableSpec) -> str:
    """The table's columns as a Spark schema string."""
    return ", ".join(f"`{column.name}` {column.type}" for column in table.columns)


def _staged(table: TableSpec, area: StagingArea, base: IcebergTable | None) -> Staged:
    import pyarrow.parquet as pq

    footers = {str(path): pq.ParquetFile(path) for path in area.data_files()}
    full = {path: footer for path, footer in footers.items() if footer.metadata.num_rows}
    schema = next((footer.schema_arrow for footer in footers.values()), None)
    return Staged(table, area, base, tuple(full), sum(footer.metadata.num_rows for footer in full.values()), schema)


def _version(snapshot: Snapshot) -> Version:
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    return Version(
        snapshot_id=snapshot.snapshot_id,
        rows=int(summary.get("total-records", 0)),
        size=int(summary.get("total-files-size", 0)),
        files=int(summary.get("total-data-files", 0)),
        committed_ms=snapshot.timestamp_ms,
        properties=dict(summary),
    )


def _uri(path: Path) -> str:
    # Iceberg's readers take a location as it is written: they decode no `%20`, so none must be in it.
    return f"file://{path}"


def _path(uri: str) -> str:
    return urlparse(uri).path if uri.startswith("file:") else uri


def _spark_type(arrow_type: str) -> str:
    return {"int64": "bigint", "double": "double"}.get(arrow_type, "string" if "string" in arrow_type else arrow_type)
