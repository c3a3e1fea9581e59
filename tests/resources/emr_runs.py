"""Runs on EMR Serverless, as a user sees them afterwards; the server is the fixture `emr`.

Belongs here: the smallest run there is, of one asset that counts some rows. Runs of STEDI's tables are in
`tests/stedi_assets/test_on_emr.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from resources.engines.emr_serverless import EmrServerlessSpark
from tests.servers.emr_serverless import APPLICATION, ROLE


def engine(**fields: Any) -> EmrServerlessSpark:
    """The engine on the test server's application."""
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
    then: Callable[[EmrServerlessSpark], None] = lambda spark: None,
    instance: dg.DagsterInstance | None = None,
    retries: int = 0,
    **fields: Any,
) -> Run:
    """Materialize an asset that counts three rows, does `then`, and counts four."""
    counted: list[int] = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=retries) if retries else None)
    def table(spark: EmrServerlessSpark) -> dg.MaterializeResult[Any]:
        with spark.at_work():
            counted.append(spark.spark_session.range(3).count())
            then(spark)
            counted.append(spark.spark_session.range(4).count())
        return dg.MaterializeResult(metadata=spark.metadata)

    result = dg.materialize([table], resources={"spark": engine(**fields)}, instance=instance, raise_on_error=False)
    return Run(result, counted)
