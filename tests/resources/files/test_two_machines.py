"""Two machines that bring one feed to one bucket lose no file, whichever of them falls asleep, or dies, and when."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from resources.errors import LakehouseError
from resources.files.lease import Lease
from resources.files.manifest import SyncResult
from resources.files.s3 import S3Folder
from tests.resources.files.zones import ONE, THREE, TWO, Zone, put
from tests.servers.ministack import Aws
from tests.support import ROOT

LASTS = timedelta(seconds=1)
WAITS = "waiting for another run, which holds the lock"
TAKEN = "its lock was taken over from a run of which S3 had heard nothing for 0:00:0"

OTHER = """
import os, signal, sys, threading
from datetime import timedelta
from resources.errors import LakehouseError
from resources.files import s3
from resources.files.landing_zone import LandingZone
from resources.files.manifest import Manifest
from resources.files.s3 import S3Folder

base, lasts, kind, method = sys.argv[1:]
s3.LASTS = timedelta(seconds=float(lasts))
kind = {one.__name__: one for one in (LandingZone, Manifest, S3Folder)}[kind]
original, asleep = getattr(kind, method), threading.Lock()

def sleep(*arguments, **options):
    if asleep.acquire(blocking=False):
        print("here", flush=True)
        sys.stdin.readline()
    return original(*arguments, **options)

setattr(kind, method, sleep)
zone = LandingZone(root=f"{base}/lakehouse", source=f"{base}/source")
try:
    with zone.lock("customer", print):
        print(sorted(zone.sync("customer").new))
except LakehouseError as error:
    print(error.allow_retries, error.description)
"""


@contextmanager
def another_machine(cloud: Zone, where: str) -> Iterator[subprocess.Popen[str]]:
    """It syncs the feed too, and stays where it is before that call until it is told to go on."""
    command = [sys.executable, "-c", OTHER, cloud.base, str(LASTS.total_seconds()), *where.split(".")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment) as machine:
        try:
            assert machine.stdout is not None
            assert machine.stdout.readline() == "here\n"
            yield machine
        finally:
            machine.kill()


def wake(machine: subprocess.Popen[str]) -> str:
    """What it says of the sync that it ends."""
    machine.send_signal(signal.SIGCONT)
    return machine.communicate("\n", timeout=60)[0]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.files.s3.LASTS", LASTS)
    monkeypatch.setattr("resources.files.lease.PAUSE", 0.1)


def sync(cloud: Zone) -> tuple[SyncResult, list[str]]:
    """What this machine syncs, and what it says of the lock."""
    said: list[str] = []
    with cloud.zone.lock("customer", said.append):
        return cloud.zone.sync("customer"), said


@pytest.mark.parametrize(
    ("where", "says"),
    {
        "S3Folder.take": r"True Could not sync 2.json of the feed 'customer': it was replaced meanwhile",
        "Manifest.save": r"True Could not write \S+/manifest.json: it was replaced meanwhile",
        "LandingZone._remove_strays": r"True S3 has not heard from this run .* another one has taken over its lock",
        "S3Folder.remove_listed": r"False While this run removed .* its lock was taken .*: stray.json\. ",
    }.items(),
)
def test_a_run_that_slept_until_another_one_took_over_removes_and_replaces_nothing_of_it(
    cloud: Zone, monkeypatch: pytest.MonkeyPatch, where: str, says: str
) -> None:
    """It deleted as a stray what the other one had landed, and the source had that no more."""
    cloud.deliver("1.json", ONE)
    sync(cloud)
    cloud.deliver("2.json", TWO)
    put(cloud.landed, "stray.json", TWO)
    with another_machine(cloud, where) as asleep:
        asleep.send_signal(signal.SIGSTOP)
        cloud.deliver("2.json", THREE)
        cloud.deliver("3.json", TWO)
        cloud.deliver("stray.json", ONE + TWO)
        with monkeypatch.context() as later:  # than the other one's lease
            later.setattr("resources.files.s3.LASTS", timedelta(seconds=-1))
            later.setattr(Lease, "_renew", lambda *_: None)
            result, _ = sync(cloud)
        cloud.withdraw("2.json", "3.json", "stray.json")
        assert re.match(says, wake(asleep))
    assert cloud.files == {"1.json": ONE, "2.json": THREE, "3.json": TWO, "stray.json": ONE + TWO}
    after, said = sync(cloud)
    assert said == []
    assert (after.fingerprint, after.taken_back, after.new) == (result.fingerprint, [], [])


def test_a_run_that_is_slow_is_waited_for_however_often_its_lease_passes(cloud: Zone) -> None:
    cloud.deliver("1.json", ONE)
    with another_machine(cloud, "Manifest.save") as slow:
        began = time.monotonic()
        said: list[str] = []

        def go_on() -> None:
            assert slow.stdin is not None
            slow.stdin.write("\n")
            slow.stdin.flush()

        def tell(what: str) -> None:
            said.append(what)
            threading.Timer(3 * LASTS.total_seconds(), go_on).start()

        with cloud.zone.lock("customer", tell):
            assert time.monotonic() - began > 3 * LASTS.total_seconds()
            assert cloud.zone.sync("customer").unchanged == ["1.json"]
        assert slow.communicate(timeout=60)[0] == "['1.json']\n"
    assert said == [WAITS]


def test_a_run_that_was_killed_is_taken_over_after_its_lease_and_that_is_said(cloud: Zone) -> None:
    cloud.deliver("1.json", ONE)
    with another_machine(cloud, "Manifest.save") as killed:
        killed.kill()
    result, said = sync(cloud)
    assert result.new == ["1.json"]
    assert said[0] == WAITS
    assert said[1].startswith(TAKEN)
    assert sync(cloud)[1] == []


def test_of_many_that_want_the_lock_of_a_dead_run_one_has_it(aws: Aws) -> None:
    bucket = aws.new_bucket()
    leases = [Lease(aws.client("s3"), bucket, "lock", LASTS) for _ in range(5)]
    assert [lease.take() for lease in leases] == [True, False, False, False, False]
    time.sleep(2 * LASTS.total_seconds() + 0.1)
    assert [lease.take() for lease in leases[1:]] == [True, False, False, False]
    leases[1].confirm()
    with pytest.raises(LakehouseError, match=r"another one has taken over its lock, .*: s3://\S+/lock\.") as lost:
        leases[0].confirm()
    assert lost.value.allow_retries


def test_a_write_whose_answer_was_lost_is_the_holders_own(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 asks again, and S3 answers that another object is there: the one that it has just written."""
    bucket, client = aws.new_bucket(), aws.client("s3")
    lease, put_object = Lease(client, bucket, "lock", LASTS), client.put_object

    def lose_the_answer(**options: object) -> object:
        put_object(**options)
        monkeypatch.setattr(client, "put_object", put_object)
        return put_object(**options)

    for write in (lease.take, lease.confirm):
        monkeypatch.setattr(client, "put_object", lose_the_answer)
        assert write() is not False
    assert not Lease(client, bucket, "lock", LASTS).take()


