"""Fixtures: a landing zone on this machine, in S3, and in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.resources.files.zones import Zone
from tests.servers.ministack import Aws


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(str(tmp_path))


@pytest.fixture
def cloud(aws: Aws) -> Zone:
    return Zone.in_s3(aws)


@pytest.fixture(params=["zone", "cloud"], ids=["on this machine", "in S3"])
def anywhere(request: pytest.FixtureRequest) -> Zone:
    """For what is promised of both."""
    zone: Zone = request.getfixturevalue(request.param)
    return zone
