"""The files of tables in S3, as PyIceberg reads and writes them: with the keys that AWS takes now.

Belongs here: giving Arrow's client for S3 what it does not find itself. Does not belong here: raw files
(`resources/files/`), or whom to ask for keys (`resources/aws.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pyiceberg.io.pyarrow import PyArrowFileIO

from resources.aws import client
from resources.files.lease import Lease

if TYPE_CHECKING:
    from datetime import timedelta

    import boto3
    from botocore.credentials import ReadOnlyCredentials
    from pyarrow.fs import FileSystem


class S3FileIO(PyArrowFileIO):
    """PyIceberg's, but that it asks for keys with each file, of the boto3 session in its property `stedi.session`."""

    def __init__(self, properties: dict[str, Any]) -> None:
        super().__init__(properties)
        self.fs_by_scheme = self._with_keys_of_now

    def _with_keys_of_now(self, scheme: str, host: str | None) -> FileSystem:
        keys = self.properties["stedi.session"].get_credentials().get_frozen_credentials()
        place = (one for one in self.properties.items() if one[0].startswith(("client.", "s3.")))
        return _connected(keys, *place).fs_by_scheme(scheme, host)

    def lease(self, path: str, lasts: timedelta) -> Lease:
        """The object at that bucket and key as a lock, which Arrow's client, without conditions, cannot write."""
        bucket, _, key = path.partition("/")
        return Lease(_client(self.properties["stedi.session"]), bucket, key, lasts)


@lru_cache(maxsize=4)
def _client(session: boto3.Session) -> Any:
    """Kept, because to make one takes longer than many a call."""
    return client("s3", session)


@lru_cache(maxsize=4)
def _connected(keys: ReadOnlyCredentials, *place: tuple[str, str]) -> PyArrowFileIO:
    """Connections to S3, which all tables share: to make one takes several round trips."""
    names = ("client.access-key-id", "client.secret-access-key", "client.session-token")
    return PyArrowFileIO({**dict(place), **dict(zip(names, keys, strict=False))})