def test_a_copy_or_a_list_whose_answer_was_lost_is_blamed_on_nobody(
    cloud: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.deliver("1.json", ONE)
    folder = cloud.zone._at(cloud.zone.root)
    assert isinstance(folder, S3Folder)
    for operation in ("put_object", "copy_object"):
        write = getattr(folder.client(), operation)

        def repeat(write: Any = write, **options: Any) -> object:
            if not options["Key"].endswith(".lock"):
                write(**options)
            return write(**options)

        monkeypatch.setattr(folder.client(), operation, repeat)
    assert cloud.sync().new == ["1.json"]
    assert cloud.files == {"1.json": ONE}


def test_copies_that_hang_keep_no_lock_from_being_renewed(
    cloud: Zone, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cloud.zone._at(cloud.zone.root)
    assert isinstance(folder, S3Folder)
    with cloud.zone.lock("customer", print), monkeypatch.context() as patch:
        patch.setattr(folder.client(), "put_object", lambda **_: time.sleep(60))
        time.sleep(2 * LASTS.total_seconds() + 0.1)
        other = Lease(aws.client("s3"), folder.bucket, f"{folder.key}/landing/.customer.lock", LASTS)
        assert not other.take()


def test_an_interrupt_while_a_lock_is_given_back_leaves_none_behind(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, client = aws.new_bucket(), aws.client("s3")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    lock = Lease(client, bucket, "lock", LASTS).held(print, client)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), lock:
        patch.setattr(threading.Thread, "join", interrupt)
    assert Lease(client, bucket, "lock", LASTS).take()


def test_a_lock_that_is_taken_over_while_it_is_given_back_stays(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, client, delete = aws.new_bucket(), aws.client("s3"), aws.client("s3").delete_object
    taker = Lease(aws.client("s3"), bucket, "lock", timedelta(seconds=-1))

    def late(**options: object) -> None:
        assert taker.take()
        delete(**options)

    monkeypatch.setattr(client, "delete_object", late)
    with Lease(client, bucket, "lock", LASTS).held(print, client):
        pass
    taker.confirm()


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "409"])
def test_who_writes_a_lock_at_the_same_moment_has_it_not(aws: Aws, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """S3 answers 409 while somebody else is just replacing an object."""
    bucket, client = aws.new_bucket(), aws.client("s3")

    def conflict(**_: object) -> None:
        raise ClientError({"Error": {"Code": code}}, "PutObject")

    monkeypatch.setattr(client, "put_object", conflict)
    assert not Lease(client, bucket, "lock", LASTS).take()


def test_a_run_whose_lock_is_gone_writes_no_list(cloud: Zone) -> None:
    """It would keep the one that has the lock from writing its own."""
    cloud.deliver("1.json", ONE)
    sync(cloud)
    cloud.deliver("2.json", TWO)
    lists = cloud.folder.below("lakehouse/landing/customer")
    before = lists.files()
    with another_machine(cloud, "LandingZone.confirm_lock") as asleep:
        cloud.folder.below("lakehouse/landing").remove([".customer.lock"])
        assert wake(asleep).startswith("True S3 has not heard from this run")
    assert lists.files() == before


def test_the_test_server_holds_to_conditions_on_copies(cloud: Zone) -> None:
    put(cloud.landed, "1.json", ONE)
    put(cloud.landed, "2.json", TWO)
    one, two = cloud.landed.files()
    for stamp in ("", one.stamp):
        assert not cloud.landed.take(one, "2.json", stamp)
    assert cloud.files["2.json"] == TWO
    assert cloud.landed.take(one, "2.json", two.stamp)
