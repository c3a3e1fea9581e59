"""The source of the feeds: which of its files are a feed's, and what each is called once it has landed.

Does not belong here: syncing them (`landing_zone.py`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from resources.files.folder import File, Folder
from resources.files.manifest import is_hidden

_SUFFIX = re.compile(r"(\.(?:json|jsonl|ndjson))?(\.gz)?\Z", re.IGNORECASE)
_LIKE_A_FILE = re.compile(r"\.(json|jsonl|ndjson)(?:\.gz)?/", re.IGNORECASE)
READ = ".json, .jsonl and .ndjson, each also with .gz, and names without an extension"
HIDDEN = "its name or that of a folder begins with . or _"


@dataclass
class FeedFiles:
    """What a source has in a feed's folders.

    `read` are the files that are read, each with its name for the landing zone; `elsewhere` those that would be, if
    they did not lie where the feed is not read from; `ignored` those that are none of the feed's by their names; the
    latter two with the reason. `hidden` are names that hidden files would have in the landing zone.
    """

    read: list[tuple[str, File]] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)


def layouts(feed: str) -> tuple[str, ...]:
    """The folders in which a source may have the feed; the first one that has files of it is read."""
    return (f"{feed}/landing", f"{feed}s", f"{feed}_landing", feed)


def source_files(source: Folder, feed: str) -> FeedFiles:
    """The feed's files, and everything else that lies in its folders."""
    found = FeedFiles()
    for layout in layouts(feed):
        folder = source.below(layout)
        # Where another one is read, the last one also holds what else is called like the feed.
        listed = [file for file in folder.files() if layout != feed or not found.read or "/" not in file.name]
        offered = []
        for file in listed:
            if _suffix(file.name) is None:
                found.ignored[f"{layout}/{file.name}"] = f"read are {READ}"
            elif is_hidden(file.name):
                found.ignored[f"{layout}/{file.name}"] = HIDDEN
                found.hidden.add(landing_name(file.name))
            else:
                offered.append((landing_name(file.name), file))
        if found.read:
            reason = f"the feed is read from {found.read[0][1].folder.uri} alone"
            found.elsewhere |= {f"{layout}/{file.name}": reason for _, file in offered}
        if layout != feed or not found.read:
            found.elsewhere |= {f"{layout}/{name}": reason for name, reason in folder.passed_over().items()}
        found.read = found.read or offered
    return found


def _suffix(name: str) -> str | None:
    """The suffix of the landed file; None where a file of that name is not read."""
    last = name.rpartition("/")[2]
    found = _SUFFIX.search(last)
    assert found  # nothing is a suffix, too
    if found[1] is None and "." in last[: found.start()]:
        return None
    return f"{found[1] or '.json'}{found[2] or ''}".lower()


def landing_name(original: str) -> str:
    """A name that engines take literally: no blanks, globs, `=` or `%`. A changed name keeps a hash of the old.

    No folder of it is named like a file, so that a file which becomes a folder of its name finds a place. Its suffix is
    in lower case, and `.json` where there is none: engines go by it.
    """
    suffix = _suffix(original) or ""
    stem = _LIKE_A_FILE.sub(r"_\1/", original[: _SUFFIX.search(original).start()])  # type: ignore[union-attr]
    parts = (re.sub(r"[^A-Za-z0-9._-]", "_", part)[-200:].lstrip("._") or "x" for part in stem.split("/"))
    safe = "/".join(parts)
    if safe + suffix == original:
        return original
    return f"{safe}-{hashlib.sha256(original.encode(errors='surrogateescape')).hexdigest()[:8]}{suffix}"
