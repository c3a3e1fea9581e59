"""Locks between machines: objects in S3, which has no locks.

Belongs here: taking, renewing and giving back such an object. Does not belong here: what it guards.

Who makes the object (`If-None-Match: *`) has the lock, and renews it by replacing it (`If-Match`). One that was not
renewed for its lease has no living holder, and is taken over in the same way, so that one of many gets it. S3's clock
alone tells how old it is: those of machines differ.

A holder that was asleep for longer than its lease does not know it before it asks. So it asks (`confirm`) before what
cannot be undone, and what it writes is conditional, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from resources.errors import LakehouseError
from resources.files.locks import WAITING, Lock

LASTS = timedelta(minutes=2)
"""A holder renews it four times as often: one that misses all of them is taken for dead."""
PAUSE = 2.0
"""Seconds until who waits looks again."""
NOT_MET = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""What S3 answers where another object is there than a condition says, or where somebody is just replacing it."""
GONE = ("NoSuchKey", "404")


class Lease(Lock):
    """The lock that is the object `key`; who holds it renews it within `lasts`, or loses it."""

    def __init__(self, client: Any, bucket: str, key: str, lasts: timedelta) -> None:
        self._client, self._object, self._lasts = client, {"Bucket": bucket, "Key": key}, lasts
        self._owner, self._stamp = uuid4().hex, ""
        self.taken_over = timedelta()
        """For how long nothing had been heard of the run that it was taken from, if it was."""

    @contextmanager
    def held(self, say: Callable[[str], None], pulse: Any) -> Iterator[Lock]:
        """Wait for the lock and hold it for a block; `say` is told of waiting, and of taking it over.

        `pulse` is the client that renews it: one that gives up soon, since a request that hangs must not outlast the
        lease.
        """
        over = threading.Event()
        heart = threading.Thread(target=self._renew, args=(over, pulse), daemon=True)
        try:
            waits = False
            while not self.take():
                if not waits:
                    say(WAITING)
                waits = True
                time.sleep(PAUSE)
            if self.taken_over:
                say(f"its lock was taken over from a run of which S3 had heard nothing for {self.taken_over}")
            heart.start()
            yield self
        finally:
            over.set()
            try:
                if heart.ident is not None:
                    heart.join(10)
            finally:  # an interrupt while it is waited for leaves no lock behind
                self._give_back()

    def take(self) -> bool:
        """Whether the lock was free, or its holder dead, and it is held now."""
        if self._write(IfNoneMatch="*"):
            return True
        if (found := self._find()) is None:
            return False
        _, stamp, age = found
        if age <= self._lasts or not self._write(IfMatch=stamp):
            return False
        self.taken_over = age
        return True

    def confirm(self) -> None:
        """Renew it; LakehouseError where another run has taken it over."""
        if not self._write(IfMatch=self._stamp):
            raise LakehouseError(
                f"S3 has not heard from this run for more than {self._lasts} and another one has taken over its lock, "
                f"or somebody removed it: s3://{self._object['Bucket']}/{self._object['Key']}. Nothing more was "
                "changed. Run it again.",
                retry=True,
            )

    def _renew(self, over: threading.Event, pulse: Any) -> None:
        while not over.wait(self._lasts.total_seconds() / 4):
            with suppress(ClientError, BotoCoreError):  # tried again the next time
                if not self._write(pulse, IfMatch=self._stamp):
                    return

    def _give_back(self) -> None:
        # What fails here hides no error: the lock is taken over after its lease.
        with suppress(ClientError, BotoCoreError):
            found = self._find()
            if found is not None and found[0] == self._owner:
                self._client.delete_object(**self._object, IfMatch=found[1])

    def _write(self, client: Any = None, **condition: str) -> bool:
        """Whether the object was as the condition says, or is this holder's already, and has been replaced."""
        content = f"{self._owner} {uuid4().hex}"  # another one each time, so that it has another stamp
        client = client or self._client
        try:
            self._stamp = client.put_object(**self._object, Body=content.encode(), **condition)["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in (*NOT_MET, *GONE):
                raise
            # This holder's, where the answer to a write was lost, or two of its threads wrote.
            found = self._find(client)
            return found is not None and found[0] == self._owner and self._write(client, IfMatch=found[1])
        return True

    def _find(self, client: Any = None) -> tuple[str, str, timedelta] | None:
        """Its owner, stamp and age; None where there is no such object."""
        try:
            answer = (client or self._client).get_object(**self._object)
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        owner, _, _ = answer["Body"].read().decode().partition(" ")
        return owner, answer["ETag"], now - answer["LastModified"]
