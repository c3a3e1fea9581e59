"""Where Dagster cannot record a run, one sentence says so: it was a hundred lines of SQLite's traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import ROOT

FULL = "OperationalError('INSERT', {'event': 'ann@'}, sqlite3.OperationalError('database or disk is full'))"
ENDS = {
    FULL: "Error: Dagster could not record the run in /home/me: database or disk is full. Make room in /home/me, and",
    "OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/x')": "in /home/me: No space left on device. Make room in",
    "OSError(errno.EROFS, os.strerror(errno.EROFS), '/x')": "in /home/me: Read-only file system. ",
    f"DagsterError('Could not store') from {FULL}": "database or disk is full. Make room in /home/me",
    "sqlite3.OperationalError('disk I/O error')": "in /home/me: disk I/O error. Make room in /home/me",
    "KeyError('mine')": "Traceback (most recent call last)",
}


@pytest.mark.parametrize(("error", "told"), ENDS.items())
def test_a_process_ends_with_the_sentence_and_any_other_error_as_ever(error: str, told: str) -> None:
    script = (
        "import errno, os, sqlite3\n"
        "from dagster._core.errors import DagsterError\n"
        "from sqlalchemy.exc import OperationalError\n"
        "from resources.history import report_what_dagster_cannot_record\n"
        f"report_what_dagster_cannot_record()\nraise {error}"
    )
    environment = {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": "/home/me"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
    assert ("Traceback" in done.stderr) is told.startswith("Traceback")
    assert "ann@" not in done.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "home"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("nobody may mount a disk here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def run(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("dagster"), "asset", "materialize", "-m", "stedi_assets"]
    return subprocess.run(
        [*command, "--select", 'key:"customer_landing"'],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_run_that_fills_the_disk_of_dagster_is_told_and_the_next_one_goes_well(disk: Path, tmp_path: Path) -> None:
    (disk / "dagster.yaml").write_text((ROOT / ".dagster" / "dagster.yaml").read_text())
    environment = {"DAGSTER_HOME": str(disk), "STEDI_LAKEHOUSE": str(tmp_path / "lakehouse")}
    assert run(environment).returncode == 0
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))
    for left in (0, 100_000):  # full before the run begins, and during it
        os.truncate(filler, filler.stat().st_size - left)
        full = run(environment)
        assert full.returncode == 1
        assert f"Error: Dagster could not record the run in {disk}: " in full.stderr
        assert "Make room in" in full.stderr
        assert "Traceback" not in full.stderr
    filler.unlink()
    assert run(environment).returncode == 0
