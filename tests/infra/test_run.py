"""A run of all tables needs no more than the orchestrator's policy allows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sample.feeds import write_feeds
from tests.infra.stack import Stack
from tests.servers.ministack import Aws
from tests.support import ROOT


def policy_for(stack: Stack) -> str:
    """The orchestrator's policy, and what MiniStack alone asks for: it takes a database for a table, and no notice of
    the workgroup that a query is in."""
    policy = json.loads(stack.policy("OrchestratorPolicy"))
    database = stack.arn("glue", f"table/{stack.settings['STEDI_DATABASE']}")
    queries = [f"athena:{name}" for name in ("GetQueryExecution", "GetQueryResults", "StopQueryExecution")]
    policy["Statement"] += [
        {"Effect": "Allow", "Action": "glue:GetDatabase", "Resource": database},
        {"Effect": "Allow", "Action": queries, "Resource": "*"},
    ]
    return json.dumps(policy)


def test_the_orchestrators_policy_is_enough_to_bring_feeds_from_s3_and_to_publish_every_table(
    aws_account: Aws, tmp_path: Path
) -> None:
    # Longer than a second: it is a whole run.
    source = aws_account.new_bucket()
    expected = write_feeds(tmp_path / "feeds", customers=20)
    for path in (tmp_path / "feeds").rglob("*"):
        if path.is_file():
            key = str(path.relative_to(tmp_path / "feeds"))
            aws_account.client("s3").put_object(Bucket=source, Key=key, Body=path.read_bytes())
    # Without the rule on TLS: the engine and Arrow cannot tell the server that a proxy ended it.
    stack = Stack.deploy(aws_account, "run", {"Database": "run", "SourceBucket": source}, "BucketPolicy")
    settings = {**stack.settings, "STEDI_SPARK": "embedded", "STEDI_SOURCE": f"s3://{source}"}
    home = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    dagster = Path(sys.executable).with_name("dagster")
    done = subprocess.run(
        [dagster, "asset", "materialize", "-m", "stedi_assets", "--select", "*machine_learning_curated"],
        cwd=tmp_path,
        env={**os.environ, **aws_account.new_user(policy_for(stack)), **settings, **home},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for feed in ("customer", "accelerometer", "step_trainer"):  # made by Athena's DDL
        aws_account.client("glue").get_table(DatabaseName="run", Name=f"{feed}_landing")
    published = aws_account.client("glue").get_table(DatabaseName="run", Name="machine_learning_curated")["Table"]
    metadata = published["Parameters"]["metadata_location"].removeprefix(f"s3://{stack.bucket}/")
    content = json.loads(aws_account.client("s3").get_object(Bucket=stack.bucket, Key=metadata)["Body"].read())
    assert int(content["snapshots"][-1]["summary"]["total-records"]) == expected.customer["machine_learning_curated"]
