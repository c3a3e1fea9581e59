"""The landing zone: the feeds' raw files, byte for byte, and a manifest of what was synced when.

Belongs here: copying what is new or changed in the source (`source.py`), and what engines read where they cannot read
the files themselves (`copies.py`). Does not belong here: what a record means.

Layout under the lakehouse's root, for each feed: `<name>_landing/` holds the raw files and nothing else, so that an
external table can lie over it; `landing/<name>/` holds `manifest.json`, a listing of the files that the served records
are made of, and, while an engine reads, the copies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from resources.errors import LakehouseError, translate_errors
from resources.files.content import OtherKindError
from resources.files.copies import TextFile, text_files
from resources.files.folder import File, Folder, LocalFolder, side_by_side
from resources.files.locks import Lock
from resources.files.manifest import NAME, UNREADABLE, LandedFile, Manifest, SyncResult
from resources.files.ndjson import FileShape
from resources.files.settle import look_at, settle
from resources.files.source import READ, FeedFiles, layouts, source_files

MOST_NAMED = 10
_LISTING = ".files.json"


def folder_at(location: str, access: str = "credentials") -> Folder:
    """The folder at a path or `s3://bucket/prefix`; `access` is how a folder in S3 is read."""
    if location.startswith("s3://"):
        from resources.files.s3 import S3Folder  # it takes boto3, which a lakehouse on this machine never needs

        return S3Folder.at(location, access)
    return LocalFolder(Path(location))


class LandingZone(dg.ConfigurableResource[Any]):
    """Syncs feeds from a source folder into `root`, each on this machine or in S3.

    The landing zone holds the files of one source: what that source no longer has stays, and pointing it at another
    source starts it anew, so that sample and real feeds never mix.

    A feed's files lie in the source under `customer/landing/`, `customers/` or `customer_landing/` (likewise the
    other feeds), nested or not (`source.py` says under which names). `source_access` is how a source in S3 is read.
    """

    root: str
    source: str
    source_access: str = "credentials"

    _folders: Any = PrivateAttr(default_factory=dict)
    _locks: dict[str, Lock] = PrivateAttr(default_factory=dict)

    @property
    def origin(self) -> str:
        """What the source is called where it is remembered."""
        return self.source

    @contextmanager
    def lock(self, feed: str, say: Callable[[str], None]) -> Iterator[None]:
        """A block in which no other run syncs the feed, or reads what it holds.

        `say` is told if another one is at it, or died while it was.
        """
        with ExitStack() as block:
            with translate_errors(f"lock the feed {feed!r}", self.root):
                self._locks[feed] = block.enter_context(self._at(self.root).below("landing").lock(feed, say))
            block.callback(self._locks.pop, feed)
            yield

    def confirm_lock(self, feed: str) -> None:
        """LakehouseError where another run has taken the feed's lock over, and may have changed what is landed."""
        with self._translate_errors(feed):
            self._locks[feed].confirm()

    def sync(self, feed: str) -> SyncResult:
        """Copy what is new or changed of `feed`, which is locked.

        LakehouseError where the source has no file of it at all, or, once some are landed, not even a folder.
        """
        result, manifest = SyncResult(), self._manifest(feed)
        with self._translate_errors(feed):
            self._refuse_itself_as_source(feed)
            origin, known, _ = self._load(manifest)
            there = {file.name: file for file in self._folder(feed).files()}
            known = self._look_again(known, there)
            if origin not in (None, self.origin):
                result.dropped, known = sorted(known), {}
            found = self.source_files(feed)
            known = {name: file for name, file in known.items() if name not in found.hidden}
            offered = look_at(found.read, known, result)
            result.unreadable |= found.elsewhere
            result.ignored = found.ignored
            if not offered and not known:
                raise self._nothing_to_sync(feed, result)
            if not found.read and any(file.landed for file in known.values()):
                result.ignored |= self._emptied(feed)
            if not known:
                # Should this run break off: what lies there is of this source.
                manifest.save(self.origin, SyncResult())
            wanted = settle(offered, known, result)
        origins = dict(found.read)
        stamps = {name: file.stamp for name, file in there.items()}
        side_by_side(lambda name: self._take(feed, origins[name], offered[name], stamps.get(name, "")), wanted)
        with self._translate_errors(feed):
            landed = {file.name: file for file in self._folder(feed).files()} if wanted else there
            stamps = {name: file.stamp for name, file in landed.items()}
            result.files = [replace(file, landed=stamps.get(file.name, "")) for file in result.files]
            self.confirm_lock(feed)
            manifest.save(self.origin, result)
            ours = {file.name for file in result.files}
            self._remove_strays(feed, [file for name, file in landed.items() if name not in ours])
        return result

    def landed(self, feed: str) -> SyncResult:
        """What the landing zone holds, without looking at the source; not `synced` where it never was."""
        with translate_errors(f"read what is landed of the feed {feed!r}", self.root):
            origin, known, remarks = self._load(self._manifest(feed))
            files = self._look_again(known, {file.name: file for file in self._folder(feed).files()})
        landed = sorted(files.values(), key=lambda file: file.name)
        return SyncResult(landed, synced=origin is not None or bool(landed), origin=origin, **remarks)

    @contextmanager
    def readable(self, feed: str, files: Sequence[LandedFile]) -> Iterator[list[TextFile]]:
        """A block in which an engine can read these landed files, which together hold every record of them once.

        LakehouseError where a file is gone: engines take a missing file for an empty one.
        """
        folder, wanted = self._folder(feed), [file for file in files if file.shape is not FileShape.EMPTY]
        with ExitStack() as block:
            with translate_errors(f"read what is landed of the feed {feed!r}", self.root):
                there = {file.name for file in folder.files()}
                self._refuse_gone(feed, [file.name for file in wanted if file.name not in there])
                texts = block.enter_context(text_files(wanted, folder, self._beside(feed)))
            yield texts

    def refuse_gone(self, feed: str, landed: SyncResult) -> None:
        """LakehouseError where a file that has landed is not there any more: the next sync looks at all of them."""
        self._refuse_gone(feed, [file.name for file in landed.files if not file.landed])

    def _refuse_gone(self, feed: str, names: Sequence[str]) -> None:
        if names:
            raise LakehouseError(
                f"{len(names)} files of the feed {feed!r} are gone, {self._folder(feed).path(names[0])} among them: "
                f"somebody removed them, or another run is at work. Materialize {feed}_landing, which looks at all of "
                "them."
            )

    def remember(self, feed: str, landed: SyncResult) -> None:
        """Keep which contents these files have, under their fingerprint: what is delivered next is held against it."""
        with self._translate_errors(feed), self._beside(feed).create(_listing(landed.fingerprint)) as out:
            out.write(json.dumps({file.name: file.sha256 for file in landed.files}).encode())

    def remembered(self, feed: str, fingerprint: str) -> dict[str, str] | None:
        """The files that had that fingerprint, and the checksum of each; None where that is not known any more."""
        with translate_errors(f"look up what was read of the feed {feed!r}", self.root):
            try:
                with self._beside(feed).open(_listing(fingerprint)) as stored:
                    listing = json.load(stored)
            except (FileNotFoundError, ValueError):
                return None
        return listing if isinstance(listing, dict) else None

    def forget(self, feed: str, but: str) -> None:
        """Keep no other listing than that of this fingerprint."""
        with suppress(OSError):  # the next run tries again
            beside = self._beside(feed)
            beside.remove(
                file.name for file in beside.files() if file.name.endswith(_LISTING) and file.name != _listing(but)
            )

    def uri(self, feed: str) -> str:
        """Where the feed's raw files lie."""
        return self._folder(feed).uri

    def source_files(self, feed: str) -> FeedFiles:
        """What the source has in the feed's folders."""
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

    def _load(self, manifest: Manifest) -> tuple[str | None, dict[str, LandedFile], dict[str, Any]]:
        origin, known, remarks = manifest.load()
        return self.origin if origin == self.source else origin, known, remarks

    @staticmethod
    def _look_again(known: dict[str, LandedFile], there: Mapping[str, File]) -> dict[str, LandedFile]:
        """What is landed of the files that the manifest lists, by what is there.

        A run that breaks off (a full disk, kill -9) may have landed a file that the manifest does not know of. So each
        file that is not the one which the manifest saw land is looked at again; `landed` is empty where it is gone.
        """

        def look(name: str) -> LandedFile:
            before, file = known[name], there.get(name)
            if file is None:
                return replace(before, landed="")
            try:
                found = LandedFile.of(file, name, before.most)
            except UNREADABLE:  # whatever it holds, it is not what landed
                found = replace(before, sha256="")
            stamp = before.stamp if found.sha256 == before.sha256 else ""
            return replace(found, stamp=stamp, landed=file.stamp)

        odd = [name for name in known if name not in there or known[name].landed != there[name].stamp]
        return known | {file.name: file for file in side_by_side(look, odd)}

    def _translate_errors(self, feed: str, what: str = "") -> AbstractContextManager[None]:
        return translate_errors(f"sync {what}the feed {feed!r}", self.root)

    def _refuse_itself_as_source(self, feed: str) -> None:
        """Syncing a folder into itself would clear its other files away as strays, or sync what was synced."""
        landed = self._folder(feed)
        if any(self._origin.below(layout).holds(landed) for layout in layouts(feed)):
            raise LakehouseError(
                f"Could not sync the feed {feed!r}: it would go from {self.source} into a part of itself, "
                f"{landed.uri}. Set STEDI_LAKEHOUSE or STEDI_SOURCE to another folder."
            )

    def _nothing_to_sync(self, feed: str, result: SyncResult) -> LakehouseError:
        there = result.unreadable | result.ignored
        if there:
            named = [f"{name} ({reason})" for name, reason in list(there.items())[:MOST_NAMED]]
            more = f", and {len(there) - MOST_NAMED:,} more" if len(there) > MOST_NAMED else ""
            return LakehouseError(
                f"Could not sync the feed {feed!r}: no file of it in {self.source} can be read: "
                f"{', '.join(named)}{more}."
            )
        return LakehouseError(
            f"Could not sync the feed {feed!r}: no file of it in {self.source}: looked for a folder "
            f"{' or '.join(layouts(feed))}. Read are {READ}. Set STEDI_SOURCE to the folder that has it."
        )

    def _emptied(self, feed: str) -> dict[str, str]:
        """The feed's folder and why it is not read; LakehouseError where there is none any more."""
        for layout in layouts(feed):
            if self._origin.below(layout).is_there():
                return {layout: "it has no file any more; what was landed before stays"}
        raise LakehouseError(
            f"Could not sync the feed {feed!r}: no folder of it is in {self.source} any more: looked for "
            f"{' or '.join(layouts(feed))}. Put it back; where the source is to have no more files of the feed, leave "
            "an empty folder."
        )

    def _take(self, feed: str, file: File, seen: LandedFile, stamp: str) -> None:
        folder = self._folder(feed)
        with self._translate_errors(feed, f"{seen.name} of "):
            surely, landed = folder.take(file, seen.name, stamp), replace(file, folder=folder, name=seen.name)
            with suppress(OtherKindError):
                if surely or LandedFile.of(landed, seen.name).sha256 == seen.sha256:
                    return
            raise LakehouseError(
                f"Could not sync {seen.name} of the feed {feed!r}: it was replaced meanwhile. Run it again.", retry=True
            )

    def _remove_strays(self, feed: str, strays: Sequence[File]) -> None:
        """Remove what earlier versions of the feed or a broken copy left: it would be read as data.

        S3 keeps what differs from what was listed. A run that falls asleep right behind `confirm_lock` can still remove
        what another one lands meanwhile under the name of a stray with its very content: it asks again, and tells.
        """
        beside = self._beside(feed)
        copies = [file for file in beside.files() if file.name != NAME and not file.name.endswith(_LISTING)]
        if strays or copies:
            self.confirm_lock(feed)
            self._folder(feed).remove_listed(strays)
            beside.remove_listed(copies)
            try:
                self.confirm_lock(feed)
            except LakehouseError as lost:
                raise self._lost_while_removing(feed, [file.name for file in strays]) if strays else lost from None

    def _lost_while_removing(self, feed: str, names: Sequence[str]) -> LakehouseError:
        more = f", and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
        return LakehouseError(
            f"While this run removed files that are not in its list of the feed {feed!r}, its lock was taken over or "
            f"removed: {', '.join(names[:MOST_NAMED])}{more}. What another run has landed meanwhile under these names "
            f"with the same content is gone, too. Materialize {feed}_landing, which brings it again from "
            f"{self.source}; what that has no more is to be delivered anew."
        )


def _listing(fingerprint: str) -> str:
    return f"{fingerprint}{_LISTING}"
