"""Which Spark each EMR release runs, and whether an application can serve this client.

Belongs here: the table of releases, and what an application must be like. Does not belong here: calling AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resources.engines.engine import EngineError

SPARK_OF = {
    "emr-spark-8.2.0": "4.1.3",
    "emr-spark-8.1.0": "4.1.1",
    "emr-spark-8.0.0": "4.0.2",
    "emr-7.13.0": "3.5.6",
}
"""Releases with interactive sessions, and the Spark that each runs. A Spark Connect client must equal its server."""


def require_suitable(application: Mapping[str, Any], pyspark: str) -> str:
    """The application's release. EngineError where a client with this version of pyspark cannot use it."""
    label, name = application["releaseLabel"], f"EMR Serverless application {application['applicationId']}"
    spark = SPARK_OF.get(label)
    suitable = next((label for label, version in SPARK_OF.items() if version == pyspark), None)
    advice = [f"choose release {suitable} for the application"] if suitable else []
    if spark is None:
        advice = advice or [f"choose one of {', '.join(SPARK_OF)}, and the pyspark of its version"]
        raise EngineError(f"{name} has release {label}, whose Spark is not known here: {advice[0]}.")
    if spark != pyspark:
        advice.append(f"install pyspark=={spark} here")
        raise EngineError(
            f"{name} has release {label}, which runs Spark {spark}, but pyspark {pyspark} is installed here, and the "
            f"two must be equal: {', or '.join(advice)}."
        )
    if not application.get("interactiveConfiguration", {}).get("sessionEnabled"):
        raise EngineError(
            f"{name} has no interactive sessions enabled: stop it, and run aws emr-serverless update-application "
            f"--application-id {application['applicationId']} --interactive-configuration sessionEnabled=true"
        )
    return str(label)
