"""What a published version shows of itself, without an engine: a few of its rows, and how far a column reaches.

Belongs here: reading through PyIceberg what people glance at. On a cluster, each question to the engine takes longer.
Does not belong here: anything that decides; that is audited by the engine, on all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.types import PrimitiveType


@dataclass(frozen=True)
class Glimpse:
    """One version of a table; with `where`, only those of its rows."""

    table: IcebergTable
    snapshot_id: int
    where: str | None = None

    def first_rows(self, columns: Sequence[str], number: int) -> list[dict[str, Any]]:
        """So many rows, whichever come first."""
        from pyiceberg.expressions import AlwaysTrue

        scan = self.table.scan(self.where or AlwaysTrue(), tuple(columns), snapshot_id=self.snapshot_id, limit=number)
        rows: list[dict[str, Any]] = scan.to_arrow().select(list(columns)).to_pylist()
        return rows

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        """The least and the greatest value of a column of numbers, as the data files' statistics have them.

        None where it has no value. `where` is not looked at: rows that it leaves out must not have values there.
        """
        from pyiceberg.conversions import from_bytes

        field = self.table.schema().find_field(column)
        kind = cast("PrimitiveType", field.field_type)
        files = [task.file for task in self.table.scan(snapshot_id=self.snapshot_id).plan_files()]
        least = [bounds[field.field_id] for file in files if field.field_id in (bounds := file.lower_bounds or {})]
        greatest = [bounds[field.field_id] for file in files if field.field_id in (bounds := file.upper_bounds or {})]
        if not least or not greatest:
            return None
        return (
            min(from_bytes(kind, value) for value in least),
            max(from_bytes(kind, value) for value in greatest),
        )
