"""Who somebody is, and what gives access, is in no log, event, error or setting: only in tables and landing zones.

The runs are real processes with a Dagster that remembers. Everything that they write outside of tables and landing
zones (its database, what was printed, temporary files) is searched for marked values, byte by byte.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from resources.settings import cache_folder
from tests.servers.emr_serverless import APPLICATION, EmrServerless
from tests.servers.ministack import Aws
from tests.servers.sessions import CALLER, ROLE, Fault
from tests.stedi_assets.marked import MARKS, deliver_marked, found_in, marks_in
from tests.stedi_assets.private_runs import DENIED_ON_AWS, FAIL, SUCCEED
from tests.support import ROOT, Stedi, require_apache_spark

DAGSTER = str(Path(sys.executable).with_name("dagster"))
CLI = [sys.executable, "-m", "stedi_assets.cli"]
ALLOW_ALL = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
ALLOW_NOTHING = ALLOW_ALL.replace("Allow", "Deny")


class Elsewhere:
    """All places where a process writes that are neither its source nor its lakehouse.

    But for the machine's cache: there is no more in it than the classes of Apache Spark, which take long to store.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        for name in ("dagster", "home", "tmp", "cwd", "printed"):
            (folder / name).mkdir(parents=True)
        (folder / "dagster" / "dagster.yaml").write_text((ROOT / ".dagster" / "dagster.yaml").read_text())
        ours = ("STEDI_", "DAGSTER_", "AWS_", "SPARK_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "DAGSTER_HOME": str(folder / "dagster"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "XDG_CACHE_HOME": str(cache_folder().parent),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STEDI_QUARANTINE_LIMIT": "1",
            **environment,
        }

    def run(self, words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command; what it prints is kept with all that it writes."""
        done = subprocess.run(
            words, cwd=self.folder / "cwd", env={**self.environment, **environment}, capture_output=True
        )
        number = len(list((self.folder / "printed").iterdir()))
        (self.folder / "printed" / f"{number}.txt").write_bytes(done.stdout + done.stderr)
        return done

    def fill(self) -> bytes:
        """What Dagster remembers; a test looks into it to know that it searched the right place."""
        return b"".join(path.read_bytes() for path in (self.folder / "dagster").rglob("*.db*"))

    def make(self, stedi: Stedi, engine: str, *runs: str, **environment: str) -> str:
        """Make these runs of `private_runs` in a process; what it printed."""
        words = [sys.executable, "-m", "tests.stedi_assets.private_runs", str(stedi.folder), engine, *runs]
        done = self.run(words, **environment)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return done.stdout.decode()


@pytest.fixture
def marked(stedi: Stedi) -> tuple[Stedi, Elsewhere]:
    """A lakehouse to be made from marked feeds, and everywhere else."""
    deliver_marked(stedi)
    settings = {"STEDI_SOURCE": stedi.settings.source, "STEDI_LAKEHOUSE": stedi.settings.lakehouse}
    return stedi, Elsewhere(stedi.folder / "elsewhere", settings)


def assert_private(stedi: Stedi, elsewhere: Elsewhere) -> None:
    """The marks are in the lakehouse, for there they belong, and nowhere else."""
    assert set.union(*found_in(stedi.folder / "lakehouse").values()) == set(MARKS)
    assert found_in(elsewhere.folder) == {}
    assert marks_in((stedi.folder / "lakehouse" / "catalog.db").read_bytes()) == set()
    assert b"ASSET_CHECK_EVALUATION" in elsewhere.fill()


def bounds(stedi: Stedi, name: str) -> bytes:
    """The least and greatest values in the table's manifests, which are compressed, so that no search finds them."""
    table = stedi.lakehouse.load(name)
    assert table is not None
    files = [task.file for task in table.scan().plan_files()]
    assert any(file.lower_bounds for file in files)
    return b" ".join(
        value for file in files for ends in (file.lower_bounds, file.upper_bounds) for value in ends.values()
    )


@pytest.mark.slow
def test_no_command_tells_who_somebody_is(marked: tuple[Stedi, Elsewhere]) -> None:
    stedi, elsewhere = marked
    made = elsewhere.run([DAGSTER, "asset", "materialize", "-m", "stedi_assets", "--select", "*"])
    assert made.returncode == 0, made.stderr.decode()[-3000:]
    assert all(stedi.counts().values())  # there was something to tell everywhere
    assert rb"\u2022\u2022\u2022" in elsewhere.fill()  # and it was told masked
    assert [name for name in stedi.counts() if marks_in(bounds(stedi, name))] == []
    assert elsewhere.run([*CLI, "summary"]).returncode == 0
    refused = elsewhere.run([*CLI, "sql", "SELECT cast(email AS bigint) FROM customer_records"])
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"Error: The statement cannot be run: A query failed in the engine: ")
    assert_private(stedi, elsewhere)


