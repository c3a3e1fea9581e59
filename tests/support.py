"""What many tests use: one engine for the whole test run, and a lakehouse in a temporary folder.

On a developer's machine a test that needs what the machine lacks is skipped with the reason; in CI it fails.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from resources.engines.embedded import EmbeddedSpark
from resources.engines.engine import SparkEngine
from resources.engines.local import LocalSpark, require_java
from resources.errors import LakehouseError
from resources.iceberg.catalogs import LocalLakehouse
from resources.settings import Settings
from stedi_assets.contracts import ASSETS, TABLES, Table
from stedi_assets.definitions import build_definitions, options
from stedi_assets.pipeline.inputs import Inputs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT.parent / "shared" / "reference"

ENGINE = EmbeddedSpark()
ENGINES: dict[str, SparkEngine] = {
    "embedded": ENGINE,
    # Small, and compiled quickly in place of well: test data is tiny, and the machine runs other things beside. What is
    # compiled fills the 48 MB that are then the default, after which nothing more is: a whole graph took twice as long.
    "local": LocalSpark(
        conf={
            "spark.driver.memory": "2g",
            "spark.sql.shuffle.partitions": "2",
            # And stores no classes at its end, which takes ten seconds and more: `test_local.py` has a run that does.
            "spark.driver.extraJavaOptions": (
                "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=200m -XX:ArchiveClassesAtExit="
            ),
        }
    ),
}


class SharedSpark(SparkEngine):
    """The test run's one session of an engine, lent to each Dagster run."""

    lender: str = "embedded"

    @property
    def engine(self) -> str:
        return ENGINES[self.lender].engine

    def start(self) -> SparkSession:
        return ENGINES[self.lender].spark_session

    def read_text(self, folder: str, names: Sequence[str]) -> DataFrame:
        return ENGINES[self.lender].read_text(folder, names)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self._session = None


Rows = Sequence[Mapping[str, Any]]
MakeFrame = Callable[[Table | str, Rows], "DataFrame"]


@dataclass
class Outcome:
    """One Dagster run as a user sees it afterwards."""

    result: dg.ExecuteInProcessResult
    checks: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def materialized(self) -> set[str]:
        events = self.result.get_asset_materialization_events()
        return {event.step_materialization_data.materialization.asset_key.to_user_string() for event in events}

    def metadata(self, asset: str) -> dict[str, Any]:
        for event in self.result.get_asset_materialization_events():
            materialization = event.step_materialization_data.materialization
            if materialization.asset_key.to_user_string() == asset:
                return {name: value.value for name, value in materialization.metadata.items()}
        raise AssertionError(f"{asset} was not materialized")

    @property
    def failure(self) -> str:
        """What the failed step told the user."""
        return " ".join(
            str(
                event.step_failure_data.user_failure_data.description
                if event.step_failure_data.user_failure_data
                else event.step_failure_data.error_display_string
            )
            for event in self.result.all_events
            if event.is_step_failure
        )


@dataclass
class Stedi:
    """A lakehouse in a temporary folder, with a source folder that tests write feeds into."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    engine: str = "embedded"

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def lakehouse(self) -> LocalLakehouse:
        return LocalLakehouse(root=str(self.folder / "lakehouse"), namespace="stedi")

    def location(self, table: str) -> Path:
        """The folder that holds the table's data and metadata."""
        return self.folder / "lakehouse" / "stedi" / table

    @property
    def settings(self) -> Settings:
        self.source.mkdir(parents=True, exist_ok=True)
        defaults = {"STEDI_SOURCE": str(self.source), "STEDI_LAKEHOUSE": str(self.folder / "lakehouse")}
        return Settings.from_environment({**defaults, **self.environment})

    def deliver(self, feed: str, content: str | bytes | Rows, name: str = "1.json") -> Path:
        """Write one file into the source: text as it is, rows (in the feed's own field names) as a line each."""
        if not isinstance(content, str | bytes):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path = self.source / feed / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def materialize(
        self,
        *assets: str,
        checks: Sequence[dg.AssetCheckKey] = (),
        resources: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Materialize these assets (all but the evidence, if none is named), as one Dagster run."""
        definitions = build_definitions(self.settings, {"spark": SharedSpark(lender=self.engine), **(resources or {})})
        selection = dg.AssetSelection.assets(*(assets or ASSETS))
        if checks:
            selection = dg.AssetSelection.checks(*checks)
        job = definitions.resolve_implicit_global_asset_job_def()
        keys = selection.resolve(definitions.resolve_asset_graph())
        check_keys = selection.resolve_checks(definitions.resolve_asset_graph())
        result = job.get_subset(asset_selection=keys, asset_check_selection=check_keys).execute_in_process(
            instance=self.instance, raise_on_error=False, tags=tags
        )
        evaluations = {
            (check.asset_key.to_user_string(), check.check_name): check
            for check in result.get_asset_check_evaluations()
        }
        return Outcome(result, evaluations)

    @property
    def inputs(self) -> Inputs:
        """The published tables, as a step would see them now."""
        return Inputs(ENGINES[self.engine], self.lakehouse, options(self.settings))

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """The published rows of a table, sorted."""
        return sorted((tuple(row) for row in self.inputs.frame(table).collect()), key=repr)

    def counts(self) -> dict[str, int]:
        """The number of rows of every table."""
        versions = {name: self.lakehouse.version(name) for name in TABLES}
        return {name: version.rows for name, version in versions.items() if version is not None}


def readme(language: str, section: str = "") -> list[str]:
    """The README's code blocks in this language, of one section or of all."""
    text = (ROOT / "README.md").read_text()
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def require_apache_spark() -> None:
    """Skip the test where Apache Spark cannot run; in CI that is a failure."""
    try:
        require_java()
    except LakehouseError as error:
        require(False, error.description or "")


def require_reference() -> None:
    """Skip the test where the reference data is not beside the project; in CI that is a failure."""
    require(
        REFERENCE.is_dir(),
        f"the reference data is not at {REFERENCE}: unpack the folders customer, accelerometer and step_trainer of "
        "Udacity's STEDI project there (its licence forbids a copy in this repository)",
    )


def require(present: bool, what: str) -> None:
    """Skip the test where the machine lacks something; in CI that is a failure, so that nothing is skipped."""
    if not present:
        if os.environ.get("CI"):
            pytest.fail(f"CI must not skip this test: {what}")
        pytest.skip(what)
