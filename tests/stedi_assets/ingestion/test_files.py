"""Whatever lies in a feed's folder is in the tables or is named, and nothing else is trained on."""

from __future__ import annotations

import errno
import json
import os
from logging import WARNING
from typing import Any

import dagster as dg
import pytest

from resources.files.manifest import Manifest
from stedi_assets.contracts import ASSETS
from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all, distance, reading
from tests.support import Outcome, Stedi

READING = {"user": "ada@example.com", "timestamp": 1655564376361, "x": 1.0, "y": -0.5, "z": 0.25}
LANDING, RECORDS, QUARANTINE = "accelerometer_landing", "accelerometer_records", "accelerometer_quarantine"


def lines(feed: str, *rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in as_delivered(feed, rows))


def of_files(outcome: Outcome, landing: str = LANDING) -> Any:
    return outcome.checks[landing, "files_as_expected"]


def warnings_of(stedi: Stedi, outcome: Outcome) -> list[dg.EventLogEntry]:
    return [entry for entry in stedi.instance.all_logs(outcome.result.run_id) if entry.level == WARNING]


def test_a_withdrawal_counts_whatever_its_file_is_called_and_what_is_not_read_is_named(stedi: Stedi) -> None:
    deliver_all(stedi)
    stedi.deliver("customer", lines("customer", customer("ann@x.org", "ann", updated=T + 20, consent=0)), "2.JSON")
    stedi.deliver("accelerometer", lines("accelerometer", reading("cleo@x.org", T + 40, 7.0)), "2.jsonl")
    stedi.deliver("step_trainer", lines("step_trainer", distance("cleo", T + 40, 7)), "stedi-1-2022-06-18-11111111")
    for hidden in ("_temporary/0/part-0.json", ".ipynb_checkpoints/1-checkpoint.json"):
        stedi.deliver("accelerometer", lines("accelerometer", reading("cleo@x.org", T + 50)), hidden)
    stedi.deliver("accelerometer", "a,b", "notes.csv")
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    assert "ann@x.org" not in str(stedi.rows("accelerometer_trusted")).lower()
    assert any(7.0 in row and T + 40 in row for row in stedi.rows("machine_learning_curated"))
    assert T + 50 not in {value for row in stedi.rows("accelerometer_trusted") for value in row}
    warnings = " ".join(entry.user_message for entry in warnings_of(stedi, outcome))
    key = dg.AssetCheckKey(dg.AssetKey(LANDING), "files_as_expected")
    for check in (of_files(outcome), of_files(stedi.materialize(checks=[key]))):
        assert (check.passed, check.severity.value) == (False, "WARN")
        for name in ("_temporary/0/part-0.json", ".ipynb_checkpoints/1-checkpoint.json", "notes.csv"):
            assert f"accelerometer/landing/{name} is not read (" in str(check.description)
            assert name in warnings


def test_forty_records_that_are_pretty_but_for_the_first_are_forty_records(stedi: Stedi) -> None:
    rows = [{**READING, "x": float(number)} for number in range(40)]
    stedi.deliver("accelerometer", "\n".join([json.dumps(rows[0]), *(json.dumps(row, indent=2) for row in rows[1:])]))
    assert stedi.materialize(LANDING, RECORDS, QUARANTINE).metadata(RECORDS)["dagster/row_count"] == 40
    assert stedi.rows(QUARANTINE) == []


def test_a_file_in_utf16_is_read_and_one_of_another_kind_is_told_by_its_kind(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", json.dumps(READING).encode("utf-16"))
    stedi.deliver("accelerometer", b"PAR1" + b"\0" * 99, "2.json")
    outcome = stedi.materialize(LANDING, RECORDS, QUARANTINE)
    assert [row[:-1] for row in stedi.rows(RECORDS)] == [tuple(READING.values())]
    assert "2.json cannot be read (it is no JSON, but Parquet)" in str(of_files(outcome).description)
    assert stedi.rows(QUARANTINE) == []


def test_a_file_that_became_empty_is_named_with_the_bytes_that_it_had(stedi: Stedi) -> None:
    stedi.deliver("accelerometer", [READING] * 9)
    assert of_files(stedi.materialize(LANDING)).passed
    stedi.deliver("accelerometer", "")
    had = 9 * len(json.dumps(READING) + chr(10))
    for _ in range(2):
        outcome = stedi.materialize(LANDING)
        check = of_files(outcome)
        assert (check.passed, check.severity.value) == (False, "WARN")
        assert f"1.json has 0 bytes, and had {had}" in str(check.description)
        logged = [entry.user_message for entry in warnings_of(stedi, outcome)]
        assert f"{LANDING}: empty, or without most of their bytes: 1.json (0 bytes, after {had})" in logged


def test_nobody_is_trained_on_whose_consent_a_run_that_broke_off_had_landed(
    stedi: Stedi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk after the file had landed, and the source takes it back: each later run was green, with 74 rows."""
    no, yes = (lines("customer", customer("ann@x.org", "ann", updated=T, consent=at)) for at in (None, T))
    cleo = lines("customer", customer("cleo@x.org", "cleo", updated=T, consent=T))
    without_consent = no.strip().ljust(len(yes) - 1) + "\n" + cleo
    deliver_all(stedi)
    path = stedi.deliver("customer", without_consent)
    found = path.stat()
    assert stedi.materialize().success
    before = stedi.rows("machine_learning_curated")
    path.write_text(yes + cleo)
    assert path.stat().st_size == found.st_size

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", full)
        assert not stedi.materialize().success
    path.write_text(without_consent)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    for assets in (ASSETS, [name for name in ASSETS if name != "customer_landing"]):
        assert stedi.materialize(*assets).success
        assert {row[0] for row in stedi.rows("customer_trusted")} & {"ann@x.org"} == set()
        assert stedi.rows("machine_learning_curated") == before
