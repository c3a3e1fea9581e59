"""Apache Spark on EMR Serverless: a session on an application that exists.

Belongs here: what EMR Serverless is asked for, and its words for it. Does not belong here: what the services of
sessions have in common (`remote.py`, `remote_session.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resources.engines.engine import COMMON_CONF
from resources.engines.remote import SPARK_OF, RemoteSpark
from resources.engines.remote_session import Endpoint, RemoteSession, Seen
from resources.errors import LakehouseError, translate_errors
from resources.settings import Emr

BILLED = {"vcpu-hour": "vCPUHour", "gb-hour": "memoryGBHour", "storage-gb-hour": "storageGBHour"}
"""What is billed, by the settings' names and by AWS's. Storage: beyond what is free."""
SESSION_CONF = {
    # A driver and one to five executors of 2 vCPUs: 4 to 12 of the 16 that a new account has (4 to 16 by EMR's own
    # defaults, and no upper end). Spark starts with the larger one of `instances` and `initialExecutors`.
    "spark.driver.cores": "2",
    "spark.driver.memory": "6g",
    "spark.executor.cores": "2",
    "spark.executor.memory": "6g",
    "spark.executor.instances": "1",
    "spark.dynamicAllocation.initialExecutors": "1",
    "spark.dynamicAllocation.maxExecutors": "5",
    # Rows go from worker to worker in shuffles: mutual TLS, with certificates that EMR Serverless makes.
    "spark.ssl.internode.enabled": "true",
}
"""Settings of Spark's for a session, where STEDI_SPARK_CONF does not say otherwise."""


class EmrSession(RemoteSession):
    """A session on an application."""

    SERVICE = "EMR Serverless"
    SETTINGS = "STEDI_EMR"
    READY = ("STARTED", "IDLE", "BUSY")
    OVER = ("TERMINATING", "TERMINATED")
    BILLS = Emr.UNITS
    MORE_ROOM = (
        "Wait until other sessions have ended, ask for smaller ones (STEDI_SPARK_CONF), raise the application's "
        "maximum capacity, or raise the account's quota «Max concurrent vCPUs per account» of EMR Serverless, which is "
        "16 or less on a new account: aws service-quotas request-service-quota-increase --service-code emr-serverless "
        "--quota-code L-D05C8A75 --desired-value 32"
    )

    @property
    def _name(self) -> dict[str, str]:
        return {"applicationId": self._request["applicationId"], "sessionId": self.id}

    def _submit(self) -> str:
        return str(self._client.start_session(**self._request)["sessionId"])

    def _look(self) -> Seen:
        session = self._client.get_session(**self._name)["session"]
        used = session.get("billedResourceUtilization") if session["state"] in ("TERMINATED", "FAILED") else None
        hours = {unit: float(used.get(name, 0)) for unit, name in BILLED.items()} if used else None
        return Seen(session["state"], session.get("stateDetails"), hours)

    def _endpoint(self) -> Endpoint:
        answer = self._client.get_session_endpoint(**self._name)
        return Endpoint(answer["endpoint"], answer["authToken"], answer["authTokenExpiresAt"])

    def _end(self) -> None:
        self._client.terminate_session(**self._name)


class EmrServerlessSpark(RemoteSpark):
    """A session on the application `application_id`."""

    SESSION = EmrSession
    API = "emr-serverless"
    LABEL = "EMR"

    application_id: str

    @property
    def metadata(self) -> dict[str, Any]:
        """The engine, and the session and application that are at work."""
        at_work = {"EMR application": self.application_id} if self._current is not None else {}
        return {**super().metadata, **at_work}

    def suitable_release(self, pyspark: str) -> str:
        """The application's release."""
        with translate_errors(f"look at EMR Serverless application {self.application_id}"):
            application = self._client.get_application(applicationId=self.application_id)["application"]
        return require_suitable(application, pyspark)

    def request(self, token: str) -> dict[str, Any]:
        """What StartSession is called with."""
        spark = {"classification": "spark-defaults", "properties": {**COMMON_CONF, **SESSION_CONF, **self.conf}}
        return {
            "applicationId": self.application_id,
            "clientToken": token,
            "executionRoleArn": self.execution_role_arn,
            "configurationOverrides": {"runtimeConfiguration": [spark]},
            "idleTimeoutMinutes": self.idle_minutes,
            "name": f"stedi-{token}",
            "tags": self.tags,
        }


def require_suitable(application: Mapping[str, Any], pyspark: str) -> str:
    """The application's release. LakehouseError where a client with this version of pyspark cannot use it."""
    label, name = application["releaseLabel"], f"EMR Serverless application {application['applicationId']}"
    releases = SPARK_OF[EmrSession.SERVICE]
    spark = releases.get(label)
    suitable = next((label for label, version in releases.items() if version == pyspark), None)
    advice = [f"choose release {suitable} for the application"] if suitable else []
    if spark is None:
        advice = advice or [f"choose one of {', '.join(releases)}, and the pyspark of its version"]
        raise LakehouseError(f"{name} has release {label}, whose Spark is not known here: {advice[0]}.")
    if spark != pyspark:
        advice.append(f"install pyspark=={spark} here")
        raise LakehouseError(
            f"{name} has release {label}, which runs Spark {spark}, but pyspark {pyspark} is installed here, and the "
            f"two must be equal: {', or '.join(advice)}."
        )
    if not application.get("interactiveConfiguration", {}).get("sessionEnabled"):
        raise LakehouseError(
            f"{name} has no interactive sessions enabled: stop it, and run aws emr-serverless update-application "
            f"--application-id {application['applicationId']} --interactive-configuration sessionEnabled=true"
        )
    return str(label)
