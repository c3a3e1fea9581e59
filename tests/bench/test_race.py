"""The order of runs, and what must hold before a time is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from bench.contestants import Contestant
from bench.measure import CommandFailedError
from bench.race import LARGE, UnequalTablesError, default_rounds, race, rounds_of
from bench.tables import TABLES


class Track:
    """Programs that copy a folder of tables that is there, and note that they ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.touch()

    def enter(self, name: str, *, rows: int = 3, command: str = "true") -> Contestant:
        made = self.folder / "made" / name
        for table in TABLES:
            (made / table).mkdir(parents=True)
            duckdb.table_function("range", [rows]).write_parquet(str(made / table / "1.parquet"))
        folder = self.folder / "runs" / name
        copy = f"echo {name} >> {self.notes}; cp -r {made} {folder}/tables; {command}"
        return Contestant(name, f"the {name} one", ("sh", "-c", copy), folder)

    @property
    def ran(self) -> list[str]:
        return self.notes.read_text().split()


@pytest.fixture
def track(tmp_path: Path) -> Track:
    return Track(tmp_path)


def test_after_a_warm_up_the_programs_take_turns_in_either_order(track: Track) -> None:
    result = race([track.enter("a"), track.enter("b")], 3, feed_bytes=1)
    assert track.ran == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert {name: list(runs) for name, runs in result.runs.items()} == {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert result.counts == dict.fromkeys(TABLES, 3)


def test_no_run_is_timed_where_the_tables_differ(track: Track) -> None:
    with pytest.raises(UnequalTablesError, match=r"machine_learning_curated is not the same: a made 3 .* b made 4"):
        race([track.enter("a"), track.enter("b", rows=4)], 3, feed_bytes=1)
    assert track.ran == ["a", "b"]


def test_a_later_run_with_other_row_counts_ends_the_benchmark(track: Track) -> None:
    once = track.enter("a")
    gone = f"if [ $(wc -l < {track.notes}) -gt 2 ]; then rm {once.folder}/tables/customers_curated/*; fi"
    with pytest.raises(UnequalTablesError, match=r"the a one made .*'customers_curated': 0"):
        race([replace(once, command=(*once.command[:2], f"{once.command[2]}; {gone}"))], 3, feed_bytes=1)
    assert track.ran == ["a", "a", "a"]


def test_a_program_that_fails_is_named(track: Track) -> None:
    with pytest.raises(CommandFailedError, match="the a one failed: exit 3"):
        race([track.enter("a", command="exit 3")], 1, feed_bytes=1)


def test_each_run_starts_from_an_empty_folder_and_leaves_none(track: Track) -> None:
    contestant = track.enter("a", command="exit $(ls -d runs/a/tables/* | grep -vc _)")
    contestant.folder.mkdir(parents=True)
    (contestant.folder / "tables").mkdir()  # `cp -r` would put its copy into it, as `tables/a`
    race([replace(contestant, command=(*contestant.command[:2], f"cd {track.folder}; {contestant.command[2]}"))], 2, 1)
    assert not contestant.folder.exists()


def test_large_feeds_and_slow_programs_have_fewer_runs(track: Track) -> None:
    naive, other = track.enter("naive"), track.enter("a")
    assert (default_rounds(LARGE - 1), default_rounds(LARGE)) == (5, 3)
    assert (rounds_of(naive, 5, LARGE - 1), rounds_of(naive, 5, LARGE), rounds_of(other, 5, LARGE)) == (3, 1, 5)
    race([naive, other], 4, LARGE)
    assert track.ran.count("naive") == 2
    assert track.ran.count("a") == 5
