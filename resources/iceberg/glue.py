"""The lakehouse on AWS: files in S3, the catalog in Glue.

Belongs here: what differs from a lakehouse on this machine. Staging, auditing and publishing are the same
(`lakehouse.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, NoCredentialsError
from pydantic import PrivateAttr

from resources.aws import explained, region
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.s3_staging import S3StagingArea

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

COMMITS = ("CreateTable", "UpdateTable")
"""The calls of Glue that publish a version."""


class GlueLakehouse(Lakehouse):
    """Tables under `root`, an `s3://bucket/prefix`, in the Glue database `namespace`."""

    _session: Any = PrivateAttr(default=None)

    @property
    def catalog(self) -> Catalog:
        """The Iceberg catalog; opened anew where the credentials have been renewed."""
        if self._catalog is not None and not self._properties().items() <= self._catalog.properties.items():
            self._catalog = None
        return super().catalog

    def open_catalog(self) -> Catalog:
        """Connect to Glue; make the database where it is missing."""
        from pyiceberg.catalog.glue import GlueCatalog

        catalog = GlueCatalog("stedi", **self._properties(), warehouse=self.root)
        for commit in COMMITS:
            catalog.glue.meta.events.register_first(f"needs-retry.glue.{commit}", _send_once)
        # Looked at first, because whoever may use the database may not be allowed to make one.
        if not catalog.namespace_exists(self.namespace):
            catalog.create_namespace_if_not_exists(self.namespace)
        return catalog

    def uri(self, table: str) -> str:
        """The table's location in S3."""
        return f"{self.root}/{self.namespace}/{table}"

    def staging_area(self, table: str) -> S3StagingArea:
        """A folder beside the published files."""
        from pyiceberg.io.pyarrow import PyArrowFileIO

        io = PyArrowFileIO(self._properties())
        _, bucket, path = io.parse_location(f"{self.uri(table)}/data")
        return S3StagingArea(io.fs_by_scheme("s3", bucket), path)

    def _properties(self) -> dict[str, str]:
        """What PyIceberg must be told: Arrow's client for S3 finds neither all credentials nor an endpoint itself."""
        import boto3

        with explained("find AWS credentials"):
            self._session = self._session or boto3.Session()
            found = self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            credentials = found.get_frozen_credentials()
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return {
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            "client.region": region(self._session),
            "client.access-key-id": credentials.access_key,
            "client.secret-access-key": credentials.secret_key,
            **({"client.session-token": credentials.token} if credentials.token else {}),
            "glue.retry-mode": "adaptive",
            **({"s3.endpoint": endpoint} if endpoint else {}),
        }

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Tell what S3 or Glue refused as dg.Failure; `doing` says what was tried."""
        with super().explained(doing), explained(doing):
            try:
                yield
            except OSError as error:
                raise _refused_by_s3(error) or error from None


def _refused_by_s3(error: OSError) -> ClientError | None:
    """What Arrow's client for S3 was refused, as boto3 would tell it; None for any other error."""
    said = re.search(r"AWS Error (\w+) during (\w+) operation: (.*)", str(error), re.DOTALL)
    if not said:
        return None
    code, operation, message = said.groups()
    name = "".join(map(str.title, code.split("_")))
    return ClientError({"Error": {"Code": name, "Message": message}}, operation)


def _send_once(
    operation: Any, response: tuple[Any, dict[str, Any]] | None, caught_exception: Exception | None, **_: Any
) -> None:
    """Raise what botocore would answer by sending a commit again, unless Glue has surely not done it.

    Sent twice, a commit that had arrived is refused because of itself, and PyIceberg then removes what it is made of.
    """
    if caught_exception is not None:
        raise caught_exception
    if response is not None and response[0].status_code >= 500:
        raise ClientError(response[1], operation.name)
