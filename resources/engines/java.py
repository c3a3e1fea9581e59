"""The Java that Apache Spark would run on.

Belongs here: finding it as Spark's own scripts do, and the sentence for a machine that has none, or too old a one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from resources.engines.engine import EngineError

OLDEST = 17
"""The oldest Java that Spark 4 runs on."""
INSTEAD = f"Install Java {OLDEST} or newer (on Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to it"


def require_java() -> str:
    """Java's version, such as `17.0.15`. EngineError where there is none that Spark runs on."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    where = f"JAVA_HOME={home}" if home else "the PATH"
    if java is None or not os.access(java, os.X_OK):
        raise _refusal(f"no Java was found in {where}")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        raise _refusal(f"{java} does not run") from None
    version = re.search(r'version "([^"]+)"', said)
    if version is None:
        raise _refusal(f"{java} does not tell its version")
    if _major(version[1]) < OLDEST:
        raise _refusal(f"Java {version[1]} was found in {where}")
    return version[1]


def _major(version: str) -> int:
    # Java 8 calls itself 1.8.0_392.
    numbers = re.findall(r"\d+", version)
    return int(numbers[1] if numbers[0] == "1" and len(numbers) > 1 else numbers[0])


def _refusal(found: str) -> EngineError:
    return EngineError(
        f"STEDI_SPARK=local needs Java {OLDEST} or newer, and {found}. {INSTEAD}. STEDI_SPARK=embedded needs no Java."
    )
