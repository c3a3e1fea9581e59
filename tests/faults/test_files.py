"""Files as no feed should have them: a hundred thousand tiny ones, one of two gigabytes, one without a line end.

What is huge is made under `--full` alone, and removed again. Memory is that of a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stedi_assets.contracts import ACCELEROMETER
from tests.conformance.hostile import READING
from tests.support import Stedi, require_apache_spark

pytestmark = pytest.mark.slow

MB = 1 << 20
LANDING = ACCELEROMETER.landing.name
PROGRAM = """
import json, resource, sys
from tests.support import Stedi, ENGINES
from pathlib import Path
engine, folder = sys.argv[1:]
outcome = Stedi(Path(folder), {"STEDI_QUARANTINE_LIMIT": "1"}, engine=engine).materialize("accelerometer_landing")
seen = {name: value for name, value in outcome.metadata("accelerometer_landing").items() if name.startswith(
    ("dagster/row_count", "records", "files", "seconds"))} if outcome.success else {"failure": outcome.failure}
seen["MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
ENGINES[engine].close()
print(json.dumps(seen))
"""


def materialize(stedi: Stedi, engine: str = "embedded") -> dict[str, float]:
    """Materialize the landing asset in a process of its own: what it saw, and the most memory it took (MB)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, engine, stedi.folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert "failure" not in seen, seen
    print(engine, seen)
    return seen


@pytest.fixture(params=["embedded", "local"])
def engine(request: pytest.FixtureRequest, rounds: Callable[[int, int], int]) -> str:
    if request.param == "local":
        if not rounds(0, 1):
            pytest.skip("the embedded engine stands for both, but under --full")
        require_apache_spark()
    return str(request.param)


@pytest.fixture
def source(stedi: Stedi) -> Iterator[Path]:
    """The folder of the feed in the source; what is in there is removed at once, because it is large."""
    folder = stedi.source / "accelerometer" / "landing"
    folder.mkdir(parents=True)
    yield folder
    subprocess.run(["rm", "-rf", str(stedi.folder)], check=True)


def test_a_hundred_thousand_tiny_files(
    stedi: Stedi, source: Path, engine: str, rounds: Callable[[int, int], int]
) -> None:
    count = rounds(1_100, 100_000)
    for number in range(count):
        (source / f"{number}.json").write_text(json.dumps({**READING, "timestamp": READING["timestamp"] + number}))
    seen = materialize(stedi, engine)
    assert seen["dagster/row_count"] == seen["files"] == count
    again = materialize(stedi, engine)
    assert again["files unchanged"] == count


def test_a_large_file_of_one_record_a_line(
    stedi: Stedi, source: Path, engine: str, rounds: Callable[[int, int], int]
) -> None:
    block = (json.dumps(READING) + "\n") * 10_000
    blocks = rounds(2, 2_048 * MB // len(block) + 1)
    with (source / "1.json").open("w") as out:
        for _ in range(blocks):
            out.write(block)
    seen = materialize(stedi, engine)
    assert seen["dagster/row_count"] == blocks * 10_000
    assert seen["MB"] < 1_500


RUBBISH = {
    "no JSON": ("", "x"),
    "a text that never ends": ('{"user": "', "x"),
    "a record of records that never ends": ('{"history": [', json.dumps(READING) + ", "),
    "objects that never end": ("", "{"),
    "no end of brackets": ("", "]["),
    "characters of four bytes": ("", "😀"),
}


@pytest.mark.parametrize("kind", RUBBISH, ids=[kind.replace(" ", "-") for kind in RUBBISH])
def test_a_file_without_a_line_end_is_quarantined_in_pieces_that_fit_in_memory(
    stedi: Stedi, source: Path, engine: str, kind: str, rounds: Callable[[int, int], int]
) -> None:
    few = kind == "a record of records that never ends"
    size = rounds(3 * MB if few else 0, 200 * MB)
    if not size:
        pytest.skip("tests/resources/files/test_ndjson.py has a few megabytes of each other kind; --full tries 200")
    (source / "good.json").write_text(json.dumps(READING))
    start, piece = RUBBISH[kind]
    block = piece * (MB // len(piece.encode()))
    with (source / "1.json").open("w") as out:
        out.write(start)
        for _ in range(size // MB):
            out.write(block)
    seen = materialize(stedi, engine)
    assert seen["dagster/row_count"] == 1
    assert seen["records found"] == seen["records quarantined"] + 1
    assert seen["MB"] < 1_500


def test_one_line_of_many_records_is_read_piece_by_piece(
    stedi: Stedi, source: Path, engine: str, rounds: Callable[[int, int], int]
) -> None:
    block = (json.dumps(READING) + ", ") * 10_000
    blocks = rounds(2, 200 * MB // len(block))
    with (source / "1.json").open("w") as out:
        out.write("[")
        for _ in range(blocks):
            out.write(block)
        out.write(json.dumps(READING) + "]")
    seen = materialize(stedi, engine)
    assert seen["dagster/row_count"] == seen["records found"] == blocks * 10_000 + 1
    assert seen["MB"] < 1_500
