"""A table's versions as data: what callers say of a table, what is staged, and what is published.

Belongs here: the shapes that the lakehouse takes and gives, and its errors. Does not belong here: storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

    from resources.iceberg.staging import Area


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
    area: Area
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


def _spark_type(arrow_type: str) -> str:
    return {"int64": "bigint", "double": "double"}.get(arrow_type, "string" if "string" in arrow_type else arrow_type)
