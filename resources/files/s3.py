"""A folder of files in S3.

Belongs here: what is done with raw files through boto3. What S3 refuses is an OSError.
Does not belong here: the files of tables, which PyIceberg and the engine read and write (`iceberg/`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from mimetypes import guess_type
from typing import Any, BinaryIO, cast

from botocore import UNSIGNED

from resources.aws import client
from resources.errors import LakehouseError, translated
from resources.files.folder import File, Folder

_AT_ONCE = 1000  # objects that S3 removes with one call
_GONE = ("NoSuchKey", "404")
_CHANGED = ("PreconditionFailed", "412")


@dataclass(frozen=True)
class S3Folder(Folder):
    """All objects of `bucket` whose keys start with `key`, read as `access` says (see STEDI_SOURCE_ACCESS).

    `client` makes the boto3 client, one for all folders of a location, when something is first asked of S3: naming a
    folder asks nothing.
    """

    bucket: str
    key: str
    access: str
    client: Callable[[], Any] = field(repr=False, compare=False)

    @classmethod
    def at(cls, location: str, access: str) -> S3Folder:
        """The folder at `s3://bucket/prefix`."""
        bucket, _, key = location.removeprefix("s3://").partition("/")
        unsigned = {"signature_version": UNSIGNED} if access == "anonymous" else {}
        return cls(bucket, key.strip("/"), access, cache(partial(client, "s3", **unsigned)))

    @property
    def uri(self) -> str:
        """As `s3://`."""
        return self.path("")

    def below(self, name: str) -> S3Folder:
        """The folder of that name inside of this one."""
        return replace(self, key=self._key(name))

    def path(self, name: str) -> str:
        """The object's URI."""
        return f"s3://{self.bucket}/{self._key(name)}"

    def is_there(self) -> bool:
        """Whether any object lies there, if only an empty one with which some tools mark a folder."""
        with _translate(f"list {self.uri}"):
            found = self.client().list_objects_v2(Bucket=self.bucket, Prefix=self._key(""), MaxKeys=1, **self._payer)
        return bool(found["KeyCount"])

    def files(self) -> list[File]:
        """All objects but the empty ones with which some tools mark a folder."""
        with _translate(f"list {self.uri}"):
            lists = self.client().get_paginator("list_objects_v2")
            pages = lists.paginate(Bucket=self.bucket, Prefix=self._key(""), **self._payer)
            found = [entry for page in pages for entry in page.get("Contents", ())]
        return [
            File(self, entry["Key"].removeprefix(self._key("")), entry["Size"], entry["ETag"])
            for entry in found
            if not entry["Key"].endswith("/")
        ]

    def open(self, name: str) -> BinaryIO:
        """The object's bytes, fetched before they are read: a connection that breaks meanwhile is tried again."""
        content = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  whoever reads it closes it
        with _translate(f"read {self.path(name)}"):
            self.client().download_fileobj(self.bucket, self._key(name), content, ExtraArgs=self._payer)
        content.seek(0)
        return content

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Sent when the block ends: S3 shows no half of an object."""
        with tempfile.TemporaryFile() as out:
            yield cast(BinaryIO, out)
            out.seek(0)
            with _translate(f"write {self.path(name)}"):
                kind = {"ContentType": guess_type(name)[0] or "application/octet-stream"}
                self.client().upload_fileobj(out, self.bucket, self._key(name), ExtraArgs=kind)

    def remove(self, names: Iterable[str]) -> None:
        """Remove the objects, a thousand with each call."""
        keys = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(keys), _AT_ONCE):
            with _translate(f"remove objects from {self.uri}"):
                answer = self.client().delete_objects(
                    Bucket=self.bucket, Delete={"Objects": keys[start : start + _AT_ONCE], "Quiet": True}
                )
            for refused in answer.get("Errors", ()):
                raise S3Error(f"Could not remove s3://{self.bucket}/{refused['Key']}: {refused['Message']}")

    def lock(self, name: str, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """S3 has no locks: two runs there are kept apart by whoever starts them."""
        return nullcontext()

    def holds(self, other: Folder) -> bool:
        """Whether its objects are among those of this one."""
        return isinstance(other, S3Folder) and other.uri.startswith(self.uri)

    def take(self, file: File, name: str) -> bool:
        """Copy an object inside of S3, in parts where it is large; fetch and send any other file.

        S3 copies with the caller's own rights, which need not reach what everybody may read: that is fetched, too.
        """
        origin = file.folder
        if not isinstance(origin, S3Folder) or origin.access == "anonymous":
            return super().take(file, name)
        with _translate(f"copy {origin.path(file.name)} to {self.path(name)}"):
            self.client().copy(
                {"Bucket": origin.bucket, "Key": origin._key(file.name)},
                self.bucket,
                self._key(name),
                # The very content that was looked at; and tags stay behind, which to read is a right of its own.
                ExtraArgs={"CopySourceIfMatch": file.stamp, "TaggingDirective": "REPLACE", **origin._payer},
                SourceClient=origin.client(),
            )
        return True

    def _key(self, name: str) -> str:
        return f"{self.key}/{name}" if self.key else name

    @property
    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.access == "requester-pays" else {}


class S3Error(LakehouseError, OSError):
    """What S3 refused, as a sentence that is whole."""


class S3NotFoundError(S3Error, FileNotFoundError):
    """S3 has no such object."""


@contextmanager
def _translate(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = translated(error, doing, tempfile.gettempdir())
        if failure is None:
            raise
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if code in _CHANGED:
            raise S3Error(f"Could not {doing}: it was replaced meanwhile. Run it again.", retry=True) from None
        kind = S3NotFoundError if code in _GONE else S3Error
        raise kind(str(failure.description), retry=bool(failure.allow_retries)) from None
