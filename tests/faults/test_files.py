"""Files as no feed should have them: a hundred thousand tiny ones, one of two gigabytes, one without a line end.

What is huge is made under `--full` alone, and removed again. Memory is that of a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from bench.contestants import contestants
from bench.measure import measure
from sample.delivery import REFERENCE_CUSTOMERS
from sample.feeds import write_feeds
from stedi_assets.contracts import ACCELEROMETER
from tests.conformance.hostile import READING
from tests.faults.command import FORKS
from tests.support import Stedi, require_apache_spark

pytestmark = pytest.mark.slow

MB = 1 << 20
MOST_MB = 1_500
MOST_MB_OF_ALL = 4_000
"""The benchmark's bound for feeds of a hundred times the reference data, 8 million readings."""
LINE = json.dumps(READING)
ASSETS = [ACCELEROMETER.landing.name, ACCELEROMETER.records.name, ACCELEROMETER.quarantine.name]


def ingest(folder: Path, engine: str, told: Path) -> None:
    """Materialize the feed's assets; tell what the run saw, and the most memory that its process took (MB)."""
    from tests.support import ENGINES

    outcome = Stedi(folder, {"STEDI_QUARANTINE_LIMIT": "1"}, engine=engine).materialize(*ASSETS)
    seen = {"failure": outcome.failure}
    if outcome.success:
        metadata = {**outcome.metadata(ASSETS[0]), **outcome.metadata(ASSETS[1])}
        seen = {name: value for name, value in metadata.items() if name.startswith(("dagster/row", "records", "files"))}
    ENGINES[engine].close()
    told.write_text(json.dumps({**seen, "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


@pytest.fixture(params=["embedded", "local"])
def ingested(
    request: pytest.FixtureRequest, stedi: Stedi, rounds: Callable[[int, int], int]
) -> Callable[[], dict[str, float]]:
    if request.param == "local":
        if not rounds(0, 1):
            pytest.skip("the embedded engine stands for both, but under --full")
        require_apache_spark()

    def run() -> dict[str, float]:
        told = stedi.folder / "told"
        process = FORKS.Process(target=ingest, args=(stedi.folder, request.param, told))
        process.start()
        process.join()
        seen: dict[str, float] = json.loads(told.read_text())
        print(request.param, seen)
        assert "failure" not in seen
        assert seen["MB"] < MOST_MB
        return seen

    return run


@pytest.fixture
def source(stedi: Stedi) -> Iterator[Path]:
    """The folder of the feed in the source; what is in there is removed at once, because it is large."""
    folder = stedi.source / "accelerometer" / "landing"
    folder.mkdir(parents=True)
    yield folder
    subprocess.run(["rm", "-rf", str(stedi.folder)], check=True)


def test_a_hundred_thousand_tiny_files(
    source: Path, ingested: Callable[[], dict[str, float]], rounds: Callable[[int, int], int]
) -> None:
    count = rounds(60, 100_000)
    for number in range(count):
        (source / f"{number}.json").write_text(json.dumps({**READING, "timestamp": READING["timestamp"] + number}))
    seen = ingested()
    assert seen["dagster/row_count"] == seen["files"] == count
    assert ingested()["files unchanged"] == count


def write(path: Path, blocks: Iterable[str]) -> None:
    with path.open("w") as out:
        out.writelines(blocks)


RECORDS = {"one record a line": ("", LINE + "\n", ""), "all on one line": ("[", LINE + ", ", LINE + "]")}


@pytest.mark.parametrize("layout", RECORDS, ids=[layout.replace(" ", "-") for layout in RECORDS])
def test_a_large_file_of_many_records_is_read_piece_by_piece(
    source: Path, ingested: Callable[[], dict[str, float]], layout: str, rounds: Callable[[int, int], int]
) -> None:
    start, piece, end = RECORDS[layout]
    blocks = rounds(2, 2_048 * MB // len(piece * 10_000))
    write(source / "1.json", [start, *[piece * 10_000] * blocks, end])
    seen = ingested()
    assert seen["dagster/row_count"] == seen["records found"] == blocks * 10_000 + bool(end)


RUBBISH = {
    "no JSON": ("", "x"),
    "a text that never ends": ('{"user": "', "x"),
    "a record of records that never ends": ('{"history": [', f"{LINE}, "),
    "objects that never end": ("", "{"),
    "no end of brackets": ("", "]["),
    "characters of four bytes": ("", "😀"),
}


@pytest.mark.parametrize("kind", RUBBISH, ids=[kind.replace(" ", "-") for kind in RUBBISH])
def test_a_file_without_a_line_end_is_quarantined_in_pieces_that_fit_in_memory(
    source: Path, ingested: Callable[[], dict[str, float]], kind: str, rounds: Callable[[int, int], int]
) -> None:
    size = rounds(2 if kind == "a record of records that never ends" else 0, 200)
    if not size:
        pytest.skip("what becomes of a few megabytes is in tests/resources/files/test_ndjson.py; --full tries 200 MB")
    start, piece = RUBBISH[kind]
    write(source / "good.json", [LINE])
    write(source / "1.json", [start, *[piece * (MB // len(piece.encode()))] * size])
    seen = ingested()
    assert seen["dagster/row_count"] == 1
    assert seen["records found"] == seen["records quarantined"] + 1


def test_a_run_on_a_hundred_times_the_reference_data_stays_within_its_memory(
    tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    scale = rounds(0, 100)
    if not scale:
        pytest.skip("it reads 1 GB of feeds: under --full")
    write_feeds(tmp_path / "feeds", REFERENCE_CUSTOMERS * scale, clean=True)
    embedded = next(one for one in contestants(tmp_path / "feeds", tmp_path) if one.name == "embedded")
    embedded.prepare(lambda: None)
    run = measure(embedded.command, tmp_path, embedded.environment)
    assert run.peak_mb is not None, "this system does not tell how much memory a process has"
    print(f"{run.peak_mb:,.0f} MB, {run.seconds:.0f} s")
    assert run.peak_mb < MOST_MB_OF_ALL
