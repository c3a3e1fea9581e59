"""The life of one session on EMR Serverless: asked for once, waited for, and terminated whatever happens.

Belongs here: the calls of AWS's API that start, watch and end a session. Does not belong here: speaking Spark Connect
to it (`channel.py`), or when a run needs one (`emr_serverless.py`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from resources.errors import LakehouseError, translate_errors, without_caller

READY = ("STARTED", "IDLE", "BUSY")
OVER = ("TERMINATING", "TERMINATED")
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
REPORT_EVERY = 30.0
SECONDS_TO_BILL = 60.0
OF_CAPACITY = re.compile("quota|vcpu|capacity", re.IGNORECASE)
MORE_CAPACITY = (
    "Wait until other sessions have ended, ask for smaller ones (STEDI_SPARK_CONF), raise the application's maximum "
    "capacity, or raise the account's quota «Max concurrent vCPUs per account» of EMR Serverless, which is 16 or less "
    "on a new account: aws service-quotas request-service-quota-increase --service-code emr-serverless --quota-code "
    "L-D05C8A75 --desired-value 32"
)
"""What to do where a session finds no room."""


class EmrSession:
    """One session. `request` is what StartSession is called with, its client token among it.

    The same client token means the same session, so a call can be made again where its answer was lost.
    """

    def __init__(self, client: Any, log: logging.Logger, request: Mapping[str, Any]) -> None:
        self._client = client
        self._log = log
        self._request = request
        self._may_exist = False
        self._looked = float("-inf")
        self._known: dict[str, Any] = {}
        self.id = ""

    def __str__(self) -> str:
        """How sentences call the session."""
        return f"EMR Serverless session {self.id}"

    def start(self) -> bool:
        """Ask for the session. False where the client token is that of one which has ended already."""
        self._submit()
        self._log.info(f"{self} was asked for")
        return self.look()["state"] not in OVER

    def wait(self, minutes: float) -> None:
        """Return when the session can be used. LakehouseError where it fails, or takes longer than that."""
        began = reported = time.monotonic()
        pause, before = SHORTEST_PAUSE, ""
        while (state := self.look()["state"]) not in READY:
            now = time.monotonic()
            if state == "FAILED" or state in OVER:
                raise LakehouseError(f"{self} did not start, it is {self._described()}", retry=True)
            if now - began > minutes * 60:
                raise LakehouseError(
                    f"{self} did not start within {minutes:g} minutes, it is still {self._described()} It is being "
                    "terminated. Look at what else uses the application, or set STEDI_EMR_START_MINUTES to more."
                )
            if state != before or now - reported >= REPORT_EVERY:
                self._log.info(f"{self} is {state} after {now - began:.0f} s")
                before, reported = state, now
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)

    def look(self) -> dict[str, Any]:
        """What AWS says of the session now."""
        with translate_errors(f"look at {self}"):
            self._known = self._client.get_session(**self._name)["session"]
        self._looked = time.monotonic()
        return self._known

    def is_alive(self, seconds: float) -> bool:
        """Whether the session has not ended, as of so many seconds ago at most. Yes, where AWS cannot be asked."""
        if time.monotonic() - self._looked > seconds:
            try:
                self.look()
            except LakehouseError as error:
                self._log.warning(error.description)
        return self._known.get("state") != "FAILED" and self._known.get("state") not in OVER

    def why_ended(self) -> str | None:
        """The sentence that says how the session ended; None where it lives."""
        return None if self.is_alive(0) else f"{self} has ended, it is {self._described()}"

    def endpoint(self) -> dict[str, Any]:
        """The address to connect to, a token, and when that expires. Not to be logged."""
        with translate_errors(f"get the endpoint of {self}"):
            answer: dict[str, Any] = self._client.get_session_endpoint(**self._name)
        return answer

    def terminate(self) -> None:
        """End the session, also one whose start was never answered. Tells in the log where that fails."""
        try:
            if not self.id and self._may_exist:
                self._submit()
            if self.id and self.is_alive(0):
                with translate_errors(f"terminate {self}"):
                    self._client.terminate_session(**self._name)
                self._log.info(f"{self} is being terminated")
        except LakehouseError as error:
            self._log.error(
                f"{error.description} The session may still run, until it has been idle for "
                f"{self._request['idleTimeoutMinutes']} minutes; look at the application's sessions in the AWS console."
            )

    def billed(self) -> dict[str, float] | None:
        """What AWS bills for the ended session, in hours of each resource by AWS's names; None where it does not say
        so within SECONDS_TO_BILL.
        """
        until = time.monotonic() + SECONDS_TO_BILL
        pause = SHORTEST_PAUSE
        while self.id:
            session = self.look()
            if session["state"] in ("TERMINATED", "FAILED") and (hours := session.get("billedResourceUtilization")):
                return dict(hours)
            if time.monotonic() > until:
                return None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return {}

    @property
    def _name(self) -> dict[str, str]:
        return {"applicationId": self._request["applicationId"], "sessionId": self.id}

    def _described(self) -> str:
        details = str(self._known.get("stateDetails") or "AWS gives no details").rstrip(".")
        remedy = f" {MORE_CAPACITY}." if OF_CAPACITY.search(details) else ""
        return f"{self._known.get('state')}: {details}.{remedy}"

    def _submit(self) -> None:
        from botocore.exceptions import ClientError

        with translate_errors(f"start a session of EMR Serverless application {self._request['applicationId']}"):
            self._may_exist = True
            try:
                self.id = self._client.start_session(**self._request)["sessionId"]
            except ClientError as error:
                answer = error.response["ResponseMetadata"]
                # A plain refusal starts nothing. A failure on AWS's side may have come after the session did.
                self._may_exist = answer["HTTPStatusCode"] >= 500 or answer.get("RetryAttempts", 0) > 0
                if error.response["Error"]["Code"] != "ServiceQuotaExceededException":
                    raise
                said = without_caller(error.response["Error"]["Message"]).rstrip(".")
                raise LakehouseError(f"AWS starts no session: {said}. {MORE_CAPACITY}.") from None