# Starting a JVM and making all tables on it takes long; what it does otherwise than others is its errors of queries.
OF_A_QUERY = ["an address as a number", "a name in an error", "a query that stumbles in a check"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "runs"), [("embedded", [*SUCCEED, *FAIL]), ("local", ["customers alone", *OF_A_QUERY])]
)
def test_no_run_however_it_fails_tells_who_somebody_is(
    marked: tuple[Stedi, Elsewhere], engine: str, runs: list[str], rounds: Callable[[int, int], int]
) -> None:
    if engine == "local":
        require_apache_spark()
    stedi, elsewhere = marked
    if rounds(0, 1):
        runs = [*SUCCEED, *FAIL]
        elsewhere.environment["XDG_CACHE_HOME"] = str(elsewhere.folder / "home" / "cache")
    printed = elsewhere.make(stedi, engine, *runs)
    assert printed.count("A query failed in the engine: ") >= len(OF_A_QUERY)
    assert ("shoe_size" in printed) is ("a column that is not there" in runs)  # told before a row is read
    assert elsewhere.fill().count(b"STEP_FAILURE") >= len(set(runs) & set(FAIL))
    assert_private(stedi, elsewhere)


@pytest.mark.slow
def test_no_run_on_aws_tells_a_secret_or_who_somebody_is(
    stedi: Stedi, tmp_path: Path, aws: Aws, emr: EmrServerless, rounds: Callable[[int, int], int]
) -> None:
    deliver_marked(stedi)
    pipeline, stranger = aws.new_user(ALLOW_ALL), aws.new_user(ALLOW_NOTHING)
    settings = {
        emr.variable: emr.url,
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"],
        "STEDI_SOURCE": str(stedi.source),
        "STEDI_LAKEHOUSE": f"s3://{aws.new_bucket()}/prod",
        "STEDI_DATABASE": aws.new_database(),
        "STEDI_ATHENA_WORKGROUP": aws.new_workgroup(),
        "STEDI_SPARK": "emr-serverless",
        "STEDI_EMR_APPLICATION_ID": APPLICATION,
        "STEDI_EMR_EXECUTION_ROLE_ARN": ROLE,
        "STRANGER": json.dumps(stranger),
    }
    elsewhere = Elsewhere(tmp_path / "elsewhere", {**settings, **pipeline})
    emr.fail("GetSessionEndpoint", Fault(emr.denied("GetSessionEndpoint")))
    printed = elsewhere.make(stedi, "embedded", "a session that is denied", "records on aws", "a stranger")
    assert re.search("a session that is denied: .*GetSessionEndpoint", printed)
    assert re.search("a stranger: .*not allowed|a stranger: .*denied", printed, re.IGNORECASE)
    if rounds(0, 1):
        emr.fail("StartSession", emr.denied("StartSession"))
        elsewhere.make(stedi, "embedded", *DENIED_ON_AWS)
    assert len(emr.tokens) >= 1
    secrets = [*emr.tokens, *(user["AWS_SECRET_ACCESS_KEY"] for user in (pipeline, stranger))]
    secrets.append(CALLER.rpartition("/")[2])  # whom AWS names where it refuses
    assert all(len(secret) > 8 for secret in secrets)
    assert found_in(elsewhere.folder, secrets) == {}
    assert b"ASSET_CHECK_EVALUATION" in elsewhere.fill()


def test_the_search_finds_a_value_wherever_it_is(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "log.db"
    log.parent.mkdir()
    for text in (b"\x00\x018005550001\xff", "Nemomarked".encode("utf-16-le"), b"see 1.MARKED.mail@x"):
        log.write_bytes(text)
        assert [*found_in(tmp_path)] == ["deep/log.db"]
    log.write_bytes(b"serial number \xe2\x80\xa6cafe")
    assert found_in(tmp_path) == {}
    assert found_in(tmp_path, ["cafe"]) == {"deep/log.db": {"a secret"}}
