"""Runs on a session of AWS's, as a user sees them afterwards; the servers are the fixtures `emr` and `glue`.

Belongs here: the smallest run there is, of one asset that counts some rows. Runs of STEDI's tables are in
`tests/stedi_assets/test_on_sessions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from resources.engines.emr_serverless import EmrServerlessSpark
from resources.engines.glue import GlueSpark
from resources.engines.remote import RemoteSpark
from resources.errors import LakehouseError
from tests.servers.emr_serverless import APPLICATION
from tests.servers.sessions import ROLE, SessionService


def engine(service: SessionService | str, **fields: Any) -> RemoteSpark:
    """The engine on the test server, which is given by itself or by boto3's name of it."""
    if (service if isinstance(service, str) else service.API) == "glue":
        return GlueSpark(**{"execution_role_arn": ROLE, "database": "stedi", **fields})
    return EmrServerlessSpark(**{"application_id": APPLICATION, "execution_role_arn": ROLE, **fields})


@dataclass
class Run:
    """A run that has ended, and the numbers that its asset counted."""

    result: dg.ExecuteInProcessResult
    counted: list[int] = field(default_factory=list)

    @property
    def failures(self) -> list[dg.DagsterEvent]:
        return [event for event in self.result.all_events if event.is_step_failure]

    @property
    def failure(self) -> str:
        """What the failed step told the user."""
        (event,) = self.failures
        told = event.step_failure_data.user_failure_data
        return str(told.description if told else event.step_failure_data.error_display_string)

    @property
    def metadata(self) -> dict[str, Any]:
        (event,) = self.result.get_asset_materialization_events()
        return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def run(
    service: SessionService,
    then: Callable[[RemoteSpark], None] = lambda spark: None,
    instance: dg.DagsterInstance | None = None,
    retries: int = 0,
    **fields: Any,
) -> Run:
    """Materialize an asset that counts three rows, does `then`, and counts four."""
    counted: list[int] = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=retries) if retries else None)
    def table(spark: dg.ResourceParam[RemoteSpark]) -> dg.MaterializeResult[Any]:
        with spark.at_work():
            counted.append(spark.spark_session.range(3).count())
            then(spark)
            counted.append(spark.spark_session.range(4).count())
        return dg.MaterializeResult(metadata=spark.metadata)

    result = dg.materialize(
        [table], resources={"spark": engine(service, **fields)}, instance=instance, raise_on_error=False
    )
    return Run(result, counted)


def refusal(service: SessionService, retry: bool, **fields: Any) -> str:
    """What the first table that needs the engine is told. No session is left by then."""
    with closing(engine(service, **fields)) as spark:
        with pytest.raises(LakehouseError) as refused:
            _ = spark.spark_session
        assert not service.alive
    assert refused.value.allow_retries is retry
    return str(refused.value.description)
