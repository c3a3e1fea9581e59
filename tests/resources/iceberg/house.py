"""A lakehouse to test with, on this machine or on AWS, and all that can happen to it from outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from resources.iceberg.catalogs import GlueLakehouse, LocalLakehouse
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Staged, Version
from tests.servers import REGION
from tests.servers.ministack import Aws

if TYPE_CHECKING:
    import pytest
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    meaning: str = ""
    personal: bool = False


@dataclass(frozen=True)
class Table:
    """All that the lakehouse needs to know of a table."""

    name: str
    columns: tuple[Column, ...]
    taken: str | None = None


USER, STEPS, SPEED = Column("user", "string", "Whose"), Column("steps", "bigint", "How many"), Column("speed", "double")
AT = Column("at", "bigint", "When")
WALKS = Table("walks", (USER, STEPS))
WIDE = Table("walks", (USER, STEPS, SPEED))
STRIDES = Table("walks", (USER, AT), taken="at")
ANN, BOB, EVE = ("ann", 1), ("bob", 2), ("eve", None)
Row = tuple[Any, ...]


def arrow_rows(table: pa.Table) -> list[Row]:
    """The rows of a table that another reader of Iceberg has read, sorted."""
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)


@dataclass
class House(ABC):
    """A lakehouse with the table `walks`, and the engine that fills it. Commits are caught in the doors of each."""

    spark: SparkSession

    @property
    @abstractmethod
    def lakehouse(self) -> Lakehouse:
        """Another process's view of it: nothing is shared but the files and the catalog."""

    @property
    @abstractmethod
    def iceberg(self) -> IcebergTable:
        """The table as any other Iceberg reader opens it: from the catalog alone."""

    @property
    @abstractmethod
    def paths(self) -> set[str]:
        """Every file of the table, hidden ones too, by its path below the table's location."""

    @abstractmethod
    def write(self, path: str, content: bytes = b"") -> None:
        """Put a file there, past the lakehouse."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, past the lakehouse."""

    @abstractmethod
    def lose_the_table(self) -> None:
        """Let the catalog know nothing of the table any more."""

    @abstractmethod
    def just_before_a_commit(self, lakehouse: Any, do: Callable[[], Any], patch: pytest.MonkeyPatch) -> None:
        """Do this, once, between that lakehouse's last look at the catalog and its commit."""

    @abstractmethod
    def break_the_connection(self, lakehouse: Any, patch: pytest.MonkeyPatch, *, arrives: bool, again: bool) -> None:
        """That one's next commit arrives or not, its answer is an error; then nothing works, or all does `again`."""

    @property
    def folders(self) -> set[str]:
        """The folders of data files, published or not, and notes beside them."""
        return {path.split("/")[1] for path in self.paths if path.startswith("data/")}

    @property
    def strays(self) -> set[str]:
        """Files in the catalog's own folder that no version of the table needs."""
        table = self.iceberg
        needed = {entry.metadata_file for entry in table.metadata.metadata_log} | {table.metadata_location}
        for snapshot in table.metadata.snapshots:
            needed |= {snapshot.manifest_list, *(one.manifest_path for one in snapshot.manifests(table.io))}
        there = {path.split("/")[1] for path in self.paths if path.startswith("metadata/")}
        return there - {path.rpartition("/")[2] for path in needed}

    def frame(self, *rows: Row, table: Table = WALKS) -> DataFrame:
        ddl = ", ".join(f"{column.name} {column.type}" for column in table.columns)
        return self.spark.createDataFrame(list(rows), ddl)

    def stage(self, *rows: Row, table: Table = WALKS, lakehouse: Lakehouse | None = None) -> Staged:
        return (lakehouse or self.lakehouse).stage([self.frame(*rows, table=table)], table, "run")

    def publish(self, *rows: Row, table: Table = WALKS) -> Version:
        with self.stage(*rows, table=table) as staged:
            return self.lakehouse.publish(staged, {"stedi.run-id": "r1"})

    def replace(self, days: set[int], *rows: Row, onto: int, **properties: str) -> Version:
        """Publish these rows of `STRIDES` in place of these days'."""
        lakehouse = self.lakehouse
        with lakehouse.stage([self.frame(*rows, table=STRIDES)] if rows else [], STRIDES, "run", days, onto) as staged:
            return lakehouse.publish(staged, properties)

    def clear_up(self) -> None:
        """What every run does of each of its tables before anything else."""
        self.lakehouse.clear_up("walks")

    def rows(self, table: Table = WALKS, snapshot_id: int | None = None) -> list[Row]:
        found = self.lakehouse.read(self.spark, table, snapshot_id)
        assert found is not None
        return sorted((tuple(row) for row in found[0].collect()), key=repr)

    def everybody_reads(self, rows: list[Row]) -> bool:
        """Whether the engine and another reader of Iceberg both find these rows."""
        return self.rows() == arrow_rows(self.iceberg.scan().to_arrow()) == rows


