"""Apache Spark on AWS Glue: an interactive session with workers of its own, and no application to keep.

Belongs here: what Glue is asked for, and its words for it. Does not belong here: what the services of sessions have in
common (`remote.py`, `remote_session.py`), or Glue's catalog (`resources/iceberg`).
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from resources.engines.engine import COMMON_CONF
from resources.engines.remote import SPARK_OF, RemoteSpark
from resources.engines.remote_session import Endpoint, RemoteSession, Seen
from resources.errors import LakehouseError
from resources.settings import Glue

SECONDS_TO_STOP = 90.0  # a session is ready after half a minute, and may not be stopped before
STOP_PAUSE = 1.0
LEAST_SECONDS_BILLED = 60


class GlueSession(RemoteSession):
    """An interactive session. Its caller chooses its id, so one that was asked for twice is one."""

    SERVICE = "AWS Glue"
    SETTINGS = "STEDI_GLUE"
    READY = ("READY",)
    OVER = ("STOPPING", "STOPPED", "TIMEOUT")
    BILLS = Glue.UNITS
    MORE_ROOM = (
        "Wait until other sessions and jobs have ended, ask for fewer workers (STEDI_GLUE_WORKERS), or raise the "
        "account's quota «Max task DPUs per account» of AWS Glue: aws service-quotas list-service-quotas "
        "--service-code glue says what it is, and what its code is to ask for more"
    )

    def _submit(self) -> str:
        with suppress(self._client.exceptions.AlreadyExistsException):
            self._client.create_session(**self._request)
        return str(self._request["Id"])

    def _look(self) -> Seen:
        session = self._client.get_session(Id=self.id)["Session"]
        seconds = session.get("DPUSeconds") if "CompletedOn" in session else None
        if seconds is None:
            return Seen(session["Status"], session.get("ErrorMessage"), None)
        least = LEAST_SECONDS_BILLED * session.get("MaxCapacity", 0)
        return Seen(session["Status"], session.get("ErrorMessage"), {"dpu-hour": max(seconds, least) / 3600})

    def _endpoint(self) -> Endpoint:
        answer = self._client.get_session_endpoint(SessionId=self.id)["SparkConnect"]
        return Endpoint(answer["Url"], answer["AuthToken"], answer["AuthTokenExpirationTime"])

    def _end(self) -> None:
        until, errors = time.monotonic() + SECONDS_TO_STOP, self._client.exceptions
        while True:
            try:
                self._client.stop_session(Id=self.id)
                return
            except (errors.IllegalSessionStateException, errors.ConcurrentModificationException):
                if not self.is_alive(0):
                    return
                if time.monotonic() > until:
                    raise
            time.sleep(STOP_PAUSE)


class GlueSpark(RemoteSpark):
    """A session of `workers` workers, one of which is the driver, of a type of Glue's.

    Its id begins with `database`: policies tell one lakehouse's sessions from another's by it.
    """

    SESSION = GlueSession
    API = "glue"
    LABEL = "Glue"

    database: str
    workers: int = 2
    worker_type: str = "G.1X"

    def suitable_release(self, pyspark: str) -> str:
        """The release whose Spark the client speaks."""
        releases = SPARK_OF[GlueSession.SERVICE]
        for release, spark in releases.items():
            if spark == pyspark:
                return release
        choices = " or ".join(f"pyspark=={spark} (for Glue {release})" for release, spark in releases.items())
        raise LakehouseError(
            f"No release of AWS Glue runs Spark {pyspark}, the version of pyspark that is installed here, and the two "
            f"must be equal: install {choices} here."
        )

    def request(self, token: str) -> dict[str, Any]:
        """What CreateSession is called with."""
        conf = " --conf ".join(f"{name}={value}" for name, value in {**COMMON_CONF, **self.conf}.items())
        return {
            "Id": f"{self.database}-{token}",
            "Role": self.execution_role_arn,
            "Command": {"Name": "glueetl", "PythonVersion": "3"},
            "SessionType": "SPARK_CONNECT",
            "GlueVersion": self._release,
            "WorkerType": self.worker_type,
            "NumberOfWorkers": self.workers,
            "IdleTimeout": self.idle_minutes,
            "DefaultArguments": {"--conf": conf},  # Glue's way to give several
            "Tags": self.tags,
        }
