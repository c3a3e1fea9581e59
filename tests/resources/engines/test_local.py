"""Apache Spark on this machine: one JVM for a run, on settings that suit a laptop, and nothing left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resources.engines.local import ClassArchive, LocalSpark, driver_memory_gb, laptop_defaults, require_java
from resources.errors import LakehouseError
from resources.settings import cache_folder
from tests.support import ROOT, require_apache_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RUN = """
import os, subprocess, sys, time
import dagster as dg
from resources.engines.local import LocalSpark

@dg.asset
def table(spark: LocalSpark) -> None:
    one, other = spark.spark_session, spark.spark_session
    assert one is other and one.range(3).count() == 3
    jvms = subprocess.run(["pgrep", "-P", str(os.getpid()), "java"], capture_output=True, text=True).stdout.split()
    print("JVM", *jvms, spark._scratch.name, flush=True)
    {then}

conf = {{"spark.driver.memory": "1g", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}}
result = dg.materialize([table], resources={{"spark": LocalSpark(conf=conf)}}, raise_on_error=False)
print("success", result.success, flush=True)
"""


@contextmanager
def started(then: str, cache: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], int, Path]]]:
    """A run in a process of its own, and what waits until its engine is at work: it gives the process, its one JVM
    and its scratch folder.
    """
    require_apache_spark()
    command = [sys.executable, "-c", RUN.format(then=then)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:

        def at_work() -> tuple[subprocess.Popen[str], int, Path]:
            assert run.stdout is not None
            _, jvm, scratch = next(line.split() for line in run.stdout if line.startswith("JVM"))
            return run, int(jvm), Path(scratch)

        try:
            yield at_work
        finally:
            run.kill()


def ends(jvm: int) -> bool:
    """Whether the process ends within a minute."""
    for _ in range(600):
        if not Path("/proc", str(jvm)).exists():
            return True
        time.sleep(0.1)
    return False


def test_a_run_has_one_jvm_which_ends_with_it_and_stores_sparks_classes_from_which_the_next_one_starts(
    tmp_path: Path,
) -> None:
    with started("pass", tmp_path) as at_work:
        run, jvm, scratch = at_work()
        assert list(tmp_path.glob("**/*.jsa")) == []
        output, errors = run.communicate()
    assert "success True" in output
    assert "Apache Spark 4.1.1 (local) started in" in errors
    assert not Path("/proc", str(jvm)).exists()
    assert not scratch.exists()
    (archive,) = (tmp_path / "stedi-lakehouse").iterdir()
    with started("time.sleep(1); raise dg.Failure('no')", tmp_path) as at_work:
        run, jvm, scratch = at_work()
        assert str(archive) in Path(f"/proc/{jvm}/maps").read_text()
        output, _ = run.communicate()
    assert "success False" in output
    assert not Path("/proc", str(jvm)).exists()
    assert not scratch.exists()
    assert list((tmp_path / "stedi-lakehouse").iterdir()) == [archive]


def test_the_jvm_ends_with_a_run_that_is_terminated(rounds: Callable[[int, int], int]) -> None:
    signs = [signal.SIGKILL, signal.SIGTERM][: rounds(1, 2)]
    query = "select java_method('java.lang.Thread', 'sleep', 600000L)"
    with ExitStack() as stack:
        runs = [
            stack.enter_context(started(f'spark.spark_session.sql("{query}").collect()', cache_folder().parent))
            for _ in signs
        ]
        for sign, (run, jvm, _) in zip(signs, [at_work() for at_work in runs], strict=True):
            run.send_signal(sign)
            run.wait(60)
            assert ends(jvm), sign


def test_settings_that_spark_refuses_are_told_in_one_sentence() -> None:
    require_apache_spark()
    script = "from resources.engines.local import LocalSpark; LocalSpark(conf={'spark.driver.memory': 'much'}).start()"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "Apache Spark could not start" in last
    assert "STEDI_SPARK_CONF" in last


def test_only_who_knows_the_token_can_use_the_engine(apache_spark: SparkSession) -> None:
    script = (
        "import sys\nfrom pyspark.sql import SparkSession\n"
        "session = SparkSession.builder.remote(sys.argv[1]).create()\nsession.range(1).count()"
    )
    endpoint = apache_spark.client._builder.endpoint  # type: ignore[attr-defined]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SPARK_")}
    done = subprocess.run(
        [sys.executable, "-c", script, f"sc://{endpoint}"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert "UNAUTHENTICATED" in done.stderr.upper()


def test_the_token_is_on_no_command_line_where_every_user_could_see_it(apache_spark: SparkSession) -> None:
    token = apache_spark.client._builder.token  # type: ignore[attr-defined]
    assert len(token) == 32
    seen = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            seen.append(line.read_bytes())
    assert any(b"SparkConnectPlugin" in line for line in seen)
    assert not any(token.encode() in line for line in seen)


def test_the_defaults_suit_a_laptop_and_each_can_be_replaced(apache_spark: SparkSession) -> None:
    defaults = laptop_defaults(Path("/tmp"))
    assert defaults["spark.ui.enabled"] == "false"
    assert apache_spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert apache_spark.conf.get("spark.sql.shuffle.partitions") == "2" != defaults["spark.sql.shuffle.partitions"]
    assert apache_spark.version == "4.1.1"


@pytest.mark.parametrize(("machine", "driver"), [(0.5, 1), (4, 2), (15.9, 7), (24, 12), (512, 16)])
def test_the_driver_takes_half_of_the_machine(machine: float, driver: int) -> None:
    assert driver_memory_gb(machine) == driver


def java_that(folder: Path, script: str) -> Path:
    """A `java` command that does this."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return java.parent


