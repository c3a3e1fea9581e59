"""Every command and program in the README does what it says, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, readme, require_apache_spark

README = (ROOT / "README.md").read_text()
# This suite itself, which a test cannot run, and what needs an account: see tests/infra/test_on_aws.py.
RUN_ELSEWHERE = {"make test", *(block.strip() for block in readme("bash", "On AWS"))}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's files, with the environment that runs this test as its `.venv`."""
    copy = tmp_path_factory.mktemp("stedi")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    for stamp in ("bin/uv", "installed", "installed-dev"):
        (copy / ".venv" / stamp).touch()
    return copy


def run(script: str, project: Path) -> str:
    settings = {name for name in os.environ if name.startswith(("STEDI_", "DAGSTER_", "MAKE"))}
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=project, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def lakehouse(project: Path) -> str:
    """What the README's first command prints."""
    return run("make lakehouse", project)


def test_the_first_command_makes_every_table_and_ends_with_a_summary(lakehouse: str) -> None:
    for table, rows in {"customer_landing": "233", "machine_learning_curated": "7,605"}.items():
        assert re.search(rf"{table}\s+│\s+{rows} │ \d passed", lakehouse)
    assert "failed" not in lakehouse
    assert "not run" not in lakehouse
    assert "make ui" in lakehouse.splitlines()[-1]


COMMANDS = [block for block in readme("bash") if block.strip() not in {"make lakehouse", *RUN_ELSEWHERE}]


def test_the_first_two_commands_lead() -> None:
    assert [block.strip() for block in readme("bash")[:2]] == ["make lakehouse", "make test"]


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda block: block.strip().splitlines()[-1][:60])
def test_the_commands_run_as_they_stand(lakehouse: str, project: Path, commands: str) -> None:
    if "STEDI_SPARK=local" in commands:
        require_apache_spark()
    activated = "source .venv/bin/activate\nexport DAGSTER_HOME=$PWD/.dagster\n"
    run(activated + commands, project)


@pytest.mark.parametrize("program", readme("python"), ids=lambda block: block.splitlines()[0])
def test_the_programs_run_as_they_stand(lakehouse: str, project: Path, program: str) -> None:
    script = project / "program.py"
    script.write_text(program)
    run("source .venv/bin/activate\npython program.py", project)


def test_adding_a_table_takes_what_the_readme_says(lakehouse: str, project: Path) -> None:
    contract, function = readme("py")
    room = project / "stedi_assets"
    contracts = (room / "contracts.py").read_text()
    contracts = contracts.replace("TABLES: dict", contract + "\n\nTABLES: dict")
    contracts = contracts.replace(
        "        MACHINE_LEARNING_CURATED,\n    )\n}",
        "        MACHINE_LEARNING_CURATED,\n        CUSTOMER_ACTIVITY,\n    )\n}",
    )
    (room / "contracts.py").write_text(contracts)
    curated = (room / "curated.py").read_text()
    imports = (
        "from stedi_assets.contracts import CUSTOMER_ACTIVITY\n"
        "from resources.lazy import LazyModule\nF = LazyModule('pyspark.sql.functions')\n"
    )
    (room / "curated.py").write_text(
        curated.replace("if TYPE_CHECKING:", imports + "\nif TYPE_CHECKING:", 1) + "\n\n" + function
    )
    definitions = (room / "definitions.py").read_text()
    (room / "definitions.py").write_text(
        definitions.replace(
            "curated.machine_learning_curated,", "curated.machine_learning_curated,\n    curated.customer_activity,"
        )
    )
    run(
        "source .venv/bin/activate\nexport DAGSTER_HOME=$PWD/.dagster PYTHONPATH=$PWD\n"
        "dagster asset materialize -m stedi_assets --select customer_activity",
        project,
    )
    shown = run(
        "source .venv/bin/activate\nexport DAGSTER_HOME=$PWD/.dagster PYTHONPATH=$PWD\npython -m stedi_assets.summary",
        project,
    )
    assert re.search(r"customer_activity\s+│\s+112", shown)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_every_link_and_picture_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_setting_is_explained() -> None:
    read = {
        name for path in (ROOT / "resources").glob("*.py") for name in re.findall(r'"(STEDI_\w+)"', path.read_text())
    }
    # What deploy/workspace.yaml reads is explained there.
    assert {name for name in read if f"| `{name}` |" not in README} == {"STEDI_CODE_LOCATION"}
