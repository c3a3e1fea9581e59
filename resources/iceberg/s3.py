"""The files of tables in S3, as PyIceberg reads and writes them: with the keys that AWS takes now.

Belongs here: giving Arrow's client for S3 what it does not find itself. Does not belong here: raw files
(`resources/files/`), or whom to ask for keys (`resources/aws.py`).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pyiceberg.io.pyarrow import PyArrowFileIO

from resources.aws import client, region
from resources.errors import translate_errors
from resources.files.lease import Lease

if TYPE_CHECKING:
    from datetime import timedelta

    import boto3
    from pyarrow.fs import FileSystem

_SESSION = "stedi.session"


def s3_properties(session: boto3.Session) -> dict[str, Any]:
    """What a catalog tells PyIceberg of S3. Of keys it only tells whom to ask: those of now may not work for long."""
    from botocore.exceptions import NoCredentialsError

    with translate_errors("find AWS credentials"):
        if session.get_credentials() is None:
            raise NoCredentialsError
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return {
        "py-io-impl": f"{S3FileIO.__module__}.{S3FileIO.__name__}",
        "client.region": region(session),
        _SESSION: session,
        **({"s3.endpoint": endpoint} if endpoint else {}),
    }


class S3FileIO(PyArrowFileIO):
    """PyIceberg's, but for the keys: with each file, it asks for those of now."""

    def __init__(self, properties: dict[str, Any]) -> None:
        super().__init__(properties)
        self.fs_by_scheme = self._with_keys

    def _with_keys(self, scheme: str, host: str | None) -> FileSystem:
        keys = self.properties[_SESSION].get_credentials().get_frozen_credentials()
        given = {"access-key-id": keys.access_key, "secret-access-key": keys.secret_key, "session-token": keys.token}
        place = {name: value for name, value in self.properties.items() if name.startswith(("client.", "s3."))}
        place |= {f"client.{name}": value for name, value in given.items() if value}
        return _connected(tuple(sorted(place.items()))).fs_by_scheme(scheme, host)

    def lease(self, path: str, lasts: timedelta) -> Lease:
        """The object at that bucket and key as a lock, which Arrow's client, without conditions, cannot write."""
        bucket, _, key = path.partition("/")
        return Lease(_client(self.properties[_SESSION]), bucket, key, lasts)


@lru_cache(maxsize=4)
def _client(session: boto3.Session) -> Any:
    """Kept, because to make one takes longer than many a call."""
    return client("s3", session)


@lru_cache(maxsize=4)
def _connected(properties: tuple[tuple[str, str], ...]) -> PyArrowFileIO:
    """Connections to S3, which all tables share: to make one takes several round trips."""
    return PyArrowFileIO(dict(properties))
