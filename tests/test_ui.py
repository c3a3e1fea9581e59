"""The Dagster UI as people use it: a real `dagster dev`, a real browser, and clicks.

What each test saw at its end lies in `screenshots/` afterwards, also where it failed. With STEDI_UPDATE_PICTURES=1
the pictures in `docs/` are made anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect, sync_playwright

from stedi_assets.contracts import CUSTOMER, TABLES, Pii
from tests.support import ROOT, require

GROUPS = {
    "landing": (
        "accelerometer_landing",
        "accelerometer_quarantine",
        "customer_landing",
        "customer_quarantine",
        "step_trainer_landing",
        "step_trainer_quarantine",
    ),
    "trusted": ("accelerometer_trusted", "customer_trusted", "step_trainer_trusted"),
    "curated": ("customers_curated", "machine_learning_curated"),
    "evidence": ("query_evidence",),
}
ASSETS = [asset for assets in GROUPS.values() for asset in assets]

SCREENSHOTS = ROOT / "screenshots"
PICTURES = ROOT / "docs"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DAGSTER = Path(sys.executable).with_name("dagster")
SECONDS_TO_START = 120
# How long the UI may take to show something: a run starts a process, and the machine may be busy.
PATIENCE = 90_000


@dataclass(frozen=True)
class Project:
    """The project with a DAGSTER_HOME and a lakehouse of its own."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def lakehouse(self) -> Path:
        return self.folder / "lakehouse"

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("STEDI_", "DAGSTER_"))}
        own = {"STEDI_SOURCE": "sample", "STEDI_LAKEHOUSE": str(self.lakehouse), "DAGSTER_HOME": str(self.home)}
        return {**inherited, **own}

    def newest(self, asset: str) -> dg.EventLogEntry:
        """The newest materialization, as Dagster recorded it."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        return event

    def personal_data(self) -> set[str]:
        """Every name, e-mail address, phone number and birthday of the feeds, and every serial number."""
        personal = {feed_name for column in CUSTOMER.landing.columns if column.pii for feed_name in column.feed_names}
        found = set()
        for path in (self.lakehouse / "sample" / "customer").rglob("*.json"):
            for field_name, value in re.findall(r'"(\w+)": ?"([^"]{5,})"', path.read_text()):
                if field_name in personal and CUSTOMER_FIELDS[field_name] is not Pii.NONE:
                    found.add(json.loads(f'"{value}"') if "\\" in value else value)
        return found


CUSTOMER_FIELDS = {name: column.pii for column in CUSTOMER.landing.columns for name in column.feed_names}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    # Not pytest's own temporary folder: its long path would be in the pictures.
    with tempfile.TemporaryDirectory(prefix="stedi-", ignore_cleanup_errors=True) as folder:
        project = Project(Path(folder))
        project.home.mkdir()
        shutil.copy2(ROOT / ".dagster" / "dagster.yaml", project.home)
        yield project
