"""The landing zone: the feeds' raw files, byte for byte, and a manifest of what was brought when.

Belongs here: copying what is new or changed in the source (`source.py`), and keeping the copies that engines read where
they cannot read the files themselves (`copies.py`). Does not belong here: what a record means.

Layout under the lakehouse's root, for each feed: `<name>/` holds the raw files and nothing else, so that an
external table can lie over it; `landing/<name>/` holds `manifest.json` and the copies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from resources.files.copies import copies, file_with, write_copy
from resources.files.folder import File, Folder, folder_at, side_by_side
from resources.files.manifest import NAME, UNREADABLE, LandedFile, Manifest
from resources.files.ndjson import FileShape
from resources.files.source import layouts, only_links, passed_over, source_files
from resources.files.sync_result import Landing
from resources.storage_errors import remedy_for


class LandingError(dg.Failure):
    """The source has nothing to bring, or the landing zone cannot be written."""

    def __init__(self, sentence: str) -> None:
        super().__init__(description=sentence, allow_retries=False)


class LandingZone(dg.ConfigurableResource[Any]):
    """Brings feeds from a source folder into `root`, each on this machine or in S3.

    The landing zone holds the files of one source: what that source no longer has stays, and pointing it at another
    source starts it anew, so that sample and real feeds never mix.

    A feed's files lie in the source under `customer/landing/`, `customers/` or `customer_landing/` (likewise the
    other feeds), nested or not, as `.json` or `.json.gz`. `source_access` is how a source in S3 is read.
    """

    root: str
    source: str
    source_access: str = "credentials"

    _folders: Any = PrivateAttr(default_factory=dict)

    @contextmanager
    def alone(self, feed: str, waiting: Callable[[], None]) -> Iterator[None]:
        """A block in which no other run of this machine brings the feed, or reads what it holds.

        `waiting` is called if another one is at it.
        """
        with ExitStack() as block:
            with _explained(f"The feed {feed!r}"):
                block.enter_context(self._at(self.root).below("landing").alone(feed, waiting))
            yield

    def bring(self, feed: str) -> Landing:
        """Copy what is new or changed of `feed`; LandingError where the source has no file of it at all."""
        with _explained(f"The feed {feed!r}"):
            self._refuse_itself_as_source(feed)
            origin, known = self._manifest(feed).load()
            landing = Landing(files=[])
            if origin not in (None, self.source):
                landing.left_out, known = sorted(known), {}
            there = {file.name: file.size for file in self._folder(feed).files()}
            found = self.source_files(feed)
            offered = self._offered(found, known, there, landing)
            landing.unreadable.update(
                passed_over(self._origin, feed, found[0][1].folder) if found else only_links(self._origin, feed)
            )
            if not offered and not known:
                raise self._nothing_to_bring(feed, landing)
            landing.files = list(self._kept(known, there, offered, landing))
            if not known:
                self._manifest(feed).save(
                    self.source, ()
                )  # should this run break off: what lies there is of this source
        contents = {file.sha256: file.name for file in landing.files if file.size}
        # What is landed keeps its place: a file of the same content is the second delivery, whatever its name.
        offers = sorted(offered.values(), key=lambda offer: _is_news(offer[1], known))
        wanted = [offer for offer in offers if self._settle(offer[1], known, there, contents, landing)]
        side_by_side(lambda offer: self._take(feed, *offer), wanted)
        landing.files.sort(key=lambda file: file.name)
        with _explained(f"The feed {feed!r}"):
            self._copy(feed, landing)
            self._manifest(feed).save(self.source, landing.files)
            self._remove_strays(feed, landing.files)
        return landing

    def landed(self, feed: str) -> Landing:
        """What the landing zone holds, without looking at the source."""
        with _explained(f"The feed {feed!r}"):
            _, files = self._manifest(feed).load()
        return Landing(files=sorted(files.values(), key=lambda file: file.name))

    def readable(self, feed: str, landing: Landing) -> list[str]:
        """Paths that an engine can read line by line, and that together hold every record of the feed once.

        LandingError where one of them is gone: engines take a missing file for an empty one.
        """
        made = copies(landing.files)
        copied = {file.name for files in made.values() for file in files}
        as_they_are = [
            file.name for file in landing.files if file.shape is not FileShape.EMPTY and file.name not in copied
        ]
        parts = ((self._beside(feed), list(made)), (self._folder(feed), as_they_are))
        with _explained(f"The feed {feed!r}"):
            gone = [folder.path(name) for folder, names in parts for name in _missing(folder, names)]
        if gone:
            raise LandingError(
                f"{len(gone)} files of the feed {feed!r} are gone, {gone[0]} among them: another run is bringing the "
                "same feed. Materialize it again when that has ended."
            )
        return [folder.path(name) for folder, names in parts for name in names]

    def file_with(self, feed: str, landing: Landing, text: str) -> str | None:
        """The file with a line that holds the text, looked for in what is new first; None where there is none."""
        news = {*landing.new, *landing.replaced}
        return file_with(text, sorted(landing.files, key=lambda file: file.name not in news), self._folder(feed))

    def uri(self, feed: str) -> str:
        """Where the feed's raw files lie."""
        return self._folder(feed).uri

    def source_files(self, feed: str) -> list[tuple[str, File]]:
        """The feed's files in the source, each with its name for the landing zone."""
        return source_files(self._origin, feed)

    @property
    def _origin(self) -> Folder:
        return self._at(self.source, self.source_access)

    def _folder(self, feed: str) -> Folder:
        return self._at(self.root).below(f"{feed}_landing")

    def _beside(self, feed: str) -> Folder:
        return self._at(self.root).below(f"landing/{feed}")

    def _at(self, location: str, access: str = "credentials") -> Folder:
        # Kept, because making a client of S3 takes longer than many a call.
        if (location, access) not in self._folders:
            self._folders[location, access] = folder_at(location, access)
        folder: Folder = self._folders[location, access]
        return folder

    def _manifest(self, feed: str) -> Manifest:
        return Manifest(self._beside(feed), self._folder(feed))

    def _refuse_itself_as_source(self, feed: str) -> None:
        """Bringing a folder into itself would clear its other files away as strays, or bring what was brought."""
        landed = self._folder(feed)
        if any(self._origin.below(layout).holds(landed) for layout in layouts(feed)):
            raise LandingError(
                f"The feed {feed!r} would be brought from {self.source} into a part of itself, {landed.uri}. "
                "Set STEDI_LAKEHOUSE or STEDI_SOURCE to another folder."
            )

    def _nothing_to_bring(self, feed: str, landing: Landing) -> LandingError:
        if landing.unreadable:
            reasons = ", ".join(f"{name} ({reason})" for name, reason in landing.unreadable.items())
            return LandingError(f"No file of the feed {feed!r} in {self.source} can be read: {reasons}.")
        return LandingError(
            f"No .json or .json.gz file of the feed {feed!r} in {self.source}: looked for a folder "
            f"{' or '.join(layouts(feed))}. Set STEDI_SOURCE to the folder that has it."
        )

    def _offered(
        self,
        found: list[tuple[str, File]],
        known: Mapping[str, LandedFile],
        there: Mapping[str, int],
        landing: Landing,
    ) -> dict[str, tuple[File, LandedFile]]:
        def look(one: tuple[str, File]) -> LandedFile | str:
            name, file = one
            before = known.get(name)
            if before and (before.size, before.stamp, before.size) == (file.size, file.stamp, there.get(name)):
                return before
            try:
                return LandedFile.of(file, name)
            except UNREADABLE as error:
                reason = getattr(error, "strerror", None) or str(error).partition(" (b")[0]  # without the file's bytes
                return f"{type(error).__name__}: {reason}"

        offered = {}
        for (name, file), seen in zip(found, side_by_side(look, found), strict=True):
            if isinstance(seen, str):
                landing.unreadable[name] = seen
            else:
                offered[name] = (file, seen)
        return offered

    def _kept(
        self, known: Mapping[str, LandedFile], there: Mapping[str, int], offered: Iterable[str], landing: Landing
    ) -> Iterator[LandedFile]:
        """What was landed and is not offered now: the source removed it, or it cannot be read there any more."""
        for name in known.keys() - offered:
            if name in there:
                yield known[name]
            else:
                landing.unreadable.setdefault(name, "gone from the landing zone, and no more in the source")

    def _settle(
        self,
        seen: LandedFile,
        known: Mapping[str, LandedFile],
        there: Mapping[str, int],
        contents: dict[str, str],
        landing: Landing,
    ) -> bool:
        """Decide whether an offered file is new, replaced, unchanged or a second delivery; whether to copy it."""
        if seen.size and seen.sha256 in contents:
            landing.duplicates[seen.name] = contents[seen.sha256]
            return False
        contents[seen.sha256] = seen.name
        landing.files.append(seen)
        if not _is_news(seen, known) and there.get(seen.name) == seen.size:
            landing.unchanged.append(seen.name)
            return False
        (landing.replaced if seen.name in known else landing.new).append(seen.name)
        return True

    def _take(self, feed: str, file: File, seen: LandedFile) -> None:
        with _explained(f"{seen.name} of the feed {feed!r}"):
            self._folder(feed).take(file, seen.name)

    def _copy(self, feed: str, landing: Landing) -> None:
        folder, beside, wanted = self._folder(feed), self._beside(feed), copies(landing.files)
        done = {file.name for file in beside.files()} if wanted else set()
        for name in wanted.keys() - done:
            with beside.create(name) as out:
                write_copy(wanted[name], folder, out)

    def _remove_strays(self, feed: str, files: Iterable[LandedFile]) -> None:
        """Remove what earlier versions of the feed or a broken copy left: it would be read as data."""
        kept = {file.name for file in files}
        for folder, wanted in ((self._folder(feed), kept), (self._beside(feed), copies(files).keys() | {NAME})):
            folder.remove(file.name for file in folder.files() if file.name not in wanted)


def _missing(folder: Folder, names: Collection[str]) -> set[str]:
    return set(names) - {file.name for file in folder.files()} if names else set()


def _is_news(seen: LandedFile, known: Mapping[str, LandedFile]) -> bool:
    return seen.name not in known or known[seen.name].sha256 != seen.sha256


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what_to_do = f" {remedy}." if (remedy := remedy_for(error, "the landing zone")) else ""
        raise LandingError(
            f"{what} could not be brought: {str(error).rstrip('.')}.{what_to_do} What was landed before is there, the "
            "next run brings the rest."
        ) from error