@pytest.mark.parametrize("version", ["17.0.15", "21", "25.0.1", "17-ea"])
def test_java_17_and_newer_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(java_that(tmp_path, f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")))
    assert require_java() == version


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'java version \"1.8.0_392\"' >&2", "Java 1.8.0_392 was found in"),
        ("echo 'openjdk version \"11.0.2\" 2019-01-15' >&2", "Java 11.0.2 was found in"),
        ("exit 1", "does not run"),
        ("echo hello", "does not tell its version"),
    ],
)
def test_another_java_is_refused_with_what_was_found_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: str
) -> None:
    java_that(tmp_path, script)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(LakehouseError) as refused:
        LocalSpark().start()
    sentence = str(refused.value.description)
    assert found in sentence
    assert "needs Java 17 or newer" in sentence
    assert "STEDI_SPARK=embedded needs no Java" in sentence


@pytest.mark.parametrize(("home", "found"), [(None, "the PATH"), ("jdk", "JAVA_HOME=")])
def test_a_machine_without_java_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None, found: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / home) if home else "")
    with pytest.raises(LakehouseError, match=f"no Java was found in {found}"):
        LocalSpark().start()


def test_another_java_or_another_spark_has_another_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = set()
    for spark in ("one", "other"):
        (tmp_path / spark).mkdir()
        monkeypatch.setenv("SPARK_HOME", str(tmp_path / spark))
        files |= {ClassArchive(java, tmp_path).file for java in ("17.0.15", "21")}
    assert len(files) == 4


def test_an_archive_that_was_not_written_to_its_end_is_not_used(tmp_path: Path) -> None:
    archive = ClassArchive("17.0.15", tmp_path)
    written = Path(archive.java_options.split(" ")[0].partition("=")[2])
    written.write_text("half")
    archive.take(whole=False)
    assert list(tmp_path.iterdir()) == []
    written.write_text("whole")
    archive.take(whole=True)
    assert archive.java_options.startswith(f"-XX:SharedArchiveFile={archive.file}")


def test_an_archive_that_nobody_has_used_for_a_month_goes_when_another_is_made(tmp_path: Path) -> None:
    """5.4 GB of them had come together, half of them left by runs that were killed."""
    left, other = tmp_path / "spark-classes-other.4711", tmp_path / "spark-classes-other.jsa"
    left.touch()
    other.touch()
    os.utime(left, (0, time.time() - 31 * 86_400))
    archive = ClassArchive("17.0.15", tmp_path)
    archive.file.touch()
    os.utime(archive.file, (0, time.time() - 31 * 86_400))
    assert "SharedArchiveFile" in archive.java_options  # and so it is in use
    assert "ArchiveClassesAtExit" in ClassArchive("21", tmp_path).java_options
    assert {path.name for path in tmp_path.iterdir()} == {other.name, archive.file.name}


def test_without_a_place_for_the_archive_spark_starts_as_ever(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    archive = ClassArchive("17.0.15", tmp_path / "file" / "cache")
    assert archive.java_options == ""
    archive.take(whole=True)
    archive.take(whole=False)
