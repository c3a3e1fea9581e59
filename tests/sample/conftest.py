"""The default sample, generated and read once."""

from __future__ import annotations

import pytest

from sample.feeds import write_feeds
from tests.sample.reader import Feeds


@pytest.fixture(scope="package")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Feeds:
    folder = tmp_path_factory.mktemp("default")
    write_feeds(folder)
    return Feeds(folder)
