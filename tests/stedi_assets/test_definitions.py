"""The code location: complete for people who browse it, and cheap to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from resources.settings import Settings
from stedi_assets.contracts import TABLES
from stedi_assets.definitions import JOB, build_definitions
from tests.support import ROOT

EVIDENCE = "query_evidence"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dg.AssetGraph:
    settings = Settings.from_environment({"STEDI_LAKEHOUSE": str(tmp_path_factory.mktemp("lakehouse"))})
    return build_definitions(settings).resolve_asset_graph()


UPSTREAM = {
    "customer_landing": set(),
    "accelerometer_landing": set(),
    "step_trainer_landing": set(),
    "customer_quarantine": {"customer_landing"},
    "accelerometer_quarantine": {"accelerometer_landing"},
    "step_trainer_quarantine": {"step_trainer_landing"},
    "customer_trusted": {"customer_landing"},
    "accelerometer_trusted": {"accelerometer_landing", "customer_trusted"},
    "customers_curated": {"customer_trusted", "accelerometer_trusted"},
    "step_trainer_trusted": {"step_trainer_landing", "customers_curated", "customer_landing"},
    "machine_learning_curated": {"step_trainer_trusted", "accelerometer_trusted", "customer_trusted"},
}


def test_the_lineage_is_the_one_that_the_readme_draws(graph: dg.AssetGraph) -> None:
    lineage = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    evidence = lineage.pop(EVIDENCE)
    assert lineage == UPSTREAM
    assert evidence == {name for name in TABLES if not name.endswith("_quarantine")}


@pytest.mark.parametrize("name", [*TABLES, EVIDENCE])
def test_every_asset_has_what_a_newcomer_looks_for(graph: dg.AssetGraph, name: str) -> None:
    asset = graph.get(dg.AssetKey(name))
    assert len(str(asset.description)) > 60
    assert asset.group_name in {"landing", "trusted", "curated", "evidence"}
    assert asset.kinds
    assert asset.owners
    assert asset.code_version
    assert {"zone", "contains_pii"} <= asset.tags.keys()


@pytest.mark.parametrize("name", TABLES)
def test_every_table_shows_its_schema_name_and_place_before_its_first_run(graph: dg.AssetGraph, name: str) -> None:
    metadata = graph.get(dg.AssetKey(name)).metadata
    columns = metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == list(TABLES[name].column_names)
    assert all(column.description for column in columns)
    assert metadata["dagster/table_name"] == f"stedi.{name}"
    assert metadata["dagster/uri"].startswith("file:///")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_checks_that_say_what_they_protect(graph: dg.AssetGraph, name: str) -> None:
    checks = [graph.get_check_spec(key) for key in graph.get_check_keys_for_assets({dg.AssetKey(name)})]
    assert len(checks) >= 3
    assert any(check.blocking for check in checks)
    assert all(len(str(check.description)) > 40 for check in checks)


def test_the_training_table_has_a_consent_a_privacy_and_a_pairing_audit_that_block(graph: dg.AssetGraph) -> None:
    keys = graph.get_check_keys_for_assets({dg.AssetKey("machine_learning_curated")})
    blocking = {key.name for key in keys if graph.get_check_spec(key).blocking}
    assert {"only_readings_of_consenting_holders", "no_row_pairs_two_customers", "no_direct_identifiers"} <= blocking


def test_one_job_materializes_everything(tmp_path: Path) -> None:
    definitions = build_definitions(Settings.from_environment({"STEDI_LAKEHOUSE": str(tmp_path)}))
    job = definitions.resolve_job_def(JOB)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {*TABLES, EVIDENCE}


def test_loading_the_definitions_of_a_lakehouse_on_aws_asks_nothing_of_aws(tmp_path: Path) -> None:
    """Without a region or credentials no client can be made; and none is, before a run needs it."""
    program = (
        "import socket, dagster, stedi_assets\n"
        "def no_network(*_): raise AssertionError('the network is used')\n"
        "socket.socket.connect = no_network\n"
        "definitions = stedi_assets.defs()\n"
        "print(definitions.resolve_asset_graph().get(dagster.AssetKey('customer_landing')).metadata['dagster/uri'])"
    )
    settings = {
        "STEDI_LAKEHOUSE": "s3://lake/prod",
        "STEDI_SOURCE": "s3://feeds",
        "STEDI_SPARK": "emr-serverless",
        "STEDI_EMR_APPLICATION_ID": "00f1",
        "STEDI_EMR_EXECUTION_ROLE_ARN": "arn:aws:iam::123456789012:role/stedi",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **settings},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "s3://lake/prod/customer_landing/"), done.stderr


def test_loading_the_definitions_starts_no_engine_imports_none_and_touches_no_file(tmp_path: Path) -> None:
    program = (
        "import sys, stedi_assets; stedi_assets.defs()\n"
        "heavy = {'pyspark', 'pysail', 'pyiceberg', 'PIL', 'pandas', 'pyarrow', 'boto3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    lakehouse = tmp_path / "lakehouse"
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "STEDI_LAKEHOUSE": str(lakehouse), "HOME": str(tmp_path)},
    )
    assert not lakehouse.exists()


def test_the_rooms_are_entered_in_one_direction_only() -> None:
    for path in (ROOT / "resources").glob("*.py"):
        assert "stedi_assets" not in [
            word
            for line in path.read_text().splitlines()
            if "import" in line
            for word in line.replace(".", " ").split()
        ], f"{path.name} imports stedi_assets"
