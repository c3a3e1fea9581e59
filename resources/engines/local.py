"""Apache Spark on this machine: one JVM for a run, which ends with it.

Belongs here: the Java that it runs on, the settings that suit one machine, starting the JVM with its Spark Connect
server, ending it, and what makes the next one start fast.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from resources.engines.engine import COMMON_CONF, SparkEngine, connect_here
from resources.errors import LakehouseError
from resources.settings import cache_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_JAVA = 17  # that Spark 4 runs on
INSTEAD = (
    f"Install Java {OLDEST_JAVA} or newer (on Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to it"
)
UNUSED_AFTER = 30 * 86_400  # seconds
SECONDS_TO_END = 60  # the first run also stores Spark's classes then
JAVA_OPTIONS = "spark.driver.defaultJavaOptions"  # those in spark.driver.extraJavaOptions are added to them
QUIET = Path(__file__).with_name("log4j2.properties")
CONNECT_SERVER = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
}
"""Settings that make the JVM serve Spark Connect, on a free port of this machine."""


class LocalSpark(SparkEngine):
    """Apache Spark in a JVM of its own. `conf` are settings of Spark's that replace the defaults here."""

    conf: dict[str, str] = Field(default_factory=dict)

    _jvm: Any = PrivateAttr(default=None)
    _scratch: Any = PrivateAttr(default=None)
    _classes: Any = PrivateAttr(default=None)

    @property
    def engine(self) -> str:
        """Spark's version."""
        from importlib.metadata import version

        return f"Apache Spark {version('pyspark')} (local)"

    def start(self) -> SparkSession:
        """Start the JVM and connect to it. LakehouseError where there is no Java, or Spark refuses its settings."""
        self._classes = ClassArchive(require_java(), cache_folder())
        for chatty in ("pyspark", "py4j"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        self._scratch = tempfile.TemporaryDirectory(prefix="stedi-spark-", ignore_cleanup_errors=True)
        token = secrets.token_hex(16)
        defaults = laptop_defaults(Path(self._scratch.name))
        defaults[JAVA_OPTIONS] += f" {self._classes.java_options}"
        with _environment(SPARK_CONNECT_MODE_ENABLED=None, SPARK_CONNECT_AUTHENTICATE_TOKEN=token):
            from dagster_pyspark import LazyPySparkResource
            from py4j.protocol import Py4JError
            from pyspark import SparkContext
            from pyspark.errors import PySparkException

            try:
                # This session only carries the server; tables are computed through Spark Connect, as on every engine.
                carrier = LazyPySparkResource(spark_config={**defaults, **self.conf, **CONNECT_SERVER}).spark_session
            except (Py4JError, PySparkException) as error:
                raise LakehouseError(_why(error)) from error
            finally:
                # Private, but the only handle to the process: `stop` must see it end, also if it began by half.
                self._jvm = SparkContext._gateway
        # Only the JVM knows which free port the server picked, and pyspark has no public way into the JVM.
        service = getattr(carrier._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
        port = getattr(service, "MODULE$").localPort()
        return connect_here(f"sc://localhost:{port}/;token={token}")

    def stop(self) -> None:
        """End the JVM. It also ends by itself when this process does, however that happens."""
        gateway, self._jvm = self._jvm, None
        if gateway is not None:
            _forget_jvm()
            gateway.shutdown()
            gateway.proc.stdin.close()  # Spark's launcher watches it
            try:
                gateway.proc.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                gateway.proc.kill()
            self._classes.take(whole=gateway.proc.wait() >= 0)
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.cleanup()


def laptop_defaults(scratch: Path) -> dict[str, str]:
    """Settings for one machine that people also use for other things."""
    machine_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        **COMMON_CONF,
        "spark.master": "local[*]",
        "spark.app.name": "stedi",
        "spark.driver.memory": f"{driver_memory_gb(machine_gb)}g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # A shuffle of a few tables' size gains nothing from Spark's 200 partitions.
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        # Beyond so many files, Spark lists them in a job of its own, which takes ten times as long on one machine.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        JAVA_OPTIONS: f"-Dlog4j2.configurationFile={QUIET.as_uri()}",
    }


def driver_memory_gb(machine_gb: float) -> int:
    """Half of the machine's memory, at least 1 GB and at most 16."""
    return max(1, min(16, int(machine_gb / 2)))


@contextmanager
def _environment(**variables: str | None) -> Iterator[None]:
    """What pyspark and the JVM find while they start; None: nothing.

    pyspark starts no JVM in a process that has spoken Spark Connect before. A token among Spark's settings would be on
    the JVM's command line, which every user of the machine can see.
    """
    before = {name: os.environ.pop(name, None) for name in variables}
    os.environ.update({name: value for name, value in variables.items() if value is not None})
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _forget_jvm() -> None:
    """Make pyspark start a new JVM when it next needs one, in place of talking to the one that has ended."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # Private names all: pyspark starts one JVM for each process, and has no function to end it and forget it.
    with suppress(Exception):  # the JVM may be gone already
        if SparkContext._active_spark_context is not None:
            SparkContext._active_spark_context.stop()
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
    SparkSession._instantiatedSession = SparkSession._activeSession = None


def _why(error: Exception) -> str:
    said = (str(getattr(error, "java_exception", "") or error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"Apache Spark could not start: {said}. What it printed is above, or in the run's stderr in the UI. Look at "
        "the settings in STEDI_SPARK_CONF, if there are any. STEDI_SPARK=embedded needs no Java."
    )


def require_java() -> str:
    """Java's version, such as `17.0.15`, found as Spark's own scripts do. LakehouseError where none is usable."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    where = f"JAVA_HOME={home}" if home else "the PATH"
    if java is None or not os.access(java, os.X_OK):
        raise _no_java(f"no Java was found in {where}")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        raise _no_java(f"{java} does not run") from None
    version = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', said)  # Java 8 calls itself 1.8.0_392
    if version is None:
        raise _no_java(f"{java} does not tell its version")
    if int(version[2]) < OLDEST_JAVA:
        raise _no_java(f"Java {version[1]} was found in {where}")
    return version[1]


def _no_java(found: str) -> LakehouseError:
    return LakehouseError(
        f"STEDI_SPARK=local needs Java {OLDEST_JAVA} or newer, and {found}. {INSTEAD}. STEDI_SPARK=embedded needs no "
        "Java."
    )


class ClassArchive:
    """Spark's classes as this Java wants them, kept from one run to the next: half of a short run is loading them.

    It takes about 200 MB, and can be removed any time: whoever makes one removes what was not used for a month. The JVM
    itself looks whether an archive fits it, and starts without one that does not.
    """

    def __init__(self, java: str, folder: Path) -> None:
        import pyspark

        spark = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
        installation = hashlib.sha256(f"{java} {spark} {spark.stat().st_mtime_ns}".encode()).hexdigest()[:16]
        self.file = folder / f"spark-classes-{installation}.jsa"
        # The JVM writes it when it ends; another that starts meanwhile must not find a half of it.
        self._written = self.file.with_suffix(f".{os.getpid()}")

    @property
    def java_options(self) -> str:
        """Options for a JVM that starts now. Without the last one it lists each class that cannot be archived."""
        try:
            if self.file.is_file():
                with suppress(PermissionError):  # it may be somebody else's
                    os.utime(self.file)
                return f"-XX:SharedArchiveFile={self.file} -Xlog:disable"
            self.file.parent.mkdir(parents=True, exist_ok=True)
            for left in self.file.parent.glob("spark-classes-*"):
                if left.stat().st_mtime < time.time() - UNUSED_AFTER:
                    left.unlink()
        except OSError:
            return ""  # no place to keep it: every run loads its classes itself
        return f"-XX:ArchiveClassesAtExit={self._written} -Xlog:disable"

    def take(self, whole: bool) -> None:
        """The JVM has ended: what it has written is the next run's, unless it was killed meanwhile."""
        with suppress(OSError):  # it need not have written one
            os.replace(self._written, self.file) if whole else self._written.unlink()
