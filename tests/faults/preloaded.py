"""Everything that a run imports, and nothing that it starts: what processes are forked from holds no thread."""

from importlib import import_module

for _name in (
    "alembic.autogenerate",
    "dagster._cli",
    "dagster._core.definitions.antlr_asset_selection.antlr_asset_selection",
    "dagster._core.executor.in_process",
    "dagster._core.launcher.default_run_launcher",
    "dagster._core.storage.event_log.sqlite",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._daemon",
    "dagster_pyspark",
    "grpc.aio",
    "numpy.random",
    "pandas",
    "pyarrow.parquet",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "pysail.spark",
    "pyspark.sql.connect.client",
    "pyspark.sql.connect.functions",
    "pyspark.sql.connect.session",
    "sqlalchemy.dialects.sqlite",
    "stedi_assets.definitions",
    "tests.faults.command",
):
    import_module(_name)
