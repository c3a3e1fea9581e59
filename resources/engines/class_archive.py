"""Apache Spark's classes as the JVM wants them, kept from one run to the next: half of a short run is loading them.

Belongs here: where the archive lies, and the options that make a JVM write or use one. The JVM itself looks whether an
archive fits it, and starts without one that does not.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from resources.settings import cache_folder


class ClassArchive:
    """The archive for this Java and this installation of Spark. It takes about 200 MB, and can be removed any time."""

    def __init__(self, java: str, spark: Path, folder: Path | None = None) -> None:
        installation = hashlib.sha256(f"{java} {spark} {spark.stat().st_mtime_ns}".encode()).hexdigest()[:16]
        self.file = (folder or cache_folder()) / f"spark-classes-{installation}.jsa"
        # The JVM writes it when it ends; another that starts meanwhile must not find a half of it.
        self._written = self.file.with_suffix(f".{os.getpid()}")

    @property
    def java_options(self) -> str:
        """Options for a JVM that starts now. Without the last one it lists each class that cannot be archived."""
        if self.file.is_file():
            return f"-XX:SharedArchiveFile={self.file} -Xlog:disable"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return ""  # no place to keep it: every run loads its classes itself
        return f"-XX:ArchiveClassesAtExit={self._written} -Xlog:disable"

    def keep(self) -> None:
        """The JVM has ended: if it wrote an archive to its end, the next run finds it."""
        with suppress(OSError):
            os.replace(self._written, self.file)

    def discard(self) -> None:
        """The JVM was killed: what it may have written is not whole."""
        with suppress(OSError):
            self._written.unlink()
