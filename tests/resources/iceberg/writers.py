"""Several processes that publish versions of one table at the same time, and what must be true of its history."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from typing import Any

from resources.errors import LakehouseError
from resources.iceberg.footers import read_footers
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.version import Staged
from tests.resources.iceberg.house import WALKS


def publish_at_once(lakehouse: Lakehouse, writers: int, times: int, environment: Mapping[str, str]) -> Sequence[str]:
    """What each writer was told each time: «published» and the version's id, or «refused»."""
    place = (type(lakehouse), lakehouse.root, lakehouse.namespace)
    processes = get_context("spawn")
    with processes.Pool(writers, _meet_at, [processes.Barrier(writers)]) as pool:
        told = pool.starmap(_publish, [(*place, writer, times, environment) for writer in range(writers)], 1)
        # To be ended by a signal, as leaving the block does, may be ignored by whoever inherits that.
        pool.close()
        pool.join()
    assert [len(one) for one in told] == [times] * writers
    return [outcome for one in told for outcome in one]


def hold_to_the_history(told: Sequence[str], table: Any) -> None:
    """Every commit is in the history or was reported as a conflict, and each version was made from the one before."""
    history = table.metadata.snapshots
    by_writers = [one for one in history if one.summary["stedi.run-id"].startswith("writer")]
    published = [outcome.removeprefix("published ") for outcome in told if outcome.startswith("published ")]
    assert {outcome for outcome in told if not outcome.startswith("published ")} <= {"refused"}
    assert sorted(published) == sorted(str(snapshot.snapshot_id) for snapshot in by_writers)
    assert published
    assert [snapshot.parent_snapshot_id for snapshot in history] == [
        None,
        *(snapshot.snapshot_id for snapshot in history[:-1]),
    ]


def _meet_at(barrier: Any) -> None:
    _publish.barrier = barrier  # type: ignore[attr-defined]


def _publish(
    kind: type[Lakehouse], root: str, namespace: str, writer: int, times: int, environment: Mapping[str, str]
) -> list[str]:
    os.environ.update(environment)
    import pyarrow as pa
    import pyarrow.parquet as pq

    lakehouse, told = kind(root=root, namespace=namespace), []
    _publish.barrier.wait(60)  # type: ignore[attr-defined]
    for number in range(times):
        directory = lakehouse.staging_dir("walks")
        base = lakehouse.load("walks")
        folder = directory.open(f"writer-{writer}")
        rows = pa.table({"user": [f"{writer}-{number}"], "steps": [number]})
        with lakehouse.io.new_output(f"{folder}/part-0.parquet").create() as out:
            pq.write_table(rows, out)
        staged = Staged(WALKS, directory, base, read_footers(lakehouse.io, directory.data_files))
        try:
            told.append(f"published {lakehouse.publish(staged, {'stedi.run-id': f'writer-{writer}'}).snapshot_id}")
        except LakehouseError as refused:
            told.append("refused" if "at the same time" in str(refused.description) else str(refused.description))
    return told
