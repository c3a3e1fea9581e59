"""A Spark Connect session that AWS runs: asked for once, waited for, and ended whatever happens.

Belongs here: the life of one session, as far as all services have it in common. Does not belong here: one service's
calls and words (`emr_serverless.py`, `glue.py`), when a run needs a session (`remote.py`), or the connection to it
(`channel.py`).
"""

from __future__ import annotations

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from resources.errors import LakehouseError, translate_errors, without_caller

SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
REPORT_EVERY = 30.0
SECONDS_TO_BILL = 60.0
OVER_QUOTA = ("ServiceQuotaExceededException", "ResourceNumberLimitExceededException")
GONE = ("EntityNotFoundException", "ResourceNotFoundException")
# A worker's wrong setting has words like these, too: «Memory must be between 8 GB and 30 GB for 4 vCPU».
OF_ROOM = re.compile(
    r"quota|\b(exceed\w*|insufficient|not enough) (\w+ ){0,3}(\w*capacity|v?cpus?|dpus?)\b"
    r"|\b(for|no) capacity|\b(v?cpus?|dpus?) limit",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Endpoint:
    """Where a session is: a URL or a host, the token that it takes, and when that expires."""

    url: str
    token: str = field(repr=False)
    expires: datetime


class Seen(NamedTuple):
    """What AWS says of a session: its state, why it is in it, and what is billed, in hours, once that is known."""

    state: str
    details: str | None
    billed: Mapping[str, float] | None


class RemoteSession(ABC):
    """One session. `request` is what it is asked for with.

    The same request means the same session, so it can be made again where its answer was lost.
    """

    SERVICE: ClassVar[str]  # how sentences call it
    SETTINGS: ClassVar[str]  # what the names of its settings begin with
    READY: ClassVar[tuple[str, ...]]
    OVER: ClassVar[tuple[str, ...]]  # about to be, and over; FAILED is every service's word for the rest
    BILLS: ClassVar[Mapping[str, str]]  # units, by the settings' names and as people read them
    MORE_ROOM: ClassVar[str]  # what to do where a session finds none, with the name of the quota

    def __init__(self, client: Any, log: logging.Logger, request: Mapping[str, Any]) -> None:
        self._client = client
        self._log = log
        self._request = request
        self._may_exist = False
        self._looked = float("-inf")
        self._known = Seen("", None, None)
        self.id = ""

    @abstractmethod
    def _submit(self) -> str:
        """Ask for the session; its id."""

    @abstractmethod
    def _look(self) -> Seen:
        """Ask what became of it."""

    @abstractmethod
    def _endpoint(self) -> Endpoint:
        """Ask where to connect to, and with which token."""

    @abstractmethod
    def _end(self) -> None:
        """Ask for its end."""

    def __str__(self) -> str:
        """How sentences call the session."""
        return f"{self.SERVICE} session {self.id}"

    def start(self) -> bool:
        """Ask for the session. False where the request is that of one which has ended already."""
        self._ask()
        self._log.info(f"{self} was asked for")
        return self.look().state not in self.OVER

    def wait(self, minutes: float) -> None:
        """Return when the session can be used. LakehouseError where it fails, or takes longer than that."""
        began = reported = time.monotonic()
        pause, before = SHORTEST_PAUSE, ""
        while (state := self.look().state) not in self.READY:
            now = time.monotonic()
            if state in ("FAILED", *self.OVER):
                raise LakehouseError(f"{self} did not start, it is {self._described()}", retry=True)
            if now - began > minutes * 60:
                raise LakehouseError(
                    f"{self} did not start within {minutes:g} minutes, it is still {self._described()} It is being "
                    f"terminated. Look at what else runs there, or set {self.SETTINGS}_START_MINUTES to more."
                )
            if state != before or now - reported >= REPORT_EVERY:
                self._log.info(f"{self} is {state} after {now - began:.0f} s")
                before, reported = state, now
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)

    def look(self) -> Seen:
        """What AWS says of the session now. One that it has known, and knows no more, is over."""
        from botocore.exceptions import ClientError

        with translate_errors(f"look at {self}"):
            try:
                self._known = self._look()
            except ClientError as error:
                # One that nobody has seen yet may be about to appear, and has to be terminated then.
                if error.response["Error"]["Code"] not in GONE or not self._known.state:
                    raise
                self._known = Seen(self.OVER[1], "AWS knows it no more", None)
        self._looked = time.monotonic()
        return self._known

    def is_alive(self, seconds: float) -> bool:
        """Whether the session has not ended, as of so many seconds ago at most. Yes, where AWS cannot be asked."""
        if time.monotonic() - self._looked > seconds:
            try:
                self.look()
            except LakehouseError as error:
                self._log.warning(error.description)
        return self._known.state not in ("FAILED", *self.OVER)

    def why_ended(self) -> str | None:
        """The sentence that says how the session ended; None where it lives."""
        return None if self.is_alive(0) else f"{self} has ended, it is {self._described()}"

    def endpoint(self) -> Endpoint:
        """Where to connect to, a token, and when that expires. Not to be logged."""
        with translate_errors(f"get the endpoint of {self}"):
            return self._endpoint()

    def terminate(self) -> None:
        """End the session, also one whose start was never answered. Tells in the log where that fails."""
        try:
            if not self.id and self._may_exist:
                self._ask()
            if self.id and self.is_alive(0):
                with translate_errors(f"terminate {self}"):
                    self._end()
                self._log.info(f"{self} is being terminated")
        except LakehouseError as error:
            self._log.error(
                f"{error.description} The session may still run, until it has been idle for the minutes in "
                f"{self.SETTINGS}_IDLE_MINUTES; look at the sessions of {self.SERVICE} in the AWS console."
            )

    def billed(self) -> Mapping[str, float] | None:
        """The hours of each unit that AWS bills for the ended session; None where it does not say so within
        SECONDS_TO_BILL.
        """
        until = time.monotonic() + SECONDS_TO_BILL
        pause = SHORTEST_PAUSE
        while self.id:
            if (hours := self.look().billed) is not None or time.monotonic() > until:
                return hours
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return {}

    def _described(self) -> str:
        details = without_caller(self._known.details or "AWS gives no details").rstrip(".")
        return f"{self._known.state}: {details}.{f' {self.MORE_ROOM}.' if OF_ROOM.search(details) else ''}"

    def _ask(self) -> None:
        from botocore.exceptions import ClientError

        with translate_errors(f"start a session of {self.SERVICE}"):
            self._may_exist = True
            try:
                self.id = self._submit()
            except ClientError as error:
                answer, refusal = error.response["ResponseMetadata"], error.response["Error"]
                # A plain refusal starts nothing. A failure on AWS's side may have come after the session did.
                unsure = "Timeout" in refusal["Code"] or answer["HTTPStatusCode"] >= 500
                self._may_exist = unsure or answer.get("RetryAttempts", 0) > 0
                if refusal["Code"] not in OVER_QUOTA:
                    raise
                said = without_caller(refusal["Message"]).rstrip(".")
                raise LakehouseError(f"{self.SERVICE} starts no session: {said}. {self.MORE_ROOM}.") from None
