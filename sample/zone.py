"""The landing zone whose source is the sample: the feeds are generated the first time somebody asks for them."""

from __future__ import annotations

from pathlib import Path

from resources.errors import LakehouseError
from resources.files.landing_zone import LandingZone
from resources.files.manifest import SyncResult
from resources.files.source import FeedFiles
from sample.feeds import ensure_feeds


class SampleZone(LandingZone):
    """Syncs the sample feeds, generated into `source`.

    `asked_for`: STEDI_SOURCE names the sample. Where nobody did, it takes no lakehouse that has the feeds of another.
    """

    asked_for: bool = True

    def sync(self, feed: str) -> SyncResult:
        """Copy what is new or changed; LakehouseError where the feed is another source's, and nobody asked for this."""
        origin = None if self.asked_for else self.landed(feed).origin
        if origin not in (None, self.origin):
            raise LakehouseError(
                f"Could not sync the feed {feed!r}: {self.root} holds the feed as {origin} has it, and STEDI_SOURCE is "
                f"not set, which means the sample. Set STEDI_SOURCE={origin}, or STEDI_SOURCE=sample if the sample is "
                "to take its place."
            )
        return super().sync(feed)

    @property
    def origin(self) -> str:
        """The sample is the same wherever it is generated."""
        return "sample"

    def source_files(self, feed: str) -> FeedFiles:
        """The generated files."""
        ensure_feeds(Path(self.source))
        return super().source_files(feed)
