"""The landing zone: the feeds' raw files, byte for byte, and a manifest of what was brought when.

Belongs here: finding a feed's files in the source, copying what is new or changed, and telling apart files that
an engine can read line by line from those that must first be rewritten as lines (`lines.py`).
Does not belong here: what a record means.

Layout under the lakehouse's root, for each feed: `<name>/` holds the raw files and nothing else, so that an
external table can lie over it; `landing/<name>/` holds `manifest.json` and the rewritten copies.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from resources.lines import CHUNK, FileShape, inspect, open_raw, rewrite

SUFFIXES = (".json", ".json.gz")


@dataclass(frozen=True)
class LandedFile:
    """One raw file: its name in the landing zone, its content's SHA-256, size in bytes, and how it can be read."""

    name: str
    sha256: str
    size: int
    modified_ns: int
    shape: FileShape


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
        target = self.folder(feed)
        target.mkdir(parents=True, exist_ok=True)
        origin, known = self._load_manifest(feed)
        landing = Landing(files=[])
        if origin != self.source:
            landing.left_out, known = sorted(known), {}
        offered = dict(self._offered(feed, known, landing))
        if not offered and not known:
            raise LandingError(
                f"No .json or .json.gz file of the feed {feed!r} in {self.source}: looked for a folder "
                f"{' or '.join(self._layouts(feed))}. Set STEDI_SOURCE to the folder that has it."
            )
        held = {name: file for name, file in known.items() if name not in offered}
        for name, (path, seen) in offered.items():
            self._settle(feed, path, name, seen, known.get(name), held, landing)
        landing.files = sorted(held.values(), key=lambda file: file.name)
        self._save_manifest(feed, landing.files)
        self._remove_strays(feed, landing.files)
        return landing

    def landed(self, feed: str) -> Landing:
        """What the landing zone holds, without looking at the source."""
        _, files = self._load_manifest(feed)
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
            if not folder.is_dir():
                continue
            for path in sorted(folder.rglob("*")):
                if path.name.endswith(SUFFIXES) and not path.name.startswith((".", "_")) and path.is_file():
                    yield _landing_name(path.relative_to(folder)), path
            return

    def _offered(
        self, feed: str, known: dict[str, LandedFile], landing: Landing
    ) -> Iterator[tuple[str, tuple[Path, LandedFile]]]:
        for name, path in self.source_files(feed):
            try:
                yield name, (path, self._look_at(feed, name, path, known.get(name)))
            except (OSError, EOFError) as error:
                landing.unreadable[name] = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"

    def _look_at(self, feed: str, name: str, path: Path, known: LandedFile | None) -> LandedFile:
        stat = path.stat()
        landed = self.folder(feed) / name
        if (
            known is not None
            and (known.size, known.modified_ns) == (stat.st_size, stat.st_mtime_ns)
            and landed.is_file()
            and landed.stat().st_size == known.size
        ):
            return known
        sha256, shape = _inspect(path)
        return LandedFile(name, sha256, stat.st_size, stat.st_mtime_ns, shape)

    def _settle(
        self,
        feed: str,
        path: Path,
        name: str,
        seen: LandedFile,
        known: LandedFile | None,
        held: dict[str, LandedFile],
        landing: Landing,
    ) -> None:
        """Decide for one offered file whether it is new, replaced, unchanged, or a second delivery."""
        twin = next((other.name for other in held.values() if other.sha256 == seen.sha256 and other.size), None)
        if twin is not None:
            landing.duplicates[name] = twin
            return
        target = self.folder(feed) / name
        held[name] = seen
        if known is not None and known.sha256 == seen.sha256 and target.is_file():
            landing.unchanged.append(name)
            if not seen.shape.needs_rewriting or self._rewritten(feed, seen).is_file():
                return
        else:
            (landing.new if known is None else landing.replaced).append(name)
            _copy(path, target)
        if seen.shape.needs_rewriting:
            rewrite(target, self._rewritten(feed, seen), seen.shape)

    def _manifest(self, feed: str) -> Path:
        return Path(self.root) / "landing" / feed / "manifest.json"

    def _rewritten(self, feed: str, file: LandedFile) -> Path:
        return Path(self.root) / "landing" / feed / f"{file.sha256[:32]}.json"

    def _load_manifest(self, feed: str) -> tuple[str, dict[str, LandedFile]]:
        """The source that the landing zone was last brought from, and the files by name."""
        path = self._manifest(feed)
        if not path.is_file():
            return self.source, {}
        try:
            manifest = json.loads(path.read_text())
            files = [LandedFile(**entry | {"shape": FileShape(entry["shape"])}) for entry in manifest["files"]]
            return str(manifest["source"]), {file.name: file for file in files}
        except (ValueError, KeyError, TypeError):
            # The manifest only saves work: without it every file is looked at again.
            return self.source, {}

    def _save_manifest(self, feed: str, files: Iterable[LandedFile]) -> None:
        text = json.dumps({"source": self.source, "files": [asdict(file) for file in files]}, indent=1)
        path = self._manifest(feed)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_beside(path, lambda beside: beside.write_text(text))

    def _remove_strays(self, feed: str, files: Iterable[LandedFile]) -> None:
        """Remove what earlier versions of the feed or a broken copy left: it would be read as data."""
        kept = {file.name for file in files}
        for path in sorted(self.folder(feed).rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self.folder(feed)).as_posix() not in kept:
                path.unlink()
        rewritten = {self._rewritten(feed, file).name for file in files if file.shape.needs_rewriting}
        for path in self._manifest(feed).parent.glob("*"):
            if path != self._manifest(feed) and path.name not in rewritten:
                path.unlink()


def _landing_name(relative: Path) -> str:
    """A name that engines take literally: no blanks, globs, `=` or `%`. A changed name keeps a hash of the old."""
    original = relative.as_posix()
    safe = re.sub(r"[^A-Za-z0-9._/-]", "_", original)
    safe = "/".join(part.lstrip("._") or "_" for part in safe.split("/"))
    if safe == original:
        return safe
    stem, dot, suffix = safe.partition(".json")
    return f"{stem}-{hashlib.sha256(original.encode(errors='surrogateescape')).hexdigest()[:8]}{dot}{suffix}"


def _inspect(path: Path) -> tuple[str, FileShape]:
    """The content's SHA-256 and how it can be read."""
    with path.open("rb") as raw:
        sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
    with open_raw(path) as stream:
        return sha256, inspect(iter(lambda: stream.read(CHUNK), b""))


def _copy(source: Path, target: Path) -> None:
    def copy(beside: Path) -> None:
        with source.open("rb") as reader, beside.open("wb") as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)

    target.parent.mkdir(parents=True, exist_ok=True)
    _write_beside(target, copy)


def _write_beside(target: Path, write: Any) -> None:
    """Write a file under another name, then rename: a reader never meets half of it."""
    beside = target.with_name(f".{target.name}.part")
    try:
        write(beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
