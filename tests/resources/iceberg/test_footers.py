"""What Parquet files say of themselves is read once for a version, however often it is needed: S3 takes its time."""

from __future__ import annotations

from typing import Any

import pytest

from resources.iceberg.days import DAY_MS, write
from tests.resources.iceberg.house import STRIDES, GlueHouse
from tests.servers.relay import relay

DAYS = [number * DAY_MS for number in range(6)]


def test_each_footer_is_read_once_side_by_side(glue_house: GlueHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with relay(glue_house.aws.endpoint, 0.03) as requests:

        def write_and_count(*arguments: Any) -> None:
            write(*arguments)
            requests.at_once = 0

        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", requests.url)
        monkeypatch.setattr("resources.iceberg.lakehouse.write", write_and_count)
        frame, lakehouse = glue_house.frame(*(("ann", day) for day in DAYS), table=STRIDES), glue_house.lakehouse
        with lakehouse.stage([frame], STRIDES, "run") as staged:
            assert staged.rows == len(DAYS)
            assert requests.at_once > 1
            lakehouse.publish(staged, {})
    assert list(requests.of(".parquet", "GET", "HEAD").values()) == [1] * len(DAYS)
