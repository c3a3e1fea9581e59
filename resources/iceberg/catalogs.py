"""The two lakehouses: on this machine with a catalog in SQLite, on AWS with one in Glue.

Belongs here: how each catalog is opened, and where its tables lie. Staging, checking and publishing are the same
(`lakehouse.py`). A lakehouse on this machine never imports boto3.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.aws import client, new_session, region
from resources.errors import LakehouseError
from resources.files.locks import lock
from resources.iceberg.lakehouse import Lakehouse
from resources.iceberg.moved import adopt, file_uri, lies_in, path_of, unshare

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table as IcebergTable

COMMITS = ("CreateTable", "UpdateTable")
"""The calls of Glue that publish a version."""

DATABASE = "catalog.db"


class LocalLakehouse(Lakehouse):
    """Tables in a folder of this machine; the catalog, named `stedi`, is the SQLite database `catalog.db` there."""

    def open_catalog(self) -> Catalog:
        """Open the database, or make it."""
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy import URL

        root = Path(self.root)
        root.mkdir(parents=True, exist_ok=True)
        database = URL.create("sqlite", database=str(root / DATABASE))
        # Of several first runs, one makes the database. Who may only read makes nothing.
        writable = os.access(root, os.W_OK)
        with lock(root / ".catalog.lock") if writable else nullcontext():
            if writable:
                unshare(root / DATABASE)
            catalog = SqlCatalog("stedi", uri=database.render_as_string(), warehouse=file_uri(str(root)))
            catalog.create_namespace_if_not_exists(self.namespace)
            if writable:
                adopt(catalog, self.namespace, self.uri)
        return catalog

    def look_up(self, table: str) -> IcebergTable:
        """What the catalog has under this name. Who only looks makes no catalog."""
        from pyiceberg.exceptions import NoSuchTableError

        if self._catalog is None and not Path(self.root, DATABASE).exists():
            raise NoSuchTableError(f"There is no lakehouse in {self.root}")
        found = self.catalog.load_table(self.identifier(table))
        if not lies_in(found.location(), self.uri(table)):
            raise LakehouseError(
                f"{self.identifier(table)} lies in {path_of(found.location())} by the catalog in {self.root}, which is "
                "no place of this lakehouse, so it is left as it is. If the lakehouse was moved or copied, have all of "
                "its folder there, with the right to write in it."
            )
        return found

    def uri(self, table: str) -> str:
        """The table's folder, as `file://`."""
        return file_uri(f"{self.root}/{self.namespace}/{table}")


class GlueLakehouse(Lakehouse):
    """Tables under `root`, an `s3://bucket/prefix`, in the Glue database `namespace`."""

    def open_catalog(self) -> Catalog:
        """Connect to Glue; make the database where it is missing."""
        from pyiceberg.catalog.glue import GlueCatalog

        session = new_session()
        # Arrow's client for S3 finds neither all credentials nor an endpoint itself.
        properties = {
            "py-io-impl": "resources.iceberg.s3.S3FileIO",
            "stedi.session": session,
            "client.region": region(session),
            "s3.endpoint": os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        }
        catalog = GlueCatalog("stedi", client("glue", session), **properties, warehouse=self.root)
        for commit in COMMITS:
            catalog.glue.meta.events.register_first(f"needs-retry.glue.{commit}", _send_once)
        # Looked at first, because whoever may use the database may not be allowed to make one.
        if not catalog.namespace_exists(self.namespace):
            catalog.create_namespace_if_not_exists(self.namespace)
        return catalog

    def uri(self, table: str) -> str:
        """The table's location in S3."""
        return f"{self.root}/{self.namespace}/{table}"

    def look_up(self, table: str) -> IcebergTable:
        """What Glue has under this name."""
        from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchPropertyException

        name, elsewhere = f"{self.identifier(table)} in Glue", "or set STEDI_DATABASE to another database."
        try:
            found = self.catalog.load_table(self.identifier(table))
        except (NoSuchIcebergTableError, NoSuchPropertyException, ValueError) as error:
            if type(error) is ValueError and "Glue table is missing" not in str(error):
                raise
            raise LakehouseError(
                f"{name} is no Iceberg table, so it is left as it is. Rename it there, {elsewhere}"
            ) from None
        if found.location().rstrip("/") != self.uri(table):
            raise LakehouseError(
                f"{name} lies in {found.location()}, which is no place of the lakehouse in {self.root}, so it is left "
                f"as it is. Set STEDI_LAKEHOUSE to the lakehouse that it is of, {elsewhere}"
            )
        return found


def _send_once(
    operation: Any, response: tuple[Any, dict[str, Any]] | None, caught_exception: Exception | None, **_: Any
) -> None:
    """Raise what botocore would answer by sending a commit again, unless Glue has surely not done it.

    Sent twice, a commit that had arrived is refused because of itself, and PyIceberg then removes what it is made of.
    """
    from botocore.exceptions import ClientError

    if caught_exception is not None:
        raise caught_exception
    if response is not None and response[0].status_code >= 500:
        raise ClientError(response[1], operation.name)
