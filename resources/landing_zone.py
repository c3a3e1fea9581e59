"""The landing zone: the feeds' raw files, byte for byte, and a manifest of what was brought when.

Belongs here: finding a feed's files in the source, copying what is new or changed, and telling apart files that
an engine can read line by line from those that must first be rewritten as lines (`lines.py`).
Does not belong here: what a record means.

Layout under the lakehouse's root, for each feed: `<name>/` holds the raw files and nothing else, so that an
external table can lie over it; `landing/<name>/` holds `manifest.json` and the rewritten copies.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import dagster as dg

from resources.lines import CHUNK, FileShape, rewrite
from resources.manifest import SUFFIXES, UNREADABLE, LandedFile, Manifest, files_below, write_beside


@dataclass
class Landing:
    """What bringing one feed did, and what its landing zone holds now.

    `duplicates` maps a file to the one that has its content; `unreadable` maps a file to what went wrong; `left_out`
    are the files of another source that the landing zone held before.
    """

    files: list[LandedFile]
    new: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    duplicates: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all landed files."""
        return sum(file.size for file in self.files)

    @property
    def empty(self) -> list[str]:
        """Files that hold nothing but blanks."""
        return [file.name for file in self.files if file.shape is FileShape.EMPTY]

    @property
    def rewritten(self) -> list[str]:
        """Files that no engine reads line by line, and that were therefore rewritten as lines beside."""
        return [file.name for file in self.files if file.shape.needs_rewriting]

    @property
    def fingerprint(self) -> str:
        """Equal for equal sets of contents, whatever the files' names and dates."""
        return hashlib.sha256("\n".join(sorted(file.sha256 for file in self.files)).encode()).hexdigest()[:16]


class LandingError(dg.Failure):
    """The source has nothing to bring, or the landing zone cannot be written."""

    def __init__(self, sentence: str) -> None:
        super().__init__(description=sentence, allow_retries=False)


