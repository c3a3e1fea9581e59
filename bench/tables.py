"""Whether all programs made equal tables: row counts, columns, and a checksum over every value of every row.

Belongs here: comparing Parquet files, whoever wrote them. The checksum knows no order of rows or columns, and sees
each changed value, down to the last digit, and each row that is missing, surplus or there twice.
Does not belong here: where a program's files lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

TABLES = (
    "customer_trusted",
    "accelerometer_trusted",
    "customers_curated",
    "step_trainer_trusted",
    "machine_learning_curated",
)


@dataclass(frozen=True)
class Digest:
    """A table in short. Equal digests: equal tables."""

    rows: int
    columns: tuple[str, ...] = ()
    checksum: int = 0

    def __str__(self) -> str:
        """As a person compares it."""
        return f"{self.rows:,} rows of ({', '.join(self.columns)}), checksum {self.checksum:x}"


Digests = Mapping[str, Digest]


def row_count(files: Sequence[str]) -> int:
    """Return how many rows Parquet files have, as their footers say."""
    if not files:
        return 0
    (rows,) = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [files]).fetchall()[0]
    return int(rows)


def digest(files: Sequence[str]) -> Digest:
    """Return the digest of a table's Parquet files. A table without rows has no columns: not all write a file then."""
    if not row_count(files):
        return Digest(0)
    table = duckdb.read_parquet(list(files))
    columns = sorted((name.lower(), str(kind), name) for name, kind in zip(table.columns, table.types, strict=True))
    # A sum, for any order of the rows; of hashes of whole rows, so that values cannot change places between rows.
    row = ", ".join('"' + name.replace('"', '""') + '"' for *_, name in columns)
    rows, checksum = table.aggregate(f"count(*), sum(hash({row}))").fetchall()[0]
    return Digest(int(rows), tuple(f"{name} {kind}" for name, kind, _ in columns), int(checksum))


def differences(digests: Mapping[str, Digests]) -> list[str]:
    """Return a sentence for each table that is not the same for all; the keys are the names of who made them."""
    sentences = []
    for table in TABLES:
        makers: dict[Digest, list[str]] = {}
        for maker, made in digests.items():
            makers.setdefault(made[table], []).append(maker)
        if len(makers) > 1:
            found = "; ".join(f"{' and '.join(names)} made {one}" for one, names in makers.items())
            sentences.append(f"{table} is not the same: {found}.")
    return sentences
