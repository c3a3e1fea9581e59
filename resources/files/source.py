"""The source of the feeds: which of its files are a feed's, and what each is called once it has landed.

Does not belong here: bringing them (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import re

from resources.files.folder import File, Folder
from resources.files.manifest import SUFFIXES, feed_files

NOT_FOLLOWED = "a link to a folder, which is not followed"


def layouts(feed: str) -> tuple[str, ...]:
    """The folders in which a source may have the feed; the first one that has files of it is read."""
    return (f"{feed}/landing", f"{feed}s", f"{feed}_landing", feed)


def source_files(source: Folder, feed: str) -> list[tuple[str, File]]:
    """The feed's files, each with its name for the landing zone."""
    for layout in layouts(feed):
        if files := feed_files(source.below(layout)):
            return [(landing_name(file.name), file) for file in files]
    return []


def passed_over(source: Folder, feed: str, read: Folder) -> dict[str, str]:
    """What looks like a part of the feed and is not in the folder that is read, and why."""
    *usual, _ = layouts(feed)  # the last one also holds what else is called like the feed
    others = {layout: source.below(layout) for layout in usual if source.below(layout) != read}
    return {
        **dict.fromkeys(read.linked_folders(), NOT_FOLLOWED),
        **{
            f"{layout}/{file.name}": f"the feed is read from {read.uri} alone"
            for layout, folder in others.items()
            for file in feed_files(folder)
        },
    }


def only_links(source: Folder, feed: str) -> dict[str, str]:
    """What the source has of a feed of which it has no file, and why it is not read."""
    links = (f"{layout}/{link}" for layout in layouts(feed) for link in source.below(layout).linked_folders())
    return dict.fromkeys(links, NOT_FOLLOWED)


def landing_name(original: str) -> str:
    """A name that engines take literally: no blanks, globs, `=` or `%`. A changed name keeps a hash of the old.

    No folder of it is named like a file, so that a file which becomes a folder of its name finds a place.
    """
    suffix = next(suffix for suffix in SUFFIXES if original.endswith(suffix))
    stem = re.sub(r"\.json(\.gz)?/", "_json/", original.removesuffix(suffix))
    parts = (re.sub(r"[^A-Za-z0-9._-]", "_", part)[-200:].lstrip("._") or "x" for part in stem.split("/"))
    safe = "/".join(parts)
    if safe + suffix == original:
        return original
    return f"{safe}-{hashlib.sha256(original.encode(errors='surrogateescape')).hexdigest()[:8]}{suffix}"