@dataclass
class LocalHouse(House):
    """In a folder, with its catalog in SQLite."""

    root: Path

    @property
    def lakehouse(self) -> LocalLakehouse:
        return LocalLakehouse(root=str(self.root), namespace="stedi")

    @property
    def table(self) -> Path:
        return self.root / "stedi" / "walks"

    @property
    def iceberg(self) -> IcebergTable:
        from pyiceberg.catalog.sql import SqlCatalog

        return SqlCatalog("stedi", uri=f"sqlite:///{self.root}/catalog.db").load_table("stedi.walks")

    @property
    def paths(self) -> set[str]:
        return {str(path.relative_to(self.table)) for path in self.table.rglob("*") if path.is_file()}

    def write(self, path: str, content: bytes = b"") -> None:
        (self.table / path).parent.mkdir(parents=True, exist_ok=True)
        (self.table / path).write_bytes(content)

    def remove(self, path: str) -> None:
        (self.table / path).unlink()

    def lose_the_table(self) -> None:
        (self.root / "catalog.db").rename(self.root / "kept.db")

    def just_before_a_commit(self, lakehouse: Any, do: Callable[[], Any], patch: pytest.MonkeyPatch) -> None:
        write = lakehouse.catalog._write_metadata

        def meanwhile(*arguments: Any, **options: Any) -> None:
            write(*arguments, **options)
            do()

        patch.setattr(lakehouse.catalog, "_write_metadata", meanwhile)

    def break_the_connection(self, lakehouse: Any, patch: pytest.MonkeyPatch, *, arrives: bool, again: bool) -> None:
        from sqlalchemy.exc import OperationalError
        from sqlalchemy.orm import Session

        assert lakehouse.catalog  # it is open
        commit, scalar, broken = Session.commit, Session.scalar, list[bool]()

        def send(session: Session) -> None:
            if arrives:
                commit(session)
            broken.append(True)
            raise OperationalError("COMMIT", None, Exception("disk I/O error"))

        def ask(session: Session, *arguments: Any, **options: Any) -> Any:
            if broken and not again:
                raise OperationalError("SELECT", None, Exception("disk I/O error"))
            return scalar(session, *arguments, **options)

        patch.setattr(Session, "commit", send)
        patch.setattr(Session, "scalar", ask)  # how a table is looked up


@dataclass
class GlueHouse(House):
    """In a bucket, with its catalog in Glue."""

    aws: Aws
    bucket: str = field(init=False)
    database: str = field(init=False)

    def __post_init__(self) -> None:
        self.bucket, self.database = self.aws.new_bucket(), self.aws.new_database()

    @property
    def lakehouse(self) -> GlueLakehouse:
        return GlueLakehouse(root=f"s3://{self.bucket}/prod", namespace=self.database)

    @property
    def key(self) -> str:
        return f"prod/{self.database}/walks"

    @property
    def iceberg(self) -> IcebergTable:
        from pyiceberg.catalog import load_catalog

        place = {"s3.endpoint": self.aws.endpoint, "glue.endpoint": self.aws.endpoint, "client.region": REGION}
        return load_catalog("any", type="glue", **place).load_table(f"{self.database}.walks")

    @property
    def keys(self) -> set[str]:
        """Every object of the bucket, also the empty ones that mark a folder."""
        listing = self.aws.client("s3").list_objects_v2(Bucket=self.bucket)
        return {entry["Key"] for entry in listing.get("Contents", ())}

    @property
    def paths(self) -> set[str]:
        return {key.removeprefix(f"{self.key}/") for key in self.keys if not key.endswith("/")}

    def write(self, path: str, content: bytes = b"") -> None:
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=f"{self.key}/{path}", Body=content)

    def remove(self, path: str) -> None:
        self.aws.client("s3").delete_object(Bucket=self.bucket, Key=f"{self.key}/{path}")

    def lose_the_table(self) -> None:
        self.aws.client("glue").delete_table(DatabaseName=self.database, Name="walks")

    def just_before_a_commit(self, lakehouse: Any, do: Callable[[], Any], patch: pytest.MonkeyPatch) -> None:
        events = lakehouse.catalog.glue.meta.events

        def happen(**_: Any) -> None:
            for call in ("CreateTable", "UpdateTable"):
                events.unregister(f"before-call.glue.{call}", happen)
            do()

        for call in ("CreateTable", "UpdateTable"):
            events.register_first(f"before-call.glue.{call}", happen)

    def break_the_connection(self, lakehouse: Any, patch: pytest.MonkeyPatch, *, arrives: bool, again: bool) -> None:
        from botocore.exceptions import ConnectionClosedError

        client = lakehouse.catalog.glue
        network, commits = client._endpoint.http_session, (b"CreateTable", b"UpdateTable")
        send, broken = network.send, list[bool]()

        def closed(**_: Any) -> None:
            raise ConnectionClosedError(endpoint_url=self.aws.endpoint)

        def lose(request: Any) -> Any:
            if broken or not request.headers["X-Amz-Target"].endswith(commits):
                return send(request)
            if arrives:
                send(request)
            if not again:  # not even tried: botocore would try for long
                client.meta.events.register("before-call.glue", closed)
            broken.append(True)
            return closed()

        patch.setattr(network, "send", lose)
