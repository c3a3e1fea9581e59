"""A table's versions as data: what callers say of a table, what is staged, and what is published.

Belongs here: the shapes that the lakehouse takes and gives. Does not belong here: storage, or a catalog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from resources.iceberg.moved import path_of

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot

    from resources.iceberg.footers import Footer
    from resources.iceberg.staging import StagingDir

CONTENT = "stedi.content"
"""Snapshot property: the snapshot whose rows this one has as well."""


class ColumnSpec(Protocol):
    """What the lakehouse needs to know of a column. `personal`: its values must be in no manifest."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def type(self) -> str: ...  # noqa: D102

    @property
    def meaning(self) -> str: ...  # noqa: D102

    @property
    def personal(self) -> bool: ...  # noqa: D102


class TableSpec(Protocol):
    """What the lakehouse needs to know of a table. `taken`: the column, in epoch milliseconds, by whose day its files
    are split; None: they are not.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def columns(self) -> Sequence[ColumnSpec]: ...  # noqa: D102

    @property
    def taken(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Staged:
    """A version of a table that is written and not published: its folder, and what its files' footers say.

    As a context manager it removes its files at the end of the block, unless they are, or may be, published.
    `base` is the published table that it will replace: if somebody publishes meanwhile, the commit is refused. Of its
    files, those that are `retained` are the new version's too, the others are `replaced`.
    """

    table: TableSpec
    directory: StagingDir
    base: IcebergTable | None
    footers: Sequence[Footer]
    retained: tuple[DataFile, ...] = ()
    replaced: tuple[DataFile, ...] = ()

    def __enter__(self) -> Self:
        """The staged version, to check and publish."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove what is not published."""
        self.directory.discard()

    @property
    def files(self) -> list[str]:
        """The paths of those that have rows."""
        return [path_of(footer.location) for footer in self.footers if footer.metadata.num_rows]

    @property
    def rows(self) -> int:
        """How many are staged."""
        return sum(footer.metadata.num_rows for footer in self.footers)

    @property
    def total(self) -> int:
        """How many rows the table will have."""
        return self.rows + sum(file.record_count for file in self.retained)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Names and types of the columns as written; the contract's where nothing was written."""
        if not self.footers:
            return [(column.name, column.type) for column in self.table.columns]
        schema = self.footers[0].metadata.schema.to_arrow_schema()
        return [(field.name, _spark_type(str(field.type))) for field in schema]


@dataclass(frozen=True)
class Version:
    """A published version of a table, as its commit describes it. `size` is in bytes.

    `content` is the snapshot that first had these rows: this one, unless it carries on what another one has.
    """

    snapshot_id: int
    rows: int
    size: int
    committed_ms: int
    properties: Mapping[str, str]

    @property
    def content(self) -> int:  # noqa: D102
        return int(self.properties.get(CONTENT, self.snapshot_id))

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """The version that this snapshot of Iceberg's is."""
        summary = snapshot.summary.additional_properties if snapshot.summary else {}
        return cls(
            snapshot_id=snapshot.snapshot_id,
            rows=int(summary.get("total-records", 0)),
            size=int(summary.get("total-files-size", 0)),
            committed_ms=snapshot.timestamp_ms,
            properties=dict(summary),
        )


def _spark_type(arrow_type: str) -> str:
    return {"int64": "bigint", "double": "double"}.get(arrow_type, "string" if "string" in arrow_type else arrow_type)
