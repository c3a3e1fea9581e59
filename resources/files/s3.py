"""A folder of files in S3.

Belongs here: what is done with raw files through boto3. What S3 refuses is an OSError.
Does not belong here: the files of tables, which PyIceberg and the engine read and write (`iceberg/`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from mimetypes import guess_type
from typing import Any, BinaryIO, cast
from uuid import uuid4

from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError, ClientError

from resources.aws import client
from resources.errors import LakehouseError, translated
from resources.files.content import CHUNK
from resources.files.folder import AT_ONCE, File, Folder
from resources.files.lease import GONE, LASTS, NOT_MET, Lease
from resources.files.locks import Lock

_REMOVED_AT_ONCE = 1000  # objects that S3 removes with one call
_IN_PARTS = 8 << 20  # bytes: from here on, several connections read an object faster than one
_WHOLE = 5 << 30  # bytes: S3 writes or copies no larger object at once


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
    few = 1

    @classmethod
    def at(cls, location: str, access: str) -> S3Folder:
        """The folder at `s3://bucket/prefix`."""
        bucket, _, key = location.removeprefix("s3://").partition("/")
        unsigned = {"signature_version": UNSIGNED} if access == "anonymous" else {}
        # As many connections as there are threads: others are closed after each request.
        make = partial(client, "s3", max_pool_connections=AT_ONCE, **unsigned)
        return cls(bucket, key.strip("/"), access, cache(make))

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
            if not self._fetch_small(name, content):
                content.seek(0)
                content.truncate()
                self.client().download_fileobj(self.bucket, self._key(name), content, ExtraArgs=self._payer)
        content.seek(0)
        return content

    def _fetch_small(self, name: str, content: BinaryIO) -> bool:
        """Fetch an object with one request, where boto3's transfer takes two; whether it is small and came whole."""
        answer = self.client().get_object(Bucket=self.bucket, Key=self._key(name), **self._payer)
        with closing(answer["Body"]) as body, suppress(BotoCoreError):  # its own `with` would not see what is cut off
            if answer["ContentLength"] < _IN_PARTS:
                shutil.copyfileobj(body, content, CHUNK)
                return True
        return False

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Sent when the block ends: S3 shows no half of an object."""
        with tempfile.TemporaryFile() as out:
            yield cast(BinaryIO, out)
            out.seek(0)
            with _translate(f"write {self.path(name)}"):
                self.client().upload_fileobj(out, self.bucket, self._key(name), ExtraArgs=_kind(name))

    def replace(self, name: str, content: bytes | BinaryIO, stamp: str) -> str:
        """Write an object in place of the one with that ETag, or of none."""
        at, mark = {"Bucket": self.bucket, "Key": self._key(name)}, {"stedi-write": uuid4().hex}
        with _translate(f"write {self.path(name)}"):
            try:
                answer = self.client().put_object(
                    **at, Body=content, Metadata=mark, **_kind(name), **_in_place_of(stamp)
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in NOT_MET:
                    raise
                # boto3 repeats a write whose answer was lost. An ETag would not tell: with a key of KMS, it is no MD5.
                answer = self.client().head_object(**at)
                if answer["Metadata"] != mark:
                    raise
        return str(answer["ETag"])

    def remove(self, names: Iterable[str]) -> None:
        """Remove the objects, a thousand with each call."""
        self._remove([{"Key": self._key(name)} for name in names])

    def remove_listed(self, files: Iterable[File]) -> None:
        """Remove the objects that still have the ETags with which they were listed."""
        self._remove([{"Key": self._key(file.name), "ETag": file.stamp} for file in files])

    def _remove(self, objects: list[dict[str, str]]) -> None:
        for start in range(0, len(objects), _REMOVED_AT_ONCE):
            with _translate(f"remove objects from {self.uri}"):
                answer = self.client().delete_objects(
                    Bucket=self.bucket, Delete={"Objects": objects[start : start + _REMOVED_AT_ONCE], "Quiet": True}
                )
            for refused in answer.get("Errors", ()):
                if refused["Code"] not in (*NOT_MET, *GONE):
                    raise S3Error(f"Could not remove s3://{self.bucket}/{refused['Key']}: {refused['Message']}")

    def lock(self, name: str, say: Callable[[str], None]) -> AbstractContextManager[Lock]:
        """Kept from whoever takes it, on this machine and others."""
        soon = {"retries": {"mode": "standard", "total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 10}
        return Lease(self.client(), self.bucket, self._key(f".{name}.lock"), LASTS).held(say, client("s3", **soon))

    def holds(self, other: Folder) -> bool:
        """Whether its objects are among those of this one."""
        return isinstance(other, S3Folder) and other.uri.startswith(self.uri)

    def take(self, file: File, name: str, stamp: str) -> bool:
        """Copy an object inside of S3; fetch and send any other file.

        S3 copies with the caller's own rights, which need not reach what everybody may read: that is fetched, too.
        """
        origin = file.folder
        if not isinstance(origin, S3Folder) or origin.access == "anonymous":
            if file.size > _WHOLE:
                return super().take(file, name, stamp)
            with file.open() as reader, tempfile.TemporaryFile() as content:
                shutil.copyfileobj(reader, content, CHUNK)
                content.seek(0)
                self.replace(name, cast(BinaryIO, content), stamp)
            return origin.is_still(file)
        source = {"Bucket": origin.bucket, "Key": origin._key(file.name)}
        # The very content that was looked at; and tags stay behind, which to read is a right of its own.
        how = {"CopySourceIfMatch": file.stamp, "TaggingDirective": "REPLACE", **origin._payer}
        with _translate(f"copy {origin.path(file.name)} to {self.path(name)}"):
            if file.size <= _WHOLE:
                try:
                    self.client().copy_object(
                        Bucket=self.bucket, Key=self._key(name), CopySource=source, **how, **_in_place_of(stamp)
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] not in NOT_MET or not self._has(name, file.size):
                        raise
                    return False  # another one's, or this copy, whose answer was lost: its content tells
            else:  # boto3 hands no condition on to what it writes in parts
                self.client().copy(source, self.bucket, self._key(name), ExtraArgs=how, SourceClient=origin.client())
        return True

    def _has(self, name: str, size: int) -> bool:
        return any((file.name, file.size) == (name, size) for file in self.files())

    def _key(self, name: str) -> str:
        return f"{self.key}/{name}" if self.key else name

    @property
    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self.access == "requester-pays" else {}


def _in_place_of(stamp: str) -> dict[str, str]:
    return {"IfMatch": stamp} if stamp else {"IfNoneMatch": "*"}


def _kind(name: str) -> dict[str, str]:
    return {"ContentType": guess_type(name)[0] or "application/octet-stream"}


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
        if code in NOT_MET:
            raise S3Error(f"Could not {doing}: it was replaced meanwhile. Run it again.", retry=True) from None
        kind = S3NotFoundError if code in GONE else S3Error
        raise kind(str(failure.description), retry=bool(failure.allow_retries)) from None
