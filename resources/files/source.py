"""The source of the feeds: which of its files are a feed's, and what each is called once it has landed.

Does not belong here: syncing them (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import re

from resources.files.folder import File, Folder
from resources.files.manifest import SUFFIXES, feed_files


def layouts(feed: str) -> tuple[str, ...]:
    """The folders in which a source may have the feed; the first one that has files of it is read."""
    return (f"{feed}/landing", f"{feed}s", f"{feed}_landing", feed)


def source_files(source: Folder, feed: str) -> list[tuple[str, File]]:
    """The feed's files, each with its name for the landing zone."""
    for layout in layouts(feed):
        if files := feed_files(source.below(layout)):
            return [(landing_name(file.name), file) for file in files]
    return []


def passed_over(source: Folder, feed: str, read: Folder | None) -> dict[str, str]:
    """What looks like a part of the feed and is not read, and why; `read` is the folder that is, if any has files."""
    found: dict[str, str] = {}
    for layout in layouts(feed):
        folder = source.below(layout)
        if read in (None, folder):
            links = (f"{layout}/{link}" for link in folder.linked_folders())
            found |= dict.fromkeys(links, "a link to a folder, which is not followed")
        elif layout != feed:  # that one also holds what else is called like the feed
            reason = f"the feed is read from {read.uri} alone"
            found |= {f"{layout}/{file.name}": reason for file in feed_files(folder)}
    return found


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
