"""Apache Spark on EMR Serverless: one session for a run, on an application that exists, billed by use.

Belongs here: which releases suit, when a run needs a session, what the session is started with, what the run says of
it, and the bill. Does not belong here: the session's life (`emr_session.py`), the connection to it (`channel.py`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr

from resources.aws import client
from resources.engines.emr_session import EmrSession
from resources.engines.engine import COMMON_CONF, SparkEngine, connect
from resources.errors import LakehouseError, translate_errors
from resources.settings import PRICES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession as PySparkSession

    from resources.engines.channel import EmrChannel

SPARK_OF = {
    "emr-spark-8.2.0": "4.1.3",
    "emr-spark-8.1.0": "4.1.1",
    "emr-spark-8.0.0": "4.0.2",
    "emr-7.13.0": "3.5.6",
}
"""Releases with interactive sessions, and the Spark that each runs. A Spark Connect client must equal its server."""
BILLED = {"vCPUHour": "vCPU-hours", "memoryGBHour": "GB-hours", "storageGBHour": "storage GB-hours"}
"""What AWS bills a session for, by its names and by ours, in the order of PRICES. Storage: beyond what is free."""
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
IDLE_LOOK = 60.0  # AWS ends idle sessions, so one that was not used for so many seconds is looked at first
RETRY_LOOK = 0.5


class EmrServerlessSpark(SparkEngine):
    """A Spark Connect session on EMR Serverless. `conf` are settings of Spark's for the session.

    The other fields are those of `settings.Emr`; `code_version` is what the session is tagged with.
    """

    application_id: str
    execution_role_arn: str
    idle_minutes: int = 15
    start_minutes: float = 10
    prices: dict[str, float] = Field(default_factory=dict)
    conf: dict[str, str] = Field(default_factory=dict)
    code_version: str = "unknown"

    _client: Any = PrivateAttr(default=None)
    _release: str = PrivateAttr(default="")
    _run_id: str = PrivateAttr(default_factory=lambda: str(uuid.uuid4()))
    _job: str = PrivateAttr(default="none")
    _started: list[EmrSession] = PrivateAttr(default_factory=list)
    _current: EmrSession | None = PrivateAttr(default=None)
    _channel: EmrChannel | None = PrivateAttr(default=None)
    _spark_version: str = PrivateAttr(default="")

    @property
    def engine(self) -> str:
        """The release and its Spark, as far as they are known yet."""
        return (
            f"EMR Serverless {self._release} (Spark {SPARK_OF[self._release]})" if self._release else "EMR Serverless"
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """The engine, and the session that is at work."""
        if self._current is None:
            return super().metadata
        return {
            **super().metadata,
            "EMR application": self.application_id,
            "EMR session": self._current.id,
            "Spark version": self._spark_version,
        }

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Take the run's name, by which its sessions are known."""
        super().setup_for_execution(context)
        if context.dagster_run is not None:
            self._run_id, self._job = context.dagster_run.run_id, context.dagster_run.job_name

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Terminate the session, whether the run succeeded, failed or was terminated; then tell what AWS bills."""
        super().teardown_after_execution(context)
        if self._started:
            self._report_bill(context)

    def start(self) -> PySparkSession:
        """Start a session and connect to it. LakehouseError where it cannot work, did not come up (worth a retry), or
        AWS refuses it; no session is left then.
        """
        self.stop()  # what an interrupted start may have left
        self._quiet()
        if self._client is None:
            self._client = client("emr-serverless")
        from pyspark import __version__ as pyspark

        with translate_errors(f"look at EMR Serverless application {self.application_id}"):
            application = self._client.get_application(applicationId=self.application_id)["application"]
        self._release = require_suitable(application, pyspark)
        try:
            return self._connect(self._begin())
        except Exception as error:
            sentence = self.why_lost(error)
            self.stop()
            if sentence:
                raise LakehouseError(sentence, retry=True) from None
            raise

    def stop(self) -> None:
        """Terminate the session, which takes AWS a moment, and end what still speaks to it."""
        if self._channel is not None:
            self._channel.refuse_calls()
        if self._current is not None:
            self._current.terminate()
            self._current = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def close(self) -> None:
        """Terminate the session first: whatever takes long after that costs nothing."""
        self.stop()
        super().close()

    def is_alive(self) -> bool:
        """Whether the session has not ended."""
        return self._current is not None and self._current.is_alive(IDLE_LOOK)

    def why_lost(self, error: Exception) -> str | None:
        """What became of the session, or of the connection to it."""
        from grpc import RpcError, StatusCode
        from pyspark.errors import PySparkException

        if self._current is None or not isinstance(error, PySparkException | RpcError):
            return None
        nothing = "Nothing was published. Materialize it again, which starts a fresh session."
        if ended := self._current.why_ended():
            return f"{ended} {nothing}"
        code = getattr(error, "getGrpcStatusCode", lambda: None)()
        if code in (StatusCode.UNAVAILABLE, StatusCode.UNAUTHENTICATED):
            return f"The connection to {self._current} is lost ({code.name}); the session was terminated. {nothing}"
        return None

    def _begin(self) -> EmrSession:
        """A session that is ready. The same run asks for the same one, until that has ended."""
        while True:
            token = f"{self._run_id}-{len(self._started) + 1}"
            session = self._current = EmrSession(self._client, self._log, self._request(token))
            self._started.append(session)
            if session.start():
                session.wait(self.start_minutes)
                return session

    def _request(self, token: str) -> dict[str, Any]:
        spark = {"classification": "spark-defaults", "properties": {**COMMON_CONF, **SESSION_CONF, **self.conf}}
        return {
            "applicationId": self.application_id,
            "clientToken": token,
            "executionRoleArn": self.execution_role_arn,
            "configurationOverrides": {"runtimeConfiguration": [spark]},
            "idleTimeoutMinutes": self.idle_minutes,
            "name": f"stedi-{token}",
            "tags": {
                "stedi:run-id": self._run_id,
                "stedi:job": self._job,
                "stedi:code-version": self.code_version,
            },
        }

    def _connect(self, session: EmrSession) -> PySparkSession:
        from resources.engines.channel import AuthToken, EmrChannel, WhileItLives

        self._channel = EmrChannel(AuthToken(session.endpoint))
        spark = connect(self._channel, WhileItLives(lambda: session.is_alive(RETRY_LOOK)))
        self._spark_version = spark.version
        return spark

    def _report_bill(self, context: dg.InitResourceContext) -> None:
        try:
            bills = [bill for session in self._started if (bill := session.billed()) is not None]
        except LakehouseError as error:
            self._log.warning(f"What the run costs is not known. {error.description}")
            return
        if len(bills) < len(self._started):
            self._log.warning("AWS does not say yet what it bills for the run's session; see GetSession later.")
            return
        hours = {unit: sum(float(bill.get(name, 0)) for bill in bills) for name, unit in BILLED.items()}
        numbers = {f"billed {unit} of the run": round(amount, 4) for unit, amount in hours.items()}
        sentence = f"EMR Serverless bills {', '.join(f'{amount:.4f} {unit}' for unit, amount in hours.items())}"
        if self.prices:
            cost = sum(self.prices[price] * amount for price, amount in zip(PRICES, hours.values(), strict=True))
            numbers["estimated cost of the run"] = round(cost, 4)
            sentence += f", which is {cost:.4f} by the prices in STEDI_EMR_PRICES"
        self._log.info(f"{sentence}, for this run")
        if context.instance is not None and context.dagster_run is not None:
            _observe(context.instance, self._run_id, numbers)

    def _quiet(self) -> None:
        logging.getLogger("pyspark").setLevel(logging.ERROR)
        # At level DEBUG it writes AWS's answers as they come, and one of them holds the token.
        logging.getLogger("botocore.parsers").setLevel(logging.INFO)


def require_suitable(application: Mapping[str, Any], pyspark: str) -> str:
    """The application's release. LakehouseError where a client with this version of pyspark cannot use it."""
    label, name = application["releaseLabel"], f"EMR Serverless application {application['applicationId']}"
    spark = SPARK_OF.get(label)
    suitable = next((label for label, version in SPARK_OF.items() if version == pyspark), None)
    advice = [f"choose release {suitable} for the application"] if suitable else []
    if spark is None:
        advice = advice or [f"choose one of {', '.join(SPARK_OF)}, and the pyspark of its version"]
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


def _observe(instance: dg.DagsterInstance, run_id: str, metadata: dict[str, float]) -> None:
    """Add numbers to every asset that the run made; the UI plots them over time."""
    made = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    for key in {entry.asset_key for entry in (log.get_dagster_event() for log in made) if entry.asset_key}:
        shown: dict[str, Any] = {**metadata, "run": dg.MetadataValue.dagster_run(run_id)}
        instance.report_runless_asset_event(dg.AssetObservation(key, metadata=shown))
