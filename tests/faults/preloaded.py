"""Everything that a run imports, and nothing that it starts: what processes are forked from holds no thread."""

import dagster._cli
import dagster._core.executor.in_process
import dagster_pyspark
import pyarrow.parquet
import pyiceberg.io.pyarrow
import pyspark.sql.connect.session
from pysail.spark import SparkConnectServer

import stedi_assets.definitions
import tests.faults.command  # noqa: F401
