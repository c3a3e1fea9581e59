"""The comparison of tables: nothing but equal rows passes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from bench.tables import TABLES, Digest, differences, digest, row_count

ROWS = "(1, 'a', 0.1::DOUBLE), (2, 'b', NULL), (3, '', 0.3::DOUBLE), (3, '', 0.3::DOUBLE)"


def parquet(path: Path, rows: str = ROWS, columns: str = "k, s, d") -> str:
    duckdb.sql(f"VALUES {rows}").project("col0 AS k, col1 AS s, col2 AS d").project(columns).write_parquet(str(path))
    return str(path)


def test_the_order_of_rows_and_columns_and_the_number_of_files_do_not_matter(tmp_path: Path) -> None:
    one = parquet(tmp_path / "one.parquet")
    first, *rest = ROWS.split(", (")
    others = [
        parquet(tmp_path / "2.parquet", ", ".join(f"({row}" for row in reversed(rest)), "d, k, s"),
        parquet(tmp_path / "3.parquet", first, "d, k, s"),
    ]
    assert digest([one]) == digest(others)
    assert digest([one]).rows == row_count(others) == 4


TWICE = ", (3, '', 0.3::DOUBLE), (3, '', 0.3::DOUBLE)"
FIRST_TWO = "(1, 'a', 0.1::DOUBLE), (2, 'b', NULL)"
CHANGES = {
    "last digit": ("0.1::", "0.10000000000000002::"),
    "letter case": ("'a'", "'A'"),
    "null": ("'b', NULL", "'b', 0"),
    "null text": ("(3, '', ", "(3, NULL, "),
    "key": ("(1, 'a'", "(2, 'a'"),
    "swapped": (FIRST_TWO, "(2, 'a', 0.1::DOUBLE), (1, 'b', NULL)"),
    "missing": (TWICE, ", (3, '', 0.3::DOUBLE)"),
    "one twice, one missing": (FIRST_TWO, "(1, 'a', 0.1::DOUBLE), (1, 'a', 0.1::DOUBLE)"),
    "another twice": (TWICE, TWICE.replace("(3", "(4")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_seen(tmp_path: Path, change: str) -> None:
    changed = ROWS.replace(*CHANGES[change], 1)
    assert changed != ROWS
    made = digest([parquet(tmp_path / "one.parquet")]), digest([parquet(tmp_path / "other.parquet", changed)])
    assert made[0] != made[1]


@pytest.mark.parametrize(
    "columns", ["k AS n, s, d", "k, s", "k, s, d::FLOAT AS d", "k::BIGINT AS k, s, d", "s AS k, k AS s, d"]
)
def test_another_name_number_or_type_of_columns_is_seen(tmp_path: Path, columns: str) -> None:
    one, other = parquet(tmp_path / "one.parquet"), parquet(tmp_path / "other.parquet", columns=columns)
    assert digest([one]) != digest([other])


def test_a_table_without_rows_is_the_same_with_and_without_a_file(tmp_path: Path) -> None:
    duckdb.table_function("range", [0]).write_parquet(f"{tmp_path}/empty.parquet")
    assert digest([f"{tmp_path}/empty.parquet"]) == digest([]) == Digest(0)


def test_a_difference_names_the_table_and_who_made_what() -> None:
    same = dict.fromkeys(TABLES, Digest(2, ("k BIGINT",), 7))
    other = {**same, "customers_curated": Digest(1, ("k BIGINT",), 5)}
    assert differences({"plain": same, "duckdb": same}) == []
    (sentence,) = differences({"plain": same, "duckdb": same, "embedded": other})
    assert sentence == (
        "customers_curated is not the same: plain and duckdb made 2 rows of (k BIGINT), checksum 7; "
        "embedded made 1 rows of (k BIGINT), checksum 5."
    )
