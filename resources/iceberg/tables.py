"""Published Iceberg tables: looked up, read, and their history.

Belongs here: what readers see, and what the catalog and the manifests say of it without a look at a row. Does not
belong here: publishing (`lakehouse.py`), or which catalog there is, and where (`catalogs.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from pydantic import PrivateAttr

from resources.errors import LakehouseError, translate_errors
from resources.iceberg.days import changed_days, files_of, is_of, rows_by_day
from resources.iceberg.moved import path_of
from resources.iceberg.version import TableSpec, Version

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot
    from pyspark.sql import DataFrame, SparkSession


class Tables(dg.ConfigurableResource[Any], ABC):
    """Tables under `root`, in an Iceberg catalog, in the namespace `namespace`."""

    root: str
    namespace: str

    _catalog: Any = PrivateAttr(default=None)

    @abstractmethod
    def open_catalog(self) -> Catalog:
        """Open the Iceberg catalog; the namespace exists afterwards."""

    @abstractmethod
    def uri(self, table: str) -> str:
        """The location of the table's data and metadata, without a slash at its end."""

    @abstractmethod
    def look_up(self, table: str) -> IcebergTable:
        """What the catalog has under this name. LakehouseError where that is none of this lakehouse's tables."""

    @property
    def catalog(self) -> Catalog:
        """The Iceberg catalog; opened on first use."""
        if self._catalog is None:
            self._catalog = self.open_catalog()
        catalog: Catalog = self._catalog
        return catalog

    def identifier(self, table: str) -> str:
        """The table's full name."""
        return f"{self.namespace}.{table}"

    def load(self, table: str) -> IcebergTable | None:
        """The Iceberg table, or None where it was never published."""
        from pyiceberg.exceptions import NoSuchTableError

        with translate_errors(f"look up {table}", self.root):
            try:
                return self.look_up(table)
            except NoSuchTableError:
                return None

    def version(self, table: str, content: int | None = None) -> Version | None:
        """The version that readers see now, or that has this content; None where the table was never published."""
        loaded = self.load(table)
        if loaded is None or not loaded.metadata.snapshots:
            return None
        return Version.of(self._snapshot(loaded, table, content))

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Names and types of the columns of the published table, as its schema says; none where there is no table."""
        from resources.iceberg.schema import spark_columns

        loaded = self.load(table)
        return spark_columns(loaded.schema()) if loaded else []

    def history(self, table: str) -> list[Version]:
        """Every version of the table that its metadata knows, oldest first."""
        loaded = self.load(table)
        return [Version.of(snapshot) for snapshot in loaded.metadata.snapshots] if loaded else []

    def preview(self, table: str, snapshot_id: int, columns: Sequence[str], rows: int) -> list[dict[str, Any]]:
        """So many rows of that version, whichever come first, without an engine: on a cluster it takes longer."""
        loaded = self.load(table)
        if loaded is None:
            return []
        with translate_errors(f"read {table}", self.root):
            found = loaded.scan(selected_fields=tuple(columns), snapshot_id=snapshot_id, limit=rows).to_arrow()
        preview: list[dict[str, Any]] = found.select(list(columns)).to_pylist()
        return preview

    def read(
        self,
        spark: SparkSession,
        table: TableSpec,
        content: int | None = None,
        days: Collection[int] | None = None,
    ) -> tuple[DataFrame, Version] | None:
        """The published rows (of that content, or the newest; of these days, or all), and their version; None where
        there never was one. LakehouseError where the version is gone, or its files are, or its columns are others.
        """
        found = self.look_into(table, content, days)
        return found and (read_files(spark, table, found[0]), found[1])

    def look_into(
        self, table: TableSpec, content: int | None = None, days: Collection[int] | None = None
    ) -> tuple[list[str], Version] | None:
        """As `read`, but for the rows: the paths of their files."""
        loaded = self.load(table.name)
        if loaded is None or not loaded.metadata.snapshots:
            return None
        snapshot = self._snapshot(loaded, table.name, content)
        self._refuse_other_columns(loaded, snapshot, table)
        with translate_errors(f"read {table.name}", self.root):
            files = [one for one in files_of(loaded, snapshot, for_rows_of=table.name) if is_of(one, days)]
            # Engines may take a missing file for an empty one.
            if missing := sorted(self._missing(table.name, files)):
                raise LakehouseError(
                    f"{len(missing)} of {len(files)} data files of {table.name} are gone or damaged, "
                    f"{path_of(missing[0])} among them: something changed them behind the table's back. Materialize "
                    f"{table.name} again to make it anew."
                )
        return [path_of(one.file_path) for one in files], Version.of(snapshot)

    def _snapshot(self, loaded: IcebergTable, name: str, content: int | None) -> Snapshot:
        current = loaded.current_snapshot()
        snapshots = [current] if content is None else [current, *loaded.metadata.snapshots]
        for snapshot in snapshots:
            if snapshot and content in (None, Version.of(snapshot).content, snapshot.snapshot_id):
                return snapshot
        raise LakehouseError(f"{name} in {self.root} has no version {content} any more.")

    def _refuse_other_columns(self, loaded: IcebergTable, snapshot: Snapshot, table: TableSpec) -> None:
        from resources.iceberg.schema import has_columns

        schema = loaded.schema() if snapshot.schema_id is None else loaded.schemas()[snapshot.schema_id]
        if not has_columns(schema, table.columns):
            raise LakehouseError(
                f"{table.name} in {self.root} has other columns than this version of the project makes, it is from an "
                "earlier one. Materialize everything once."
            )

    def changed_days(self, table: str, since: int) -> set[int] | None:
        """The days whose rows may differ between the content `since` and the newest; None where nobody knows."""
        with translate_errors(f"look up {table}", self.root):
            loaded = self.load(table)
            return changed_days(loaded, since) if loaded else None

    def rows_by_day(self, table: str) -> Mapping[int, int]:
        """How many rows there are of each day, as the manifests say."""
        with translate_errors(f"look up {table}", self.root):
            loaded = self.load(table)
            snapshot = loaded.current_snapshot() if loaded else None
            return rows_by_day(loaded, snapshot) if loaded and snapshot else {}

    def _missing(self, table: str, wanted: Collection[DataFile]) -> set[str]:
        """Which files are not there as they were written: found by a question for each on this machine, and in S3 by
        listing all, as that takes much longer to answer.
        """
        from pyarrow.fs import FileSelector

        io = self.io
        scheme, host, folder = io.parse_location(f"{self.uri(table)}/data")
        paths = {one.file_path: io.parse_location(one.file_path)[2] for one in wanted}
        # One that another engine wrote may lie elsewhere.
        asked = [path for path in paths.values() if scheme == "file" or not path.startswith(f"{folder}/")]
        files = io.fs_by_scheme(scheme, host)
        found = files.get_file_info(FileSelector(folder, True, True)) if len(asked) < len(paths) else []
        there = {one.path: one.size for one in (*found, *files.get_file_info(asked)) if one.is_file}
        return {one.file_path for one in wanted if there.get(paths[one.file_path]) != one.file_size_in_bytes}

    @property
    def io(self) -> PyArrowFileIO:
        """Where the tables' files lie."""
        from pyiceberg.io import load_file_io

        return cast("PyArrowFileIO", load_file_io(self.catalog.properties))


def read_files(spark: SparkSession, table: TableSpec, paths: Iterable[str]) -> DataFrame:
    """Parquet files of a table as one frame; an empty one where there are none."""
    paths = list(paths)
    if paths:
        return spark.read.schema(spark_ddl(table)).parquet(*paths)
    # An engine is asked for a frame of rows when that is made, and for a range when it is computed.
    nothing = (f"CAST(NULLIF(id, 0) AS {column.type}) AS `{column.name}`" for column in table.columns)
    return spark.range(0).selectExpr(*nothing)


def spark_ddl(table: TableSpec) -> str:
    """The table's columns as a Spark schema string."""
    return ", ".join(f"`{column.name}` {column.type}" for column in table.columns)
