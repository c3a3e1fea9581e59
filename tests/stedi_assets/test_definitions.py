"""The code location: complete for people who browse it, cheap to load, and made of rooms that form no circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import dagster as dg
import pytest

from resources.settings import Settings
from stedi_assets.automation import LAKEHOUSE_JOB
from stedi_assets.contracts import ASSETS, FEEDS, TABLES
from stedi_assets.definitions import build_definitions
from tests.support import ROOT, Outcome, Stedi

EVIDENCE, MAINTENANCE = "query_evidence", "maintenance"
LANDING = [feed.landing.name for feed in FEEDS]
AWS = {
    "STEDI_LAKEHOUSE": "s3://lake/prod",
    "STEDI_SOURCE": "s3://feeds",
    "STEDI_SPARK": "emr-serverless",
    "STEDI_EMR_APPLICATION_ID": "00f1",
    "STEDI_EMR_EXECUTION_ROLE_ARN": "arn:aws:iam::123456789012:role/stedi",
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dg.AssetGraph:
    settings = Settings.from_environment({"STEDI_LAKEHOUSE": str(tmp_path_factory.mktemp("lakehouse"))})
    return build_definitions(settings).resolve_asset_graph()


UPSTREAM = {
    **{feed.landing.name: set() for feed in FEEDS},
    **{table.name: {feed.landing.name} for feed in FEEDS for table in (feed.records, feed.quarantine)},
    "customer_trusted": {"customer_records", "customer_quarantine"},
    "accelerometer_trusted": {"accelerometer_records", "customer_trusted"},
    "customers_curated": {"customer_trusted", "accelerometer_trusted"},
    "step_trainer_trusted": {"step_trainer_records", "customers_curated", "customer_records", "customer_quarantine"},
    "machine_learning_curated": {"step_trainer_trusted", "accelerometer_trusted", "customer_trusted"},
}


def test_the_lineage_is_the_one_that_the_readme_draws(graph: dg.AssetGraph) -> None:
    lineage = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    evidence = lineage.pop(EVIDENCE)
    assert lineage.pop(MAINTENANCE) == set()
    assert lineage == UPSTREAM
    assert evidence == {name for name in ASSETS if not name.endswith(("_quarantine", "step_trainer_landing"))}


@pytest.mark.parametrize("name", [*ASSETS, EVIDENCE, MAINTENANCE])
def test_every_asset_has_what_a_newcomer_looks_for(graph: dg.AssetGraph, name: str) -> None:
    asset = graph.get(dg.AssetKey(name))
    assert len(str(asset.description)) > 60
    assert asset.group_name in {"landing", "trusted", "curated", "evidence", "maintenance"}
    assert asset.kinds
    assert asset.owners
    assert asset.code_version or name in LANDING
    assert {"zone", "pii"} <= asset.tags.keys()


@pytest.mark.parametrize("name", ASSETS)
def test_every_table_shows_its_schema_and_place_and_what_its_checks_protect_before_its_first_run(
    graph: dg.AssetGraph, name: str
) -> None:
    metadata = graph.get(dg.AssetKey(name)).metadata
    columns = metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == list(ASSETS[name].column_names)
    assert all(column.description for column in columns)
    assert metadata["dagster/uri"].startswith("file:///")
    if name in TABLES:
        named = {column for column in ASSETS[name].column_names if column != "file"}
        lineage = set(metadata["dagster/column_lineage"].deps_by_column)
        assert lineage == (set() if name.endswith("_quarantine") else named)
    checks = [graph.get_check_spec(key) for key in graph.get_check_keys_for_assets({dg.AssetKey(name)})]
    assert len(checks) >= (1 if name in LANDING else 4)
    assert any(check.blocking for check in checks) or name in LANDING
    assert all(len(str(check.description)) > 40 for check in checks)


def test_a_table_is_found_under_the_name_that_the_ui_shows_and_has_all_that_it_promises(
    made: tuple[Stedi, Outcome],
) -> None:
    stedi, outcome = made
    graph = build_definitions(stedi.settings).resolve_asset_graph()
    names = {name: graph.get(dg.AssetKey(name)).metadata.get("dagster/table_name") for name in ASSETS}
    assert {name for name, table in names.items() if table is None} == set(LANDING)  # raw files are in no catalog here
    assert {name: table for name, table in names.items() if table} == {name: f"stedi.{name}" for name in TABLES}
    for name in TABLES:
        shown = outcome.metadata(name)
        assert stedi.lakehouse.catalog.load_table(str(names[name])).scan().count() == shown["dagster/row_count"] > 0
        assert {column.name for column in shown["preview"].schema.columns} == set(TABLES[name].column_names)
        assert shown["preview"].records
        found = {check for asset, check in outcome.checks if asset == name}
        assert found == {key.name for key in graph.get_check_keys_for_assets({dg.AssetKey(name)})}


def test_the_training_table_has_a_consent_a_privacy_and_a_pairing_check_that_block(graph: dg.AssetGraph) -> None:
    keys = graph.get_check_keys_for_assets({dg.AssetKey("machine_learning_curated")})
    blocking = {key.name for key in keys if graph.get_check_spec(key).blocking}
    assert {"only_readings_of_consenting_holders", "no_row_pairs_two_customers", "no_direct_identifiers"} <= blocking


def test_one_job_materializes_everything(tmp_path: Path) -> None:
    definitions = build_definitions(Settings.from_environment({"STEDI_LAKEHOUSE": str(tmp_path)}))
    job = definitions.resolve_job_def(LAKEHOUSE_JOB.name)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {*ASSETS, EVIDENCE}


@pytest.mark.parametrize("settings", [{}, AWS], ids=["local", "aws"])
def test_loading_the_definitions_uses_no_network_starts_no_engine_imports_none_and_touches_no_file(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    """Without a region or credentials no client of AWS can be made; and none is, before a run needs it."""
    program = (
        "import socket, sys, stedi_assets\n"
        "def no_network(*_): raise AssertionError('the network is used')\n"
        "socket.socket.connect = no_network\n"
        "stedi_assets.defs().resolve_asset_graph()\n"
        "heavy = {'pyspark', 'pysail', 'pyiceberg', 'PIL', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'boto3' not in sys.modules or 'aws' in sys.argv"
    )
    lakehouse = tmp_path / "lakehouse"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "STEDI_LAKEHOUSE": str(lakehouse), **settings}
    command = [sys.executable, "-c", program, *(["aws"] if settings else [])]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not lakehouse.exists()


# The rooms ----------------------------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """The project's modules, by name."""
    rooms = [path for room in ("resources", "stedi_assets", "sample") for path in sorted((ROOT / room).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in rooms}


def imports(path: Path, *, at_once: bool) -> set[str]:
    """What a module imports; `at_once`: as it is loaded, not in a function, nor for its types alone."""

    def statements(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            lazy = isinstance(child, ast.FunctionDef) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            if not (lazy and at_once):
                yield child
                yield from statements(child)

    found = set()
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    rooms = {name for name, path in known.items() if path.name == "__init__.py"}
    graph = {name: (imports(path, at_once=True) & known.keys()) - rooms - {name} for name, path in known.items()}
    assert list(TopologicalSorter(graph).static_order())
    assert graph["stedi_assets.trusted"]  # they were found


@pytest.mark.parametrize(
    ("room", "knows_no"),
    [
        ("resources", ["stedi_assets", "sample"]),
        ("stedi_assets.contracts", ["resources", "stedi_assets", "pyspark"]),
        (
            "stedi_assets.pipeline",
            [f"stedi_assets.{room}" for room in ("checks", "ingestion", "landing", "trusted", "curated", "rules")],
        ),
        ("stedi_assets.checks", ["stedi_assets.trusted", "stedi_assets.curated", "stedi_assets.landing"]),
        ("stedi_assets.trusted", ["resources"]),
    ],
)
def test_the_rooms_are_entered_in_one_direction_only(room: str, knows_no: list[str]) -> None:
    inside = {name: path for name, path in modules().items() if f"{name}.".startswith(f"{room}.")}
    assert inside
    for name, path in inside.items():
        wrong = {one for one in imports(path, at_once=False) if any(f"{one}.".startswith(f"{no}.") for no in knows_no)}
        assert not wrong, f"{name} imports {wrong}"


def test_a_table_with_a_device_identifier_is_pseudonymous_and_not_free_of_persons(graph: dg.AssetGraph) -> None:
    """Who met it: "the training table says contains_pii: no, and has everybody's serial number"."""
    tagged = {name: graph.get(dg.AssetKey(name)).tags["pii"] for name in (*ASSETS, EVIDENCE)}
    pseudonymous = {"step_trainer_landing", "step_trainer_records", "step_trainer_trusted", "machine_learning_curated"}
    assert {name for name, pii in tagged.items() if pii == "pseudonymous"} == pseudonymous
    assert set(tagged.values()) == {"direct", "pseudonymous"}
