"""Apache Spark behind a session that AWS runs: one session for a run, billed by use.

Belongs here: what such engines have in common: which releases suit, when a run needs a session, what the run says of
it, and the bill. Does not belong here: a session's life (`remote_session.py`), the connection to it (`channel.py`), or
what one service is asked for (`emr_serverless.py`, `glue.py`).
"""

from __future__ import annotations

import logging
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg
from pydantic import Field, PrivateAttr

from resources.aws import client
from resources.engines.engine import SparkEngine, connect
from resources.engines.remote_session import RemoteSession
from resources.errors import LakehouseError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession as PySparkSession

    from resources.engines.channel import TokenChannel

SPARK_OF = {
    "AWS Glue": {"6.0": "4.1.1", "5.1": "3.5.6"},
    "EMR Serverless": {
        "emr-spark-8.2.0": "4.1.3",
        "emr-spark-8.1.0": "4.1.1",
        "emr-spark-8.0.0": "4.0.2",
        "emr-7.13.0": "3.5.6",
    },
}
"""Releases with sessions, and the Spark that each runs. A Spark Connect client must equal its server."""
IDLE_LOOK = 60.0  # AWS ends idle sessions, so one that was not used for so many seconds is looked at first
RETRY_LOOK = 0.5


class RemoteSpark(SparkEngine, ABC):
    """An engine with one session for a run. `conf` are settings of Spark's for the session.

    The other fields are those of `settings.Sessions`; `code_version` is what the session is tagged with.
    """

    SESSION: ClassVar[type[RemoteSession]]
    API: ClassVar[str]  # boto3's name of the service
    LABEL: ClassVar[str]  # the service, in the names of metadata

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
    _started: list[RemoteSession] = PrivateAttr(default_factory=list)
    _current: RemoteSession | None = PrivateAttr(default=None)
    _channel: TokenChannel | None = PrivateAttr(default=None)
    _spark_version: str = PrivateAttr(default="")

    @abstractmethod
    def suitable_release(self, pyspark: str) -> str:
        """The release that sessions have. LakehouseError where a client with this pyspark cannot use it."""

    @abstractmethod
    def request(self, token: str) -> dict[str, Any]:
        """What the session is asked for with; the same token means the same session."""

    @property
    def engine(self) -> str:
        """The release and its Spark, as far as they are known yet."""
        service = self.SESSION.SERVICE
        return f"{service} {self._release} (Spark {SPARK_OF[service][self._release]})" if self._release else service

    @property
    def metadata(self) -> dict[str, Any]:
        """The engine, and the session that is at work."""
        if self._current is None:
            return super().metadata
        return {**super().metadata, f"{self.LABEL} session": self._current.id, "Spark version": self._spark_version}

    @property
    def tags(self) -> dict[str, str]:
        """What every session of the run is tagged with."""
        return {"stedi:run-id": self._run_id, "stedi:job": self._job, "stedi:code-version": self.code_version}

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
        logging.getLogger("pyspark").setLevel(logging.ERROR)
        # At level DEBUG it writes AWS's answers as they come, and one of them holds the token.
        logging.getLogger("botocore.parsers").setLevel(logging.INFO)
        from pyspark import __version__ as pyspark

        if self._client is None:
            self._client = client(self.API)
        self._release = self.suitable_release(pyspark)
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

    def _begin(self) -> RemoteSession:
        """A session that is ready. The same run asks for the same one, until that has ended."""
        while True:
            request = self.request(f"{self._run_id}-{len(self._started) + 1}")
            session = self._current = self.SESSION(self._client, self._log, request)
            self._started.append(session)
            if session.start():
                session.wait(self.start_minutes)
                return session

    def _connect(self, session: RemoteSession) -> PySparkSession:
        from resources.engines.channel import AuthToken, TokenChannel, WhileItLives

        self._channel = TokenChannel(AuthToken(session.endpoint))
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
        units = self.SESSION.BILLS
        hours = {unit: sum(bill.get(unit, 0.0) for bill in bills) for unit in units}
        numbers = {f"billed {units[unit]} of the run": round(amount, 4) for unit, amount in hours.items()}
        said = ", ".join(f"{amount:.4f} {units[unit]}" for unit, amount in hours.items())
        sentence = f"{self.SESSION.SERVICE} bills {said}"
        if self.prices:
            cost = sum(self.prices[unit] * amount for unit, amount in hours.items())
            numbers["estimated cost of the run"] = round(cost, 4)
            sentence += f", which is {cost:.4f} by the prices in {self.SESSION.SETTINGS}_PRICES"
        self._log.info(f"{sentence}, for this run")
        if context.instance is not None and context.dagster_run is not None:
            _observe(context.instance, self._run_id, numbers)


def _observe(instance: dg.DagsterInstance, run_id: str, metadata: dict[str, float]) -> None:
    """Add numbers to every asset that the run made; the UI plots them over time."""
    made = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    for key in {entry.asset_key for entry in (log.get_dagster_event() for log in made) if entry.asset_key}:
        shown: dict[str, Any] = {**metadata, "run": dg.MetadataValue.dagster_run(run_id)}
        instance.report_runless_asset_event(dg.AssetObservation(key, metadata=shown))
