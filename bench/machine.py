"""What the benchmark ran on: the machine and the versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("dagster", "pyspark", "pysail", "pyiceberg", "pyarrow", "duckdb")


def machine() -> str:
    """Return processor, cores, memory, system, and how busy the machine was with other things."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()} {platform.release()}; "
        f"load before: {os.getloadavg()[0]:.1f}"
    )


def versions() -> str:
    """Return the versions of everything that takes part."""
    told = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return ", ".join(f"{name} {number}" for name, number in {**told, "Java": java_version() or "none"}.items())


def java_version() -> str | None:
    """Return the version of the Java that Apache Spark would run on, or None where there is none that it runs on."""
    from resources.engines.local import require_java
    from resources.errors import LakehouseError

    try:
        return require_java()
    except LakehouseError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
