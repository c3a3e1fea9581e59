"""A file that was a mistake is taken back as README says, and nothing about it looks like a fault."""

from __future__ import annotations

from pathlib import Path

from tests.stedi_assets.examples import READINGS, as_delivered, deliver_all
from tests.support import Stedi


def test_a_file_that_is_removed_as_readme_says_is_taken_back_without_a_warning(stedi: Stedi) -> None:
    """Who met it: "I removed the file as README says, and was told: not everything was synced, it cannot be read"."""
    deliver_all(stedi)
    mistake = stedi.deliver("accelerometer", as_delivered("accelerometer", READINGS[:2]) * 2, "2.json")
    assert stedi.materialize().success
    before = stedi.counts()["accelerometer_records"]
    mistake.unlink()
    Path(stedi.lakehouse.root, "accelerometer_landing", "2.json").unlink()
    outcome = stedi.materialize()
    assert outcome.success, outcome.failure
    assert stedi.counts()["accelerometer_records"] == before - 4
    check = outcome.checks["accelerometer_landing", "files_as_expected"]
    assert check.passed
    assert check.description.endswith("Taken back, and in the tables no more: 2.json.")
