"""What becomes of each file that a source offers: whether it can be read, and whether it is new, changed or the same.

Belongs here: looking at the source's files, and deciding. Does not belong here: which files those are (`source.py`), or
copying them (`landing_zone.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from resources.files.content import OtherKindError
from resources.files.folder import File, side_by_side
from resources.files.manifest import UNREADABLE, LandedFile, SyncResult


def look_at(
    found: list[tuple[str, File]], known: Mapping[str, LandedFile], result: SyncResult
) -> dict[str, LandedFile]:
    """What each of the source's files would be once landed; what cannot be read goes to the result."""

    def look(one: tuple[str, File]) -> LandedFile | str:
        name, file = one
        before = known.get(name)
        if before and before.landed and file.stamp and (before.size, before.stamp) == (file.size, file.stamp):
            return before
        try:
            return LandedFile.of(file, name, before.most if before else 0)
        except OtherKindError as error:
            return str(error)
        except UNREADABLE as error:
            reason = getattr(error, "strerror", None) or str(error).partition(" (b")[0]  # without the file's bytes
            return f"{type(error).__name__}: {reason}"

    offered = {}
    for (name, _), seen in zip(found, side_by_side(look, found), strict=True):
        if isinstance(seen, str):
            result.unreadable[name] = seen
        else:
            offered[name] = seen
    return offered


def settle(offered: Mapping[str, LandedFile], known: Mapping[str, LandedFile], result: SyncResult) -> list[str]:
    """Decide of each file whether it is new, replaced, unchanged or a second delivery; the names of those to copy."""
    for name in known.keys() - offered.keys():  # the source removed it, or it cannot be read there any more
        if known[name].landed:
            result.files.append(known[name])
        elif name not in result.unreadable:
            result.taken_back.append(name)
    contents = {file.sha256: file.name for file in result.files if file.size}
    same = {name for name, file in offered.items() if name in known and known[name].sha256 == file.sha256}
    wanted = []
    # What is landed keeps its place: a file of the same content is the second delivery, whatever its name.
    for name, file in sorted(offered.items(), key=lambda one: one[0] not in same):
        if file.size and file.sha256 in contents:
            result.duplicates[name] = contents[file.sha256]
            continue
        contents[file.sha256] = name
        result.files.append(file)
        if name in same and known[name].landed:
            result.unchanged.append(name)
        else:
            (result.replaced if name in known else result.new).append(name)
            wanted.append(name)
    result.files.sort(key=lambda file: file.name)
    return wanted
