"""A lakehouse on AWS for one test, as `tests/support.py` has one on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from resources.athena import AthenaQuery
from resources.iceberg.catalogs import GlueLakehouse
from stedi_assets.contracts import ASSETS, FEEDS
from tests.servers.ministack import Aws
from tests.support import Stedi

LANDING = [feed.landing.name for feed in FEEDS]


@dataclass
class StediOnAws(Stedi):
    """A lakehouse in a bucket and a Glue database of its own."""

    aws: Aws | None = None

    def __post_init__(self) -> None:
        assert self.aws is not None
        self.bucket = self.aws.new_bucket()
        self.environment |= {
            "STEDI_LAKEHOUSE": f"s3://{self.bucket}/prod",
            "STEDI_DATABASE": self.aws.new_database(),
            "STEDI_ATHENA_WORKGROUP": self.aws.new_workgroup(),
        }

    @property
    def lakehouse(self) -> GlueLakehouse:  # type: ignore[override]
        return GlueLakehouse(root=f"s3://{self.bucket}/prod", namespace=self.settings.database)

    def objects(self, prefix: str) -> list[str]:
        assert self.aws is not None
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key.removeprefix(prefix) for key in keys if not key.endswith("/"))

    def show_to_athena(self) -> AthenaQuery:
        """Athena over the lakehouse's data, in a database beside it: the test server's Athena reads no Iceberg."""
        assert self.aws is not None
        athena = AthenaQuery(workgroup=self.settings.athena_workgroup, database=self.aws.new_database())
        for name, table in ASSETS.items():
            columns = ", ".join(f"`{column.name}` {column.type}" for column in table.columns)
            how, where = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'", f"{self.lakehouse.root}/{name}/"
            if name not in LANDING:
                loaded = self.lakehouse.load(name)
                assert loaded is not None
                files = [task.file.file_path for task in loaded.scan().plan_files()]
                if not files:
                    continue
                how, where = "STORED AS PARQUET", files[0].rpartition("/")[0] + "/"
            athena.run(f"CREATE EXTERNAL TABLE `{name}` ({columns}) {how} LOCATION '{where}'", {})
        return athena
