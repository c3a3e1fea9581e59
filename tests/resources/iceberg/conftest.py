"""An empty lakehouse for each test; what holds of both kinds is tested on both."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resources.iceberg import staging
from tests.resources.iceberg.house import GlueHouse, House, LocalHouse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def local_house(tmp_path: Path, spark: SparkSession) -> LocalHouse:
    """A lakehouse on this machine."""
    return LocalHouse(spark, tmp_path / "lakehouse")


@pytest.fixture
def glue_house(request: pytest.FixtureRequest, spark: SparkSession) -> GlueHouse:
    """A lakehouse on AWS."""
    return GlueHouse(spark, request.getfixturevalue("aws"))


@pytest.fixture(params=["local", "glue"])
def house(request: pytest.FixtureRequest) -> House:
    """Either."""
    house: House = request.getfixturevalue(f"{request.param}_house")
    return house


@pytest.fixture
def days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, all that was written to S3 was written long ago."""
    monkeypatch.setattr(staging, "STALE_AFTER", timedelta(seconds=-1))
