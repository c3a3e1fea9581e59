"""The lakehouse on this machine: files in a folder, the catalog in SQLite.

Belongs here: what differs from a lakehouse on AWS. Staging, auditing and publishing are the same (`lakehouse.py`).
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from resources.files.locks import lock
from resources.iceberg.lakehouse import Lakehouse, file_uri
from resources.iceberg.staging import StagingArea

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog


class LocalLakehouse(Lakehouse):
    """Tables in a folder of this machine; the catalog, named `stedi`, is the SQLite database `catalog.db` there."""

    def open_catalog(self) -> Catalog:
        """Open the database, or make it."""
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy import URL

        root = Path(self.root)
        root.mkdir(parents=True, exist_ok=True)
        database = URL.create("sqlite", database=str(root / "catalog.db"))
        # Of several first runs, one makes the database. Who may only read makes nothing.
        with lock(root / ".catalog.lock") if os.access(root, os.W_OK) else nullcontext():
            catalog = SqlCatalog("stedi", uri=database.render_as_string(), warehouse=file_uri(str(root)))
            catalog.create_namespace_if_not_exists(self.namespace)
        return catalog

    def location(self, table: str) -> Path:
        """The folder that holds the table's data and metadata."""
        return Path(self.root) / self.namespace / table

    def uri(self, table: str) -> str:
        """The table's folder, as `file://`."""
        return file_uri(str(self.location(table)))

    def staging_area(self, table: str) -> StagingArea:
        """A folder beside the published files, with a lock."""
        return StagingArea(self.location(table) / "data")
