"""A delivery that is refused stops nobody else: consents of other feeds go through, and the run fails and says why."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from collections.abc import Callable

import pytest

from resources.files.folder import LocalFolder
from tests.stedi_assets.examples import T, as_delivered, customer, deliver_all, distance, reading
from tests.support import Outcome, Stedi

NAMES = ("ann", "bob")


@pytest.fixture
def withdrawn(stedi: Stedi) -> Stedi:
    """Two customers are served, and one withdraws."""
    people = [customer(f"{name}@x.org", name, updated=T, consent=T) for name in NAMES]
    deliver_all(stedi, people, [reading(f"{name}@x.org", T) for name in NAMES], [distance(name, T) for name in NAMES])
    assert stedi.materialize().success
    withdrawal = [customer("ann@x.org", "ann", updated=T + 1, consent=None)]
    stedi.deliver("customer", as_delivered("customer", withdrawal), "2.json")
    return stedi


@pytest.fixture
def outcome(stedi: Stedi, withdrawn: Stedi) -> Outcome:
    """The Step Trainer's feed has changed the name of a field meanwhile."""
    renamed = {"sensorReadingTime": T, "serial": "bob", "distanceFromObject": 1}
    stedi.deliver("step_trainer", json.dumps(renamed) + "\n", "2.json")
    return stedi.materialize()


def test_who_withdrew_is_gone_from_every_table_although_another_feed_is_refused(stedi: Stedi, outcome: Outcome) -> None:
    counts = {name: stedi.counts()[name] for name in ("customer_trusted", "step_trainer_trusted")}
    assert counts == {"customer_trusted": 1, "step_trainer_trusted": 1}
    assert [row[1] for row in stedi.rows("machine_learning_curated")] == ["bob"]


def test_the_run_fails_and_says_why_once(outcome: Outcome) -> None:
    assert not outcome.success
    assert "step_trainer_records was not published, the previous version is still served" in outcome.failure
    assert "serialNumber is missing" in outcome.failure


def test_the_page_shows_what_is_served_and_since_when_and_one_red_check(outcome: Outcome) -> None:
    assert "serialNumber is missing" in outcome.metadata("step_trainer_records")["refused"]
    assert "served since" in outcome.metadata("step_trainer_records")
    red = {key for key, check in outcome.checks.items() if not check.passed and key[0].startswith("step_trainer_r")}
    assert red == {("step_trainer_records", "delivery_accepted")}


def test_the_next_delivery_that_is_mended_is_taken(stedi: Stedi, outcome: Outcome) -> None:
    stedi.deliver("step_trainer", as_delivered("step_trainer", [distance("bob", T + 1)]), "2.json")
    again = stedi.materialize()
    assert again.success
    assert again.checks["step_trainer_records", "delivery_accepted"].passed
    assert "refused" not in again.metadata("step_trainer_records")


# A feed that cannot be looked at -------------------------------------------------------------------------------


def not_listed(stedi: Stedi, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = LocalFolder.files

    def refuse(folder: LocalFolder) -> object:
        if str(folder.root).startswith(str(stedi.source / "step_trainer")):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder.root))
        return listed(folder)

    monkeypatch.setattr(LocalFolder, "files", refuse)


def not_there(stedi: Stedi, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(stedi.source / "step_trainer")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (not_listed, "Could not sync the feed 'step_trainer': [Errno 13] Permission denied"),
        (not_there, "Could not sync the feed 'step_trainer': no folder of it is in "),
    ],
)
def test_who_withdrew_is_gone_although_another_feed_cannot_be_looked_at(
    withdrawn: Stedi,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Stedi, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    """Who met it: "the share with the Step Trainer's files was not mounted, and nobody's withdrawal went through"."""
    broken(withdrawn, monkeypatch)
    outcome = withdrawn.materialize()
    assert [row[1] for row in withdrawn.rows("machine_learning_curated")] == ["bob"]
    assert not outcome.success
    assert said in outcome.failure
    assert "What was landed before stays" in outcome.failure
    assert said in outcome.metadata("step_trainer_landing")["refused"]
    assert outcome.checks["customer_trusted", "served_tables_know_the_latest_consents"].passed
    red = {key for key, check in outcome.checks.items() if not check.passed}
    assert red == {("step_trainer_landing", "files_as_expected"), ("step_trainer_records", "delivery_accepted")}
    assert said in withdrawn.materialize("customer_trusted", "step_trainer_records").failure


def test_a_feed_that_cannot_be_looked_at_is_of_no_use_where_another_source_was_landed(withdrawn: Stedi) -> None:
    withdrawn.environment["STEDI_SOURCE"] = str(withdrawn.folder / "other")
    shutil.copytree(withdrawn.source, withdrawn.folder / "other", ignore=lambda *_: ["step_trainer"])
    outcome = withdrawn.materialize()
    assert "no file of it in" in outcome.failure
    assert "step_trainer_landing" not in outcome.materialized
    outcome = withdrawn.materialize("step_trainer_records")
    assert f"step_trainer_landing has the files of {withdrawn.source}" in outcome.failure


@pytest.mark.parametrize("feed", ["customer", "accelerometer"])
def test_a_file_that_cannot_be_read_fails_the_run_when_all_else_is_made(withdrawn: Stedi, feed: str) -> None:
    """Who met it: "a withdrawal was in a gzip that was cut off: exit 0, and she is still trained on"."""
    withdrawn.deliver(feed, gzip.compress(b'{"email": "bob@x.org"}' * 99)[:-12], "3.json.gz")
    outcome = withdrawn.materialize()
    assert not outcome.success
    assert f"{feed}_landing: not everything can be read: 3.json.gz (EOFError: " in outcome.failure
    assert f"Deliver it anew under its name, or remove it from {withdrawn.source}, and run again." in outcome.failure
    assert [row[1] for row in withdrawn.rows("machine_learning_curated")] == ["bob"]
    assert not outcome.checks[f"{feed}_records", "delivery_accepted"].passed
    (withdrawn.source / feed / "landing" / "3.json.gz").unlink()
    assert withdrawn.materialize().success
