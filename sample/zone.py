"""The landing zone whose source is the sample: the feeds are generated the first time somebody asks for them."""

from __future__ import annotations

from pathlib import Path

from resources.files.landing_zone import LandingZone
from resources.files.source import FeedFiles
from sample.feeds import ensure_feeds


class SampleZone(LandingZone):
    """Syncs the sample feeds, generated into `source`."""

    @property
    def origin(self) -> str:
        """The sample is the same wherever it is generated."""
        return "sample"

    def source_files(self, feed: str) -> FeedFiles:
        """The generated files."""
        ensure_feeds(Path(self.source))
        return super().source_files(feed)
