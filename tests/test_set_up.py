"""The project is found by each tool that people start it with: installed from a wheel, and by Dagster's `dg`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from sample.feeds import write_feeds
from tests.dagster_dev import BIN, DAGSTER, dagster_dev, environment
from tests.support import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]
TOP_LEVEL = [name for name in PACKAGES if "." not in name]
LOCATION = "stedi_assets"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """A small source, an empty lakehouse, and a history of runs of the test's own."""
    (home := tmp_path / "home").mkdir()
    shutil.copy(ROOT / ".dagster" / "dagster.yaml", home)
    write_feeds(tmp_path / "feeds", customers=20)
    lakehouse = {"STEDI_SOURCE": str(tmp_path / "feeds"), "STEDI_LAKEHOUSE": str(tmp_path / "lakehouse")}
    return {**lakehouse, "DAGSTER_HOME": str(home)}


def run(command: Sequence[str | Path], settings: dict[str, str], folder: Path = ROOT) -> str:
    """What the command prints, which must succeed."""
    done = subprocess.run(command, cwd=folder, env=environment(settings), text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_every_package_is_named() -> None:
    """A package that nobody names is missing from the wheel alone, where no test of the checkout sees it."""
    folders = {
        path.parent for top in {name.partition(".")[0] for name in PACKAGES} for path in ROOT.glob(f"{top}/**/*")
    }
    packages = {folder for folder in folders if any(path.suffix in {".py", ".sql"} for path in folder.iterdir())}
    assert sorted(".".join(folder.relative_to(ROOT).parts) for folder in packages) == PACKAGES


def test_every_table_is_made_by_a_wheel_from_another_folder(tmp_path: Path, settings: dict[str, str]) -> None:
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for package in TOP_LEVEL:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = ["build", "--wheel", "--no-build-isolation", "--python", BIN / "python", "--out-dir", tmp_path / "dist"]
    run([BIN / "uv", *build, tmp_path], settings)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    run(
        [BIN / "uv", "pip", "install", "--no-deps", "--python", BIN / "python", "--target", elsewhere / "site", wheel],
        settings,
    )

    installed = {**settings, "PYTHONPATH": str(elsewhere / "site")}
    found = run([BIN / "python", "-c", "import stedi_assets, sql; print(*stedi_assets.__path__)"], installed, elsewhere)
    assert found == f"{elsewhere / 'site' / 'stedi_assets'}\n"
    run([DAGSTER, "asset", "materialize", "-m", LOCATION, "--select", "*"], installed, elsewhere)
    assert list((tmp_path / "lakehouse" / "evidence").rglob("*.png"))


def test_dg_checks_and_lists_the_definitions_without_a_word_of_warning(settings: dict[str, str]) -> None:
    assert "All definitions loaded successfully." in run([BIN / "dg", "check", "defs"], settings)
    listed = json.loads(run([BIN / "dg", "list", "defs", "--json"], {**settings, "PYTHONWARNINGS": "ignore"}))
    assert "machine_learning_curated" in {asset["asset_key"] for asset in listed["assets"]}
    assert "stedi_lakehouse" in {job["name"] for job in listed["jobs"]}


def test_dg_dev_serves_the_code_location_under_its_name(tmp_path: Path, settings: dict[str, str]) -> None:
    with dagster_dev(settings, tmp_path / "dev.log", location=(), program=BIN / "dg") as port:
        query = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
        with urlopen(f"http://127.0.0.1:{port}/graphql?{urlencode({'query': query})}") as answer:
            (entry,) = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
        assert entry == {"name": LOCATION, "loadStatus": "LOADED"}
