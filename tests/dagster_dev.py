"""The project's UI, served as `make ui` serves it: a webserver, a daemon, and between them the queue of runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import free_port
from tests.support import ROOT

BIN = Path(sys.executable).parent
DAGSTER = BIN / "dagster"
PROJECT = ("-w", "workspace.yaml")
SECONDS_TO_START = 120


@contextmanager
def dagster_dev(
    settings: Mapping[str, str], log: Path, location: Sequence[str] = PROJECT, program: Path = DAGSTER
) -> Iterator[int]:
    """The port of a UI with these settings, and of the project's none but these; what it prints goes to `log`.

    It runs in a process group of its own, of which nothing is left afterwards.
    """
    port = free_port()
    with log.open("w") as output:
        server = subprocess.Popen(
            [program, "dev", *location, "-h", "127.0.0.1", "-p", str(port)],
            cwd=ROOT,
            env=environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/server_info", server, log)
        yield port
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(server.pid, sign)
                server.wait(timeout=15)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """That of this process, with these settings, and of the project's none but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STEDI_", "DAGSTER_"))}
    return {**inherited, **settings}


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"`dagster dev` did not answer:\n{log.read_text()[-4000:]}")