class LandingZone(dg.ConfigurableResource[Any]):
    """Brings feeds from a source folder into `root`, both on this machine.

    The landing zone holds the files of one source: what that source no longer has stays, and pointing it at another
    source starts it anew, so that sample and real feeds never mix.

    A feed's files lie in the source under `customer/landing/`, `customers/` or `customer_landing/` (likewise the
    other feeds), nested or not, as `.json` or `.json.gz`.
    """

    root: str
    source: str

    def bring(self, feed: str) -> Landing:
        """Copy what is new or changed of `feed`; LandingError where the source has no file of it at all."""
        self._refuse_itself_as_source(feed)
        origin, known = self._manifest(feed).load()
        landing = Landing(files=[])
        if origin not in (None, self.source):
            landing.left_out, known = sorted(known), {}
        offered = dict(self._offered(feed, known, landing))
        if not offered and not known:
            raise self._nothing_to_bring(feed, landing)
        held = dict(self._kept(feed, known, offered, landing))
        if not known:
            with _explained(f"The feed {feed!r}"):  # should this run break off: what lies there is of this source
                self._manifest(feed).save(self.source, ())
        # What is landed keeps its place: a file of the same content is the second delivery, whatever its name.
        for path, seen in sorted(offered.values(), key=lambda offer: _is_news(offer[1], known)):
            with _explained(f"{seen.name} of the feed {feed!r}"):
                self._settle(feed, path, seen, known, held, landing)
        landing.files = sorted(held.values(), key=lambda file: file.name)
        with _explained(f"The feed {feed!r}"):
            self._rewrite(feed, landing)
            self._manifest(feed).save(self.source, landing.files)
            self._remove_strays(feed, landing.files)
        return landing

    def landed(self, feed: str) -> Landing:
        """What the landing zone holds, without looking at the source."""
        _, files = self._manifest(feed).load()
        return Landing(files=sorted(files.values(), key=lambda file: file.name))

    def readable(self, feed: str, landing: Landing) -> list[str]:
        """Paths that an engine can read line by line, and that together hold every record of the feed once."""
        return [
            str(self._rewritten(feed, file) if file.shape.needs_rewriting else self.folder(feed) / file.name)
            for file in landing.files
            if file.shape is not FileShape.EMPTY
        ]

    def folder(self, feed: str) -> Path:
        """Where the feed's raw files lie."""
        return Path(self.root) / f"{feed}_landing"

    def uri(self, feed: str) -> str:
        """The landing zone's location."""
        return self.folder(feed).as_uri() + "/"

    def _layouts(self, feed: str) -> tuple[str, ...]:
        return (f"{feed}/landing", f"{feed}s", f"{feed}_landing", feed)

    def source_files(self, feed: str) -> Iterator[tuple[str, Path]]:
        """The feed's files in the source: their names for the landing zone, and their paths."""
        for layout in self._layouts(feed):
            folder = Path(self.source) / layout
            if paths := files_below(folder):
                yield from ((_landing_name(path.relative_to(folder)), path) for path in paths)
                return

    def _refuse_itself_as_source(self, feed: str) -> None:
        """Bringing a folder into itself would clear its other files away as strays, or bring what was brought."""
        landed = Path(os.path.realpath(self.folder(feed)))
        for layout in self._layouts(feed):
            if landed.is_relative_to(os.path.realpath(Path(self.source) / layout)):
                raise LandingError(
                    f"The feed {feed!r} would be brought from {self.source} into a part of itself, {landed}. "
                    "Set STEDI_LAKEHOUSE or STEDI_SOURCE to another folder."
                )

    def _nothing_to_bring(self, feed: str, landing: Landing) -> LandingError:
        if landing.unreadable:
            reasons = ", ".join(f"{name} ({reason})" for name, reason in landing.unreadable.items())
            return LandingError(f"No file of the feed {feed!r} in {self.source} can be read: {reasons}.")
        return LandingError(
            f"No .json or .json.gz file of the feed {feed!r} in {self.source}: looked for a folder "
            f"{' or '.join(self._layouts(feed))}. Set STEDI_SOURCE to the folder that has it."
        )

    def _offered(
        self, feed: str, known: dict[str, LandedFile], landing: Landing
    ) -> Iterator[tuple[str, tuple[Path, LandedFile]]]:
        for name, path in self.source_files(feed):
            try:
                yield name, (path, self._look_at(feed, name, path, known.get(name)))
            except UNREADABLE as error:
                landing.unreadable[name] = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"

    def _look_at(self, feed: str, name: str, path: Path, known: LandedFile | None) -> LandedFile:
        stat = path.stat()
        unchanged = known is not None and (known.size, known.modified_ns) == (stat.st_size, stat.st_mtime_ns)
        if known is not None and unchanged and self._is_whole(feed, known):
            return known
        return LandedFile.of(path, name)

    def _is_whole(self, feed: str, file: LandedFile) -> bool:
        path = self.folder(feed) / file.name
        return path.is_file() and path.stat().st_size == file.size

    def _kept(
        self, feed: str, known: dict[str, LandedFile], offered: Iterable[str], landing: Landing
    ) -> Iterator[tuple[str, LandedFile]]:
        """What was landed and is not offered now: the source removed it, or it cannot be read there any more."""
        for name in known.keys() - offered:
            if (self.folder(feed) / name).is_file():
                yield name, known[name]
            else:
                landing.unreadable.setdefault(name, "gone from the landing zone, and no more in the source")

    def _settle(
        self,
        feed: str,
        path: Path,
        seen: LandedFile,
        known: dict[str, LandedFile],
        held: dict[str, LandedFile],
        landing: Landing,
    ) -> None:
        """Decide for one offered file whether it is new, replaced, unchanged, or a second delivery."""
        twin = next((other.name for other in held.values() if other.sha256 == seen.sha256 and other.size), None)
        if twin is not None:
            landing.duplicates[seen.name] = twin
            return
        held[seen.name] = seen
        if not _is_news(seen, known) and self._is_whole(feed, seen):
            landing.unchanged.append(seen.name)
            return
        (landing.replaced if seen.name in known else landing.new).append(seen.name)
        _copy(path, self.folder(feed) / seen.name)

    def _rewrite(self, feed: str, landing: Landing) -> None:
        for file in landing.files:
            if file.shape.needs_rewriting and not self._rewritten(feed, file).is_file():
                rewrite(self.folder(feed) / file.name, self._rewritten(feed, file), file.shape)

    def _manifest(self, feed: str) -> Manifest:
        return Manifest(self._beside(feed) / "manifest.json", self.folder(feed))

    def _beside(self, feed: str) -> Path:
        return Path(self.root) / "landing" / feed

    def _rewritten(self, feed: str, file: LandedFile) -> Path:
        return self._beside(feed) / f"{file.sha256[:32]}.json"

    def _remove_strays(self, feed: str, files: Iterable[LandedFile]) -> None:
        """Remove what earlier versions of the feed or a broken copy left: it would be read as data."""
        kept = {file.name for file in files}
        for path in sorted(self.folder(feed).rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self.folder(feed)).as_posix() not in kept:
                path.unlink()
        rewritten = {self._rewritten(feed, file).name for file in files if file.shape.needs_rewriting}
        for path in self._beside(feed).glob("*"):
            if path.name not in rewritten | {self._manifest(feed).path.name}:
                path.unlink()


def _landing_name(relative: PurePath) -> str:
    """A name that engines take literally: no blanks, globs, `=` or `%`. A changed name keeps a hash of the old.

    No folder of it is named like a file, so that a file which becomes a folder of its name finds a place.
    """
    original = relative.as_posix()
    suffix = next(suffix for suffix in SUFFIXES if original.endswith(suffix))
    stem = re.sub(r"\.json(\.gz)?/", "_json/", original.removesuffix(suffix))
    parts = (re.sub(r"[^A-Za-z0-9._-]", "_", part)[-200:].lstrip("._") or "x" for part in stem.split("/"))
    safe = "/".join(parts)
    if safe + suffix == original:
        return original
    return f"{safe}-{hashlib.sha256(original.encode(errors='surrogateescape')).hexdigest()[:8]}{suffix}"


def _is_news(seen: LandedFile, known: dict[str, LandedFile]) -> bool:
    return seen.name not in known or known[seen.name].sha256 != seen.sha256


def _copy(source: Path, target: Path) -> None:
    def copy(beside: Path) -> None:
        with source.open("rb") as reader, beside.open("wb") as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)

    write_beside(target, copy)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LandingError(
            f"{what} could not be brought: {error}. What was landed before is there, the next run brings the rest."
        ) from error
