"""Every command and program in the README does what it says, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resources.settings import NAMES
from tests.support import ROOT, readme, require_apache_spark

README = (ROOT / "README.md").read_text()
ON_SPARK = "STEDI_SPARK=local "
IN_ONE_PROCESS = """
import shlex, sys
from importlib.metadata import entry_points

(dagster,) = entry_points(group="console_scripts", name="dagster")
for line in filter(str.strip, sys.stdin):
    sys.argv = shlex.split(line)
    try:
        dagster.load()()
    except SystemExit as end:
        assert not end.code, line
"""


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


def run(script: str, project: Path, given: str = "", **more: str) -> str:
    """Run the script in the project's environment; what it prints."""
    settings = {name for name in os.environ if name.startswith(("STEDI_", "DAGSTER_", "MAKE"))}
    environment = {name: value for name, value in os.environ.items() if name not in settings} | more
    script = "source .venv/bin/activate\nexport DAGSTER_HOME=$PWD/.dagster\n" + script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=project,
        env=environment,
        input=given,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def lakehouse(project: Path) -> str:
    """What the README's first command prints."""
    return run("make lakehouse", project)


def rows_of(table: str) -> dict[str, list[str]]:
    """What the summary says of each asset: what it holds, and its checks."""
    rows = ([cell.strip() for cell in line.split("│")[1:4]] for line in table.splitlines() if line.startswith("│"))
    return {name: cells for name, *cells in rows if name != "…"}


def changes_of(table: str) -> dict[str, list[str]]:
    """What is said of each asset that a run made; a cell may go on for several lines."""
    rows: dict[str, list[str]] = {}
    for line in table.splitlines():
        if line.startswith("│"):
            name, *cells = (cell.strip() for cell in line.split("│")[1:-1])
            asset = name or list(rows)[-1]
            before = [""] * len(cells) if name else rows[asset]
            rows[asset] = [f"{one} {more}".strip() for one, more in zip(before, cells, strict=True)]
    return {asset: cells for asset, cells in rows.items() if asset != "…"}


def test_the_first_command_makes_every_table_and_ends_with_the_summary_that_the_readme_shows(lakehouse: str) -> None:
    shown, said = rows_of(readme("text")[0]), rows_of(lakehouse)
    assert len(shown) >= 3
    assert shown.items() <= said.items()
    assert not re.search("failed|not run|not made", lakehouse)
    assert "make ui" in lakehouse.splitlines()[-1]


def test_the_second_command_says_of_each_table_what_the_readme_shows(lakehouse: str, project: Path) -> None:
    shown, said = changes_of(readme("text")[1]), changes_of(run("make next-day", project))
    assert len(shown) >= 3
    assert shown.items() <= said.items()


def test_the_first_three_commands_lead() -> None:
    assert [block.strip() for block in readme("bash")[:3]] == ["make lakehouse", "make next-day", "make test"]


def blocks() -> list[str]:
    """The blocks of commands, but for this suite itself, and for what needs an account (tests/infra/test_on_aws.py)."""
    elsewhere = {"make lakehouse\n", "make next-day\n", "make test\n", *readme("bash", "On AWS")}
    return [block for block in readme("bash") if block not in elsewhere]


@pytest.mark.parametrize(
    "commands",
    [block for block in blocks() if ON_SPARK not in block],
    ids=lambda block: block.strip().splitlines()[-1][:60],
)
def test_the_commands_run_as_they_stand(lakehouse: str, project: Path, commands: str) -> None:
    """Dagster's commands of a block in one process, since its imports take longer than what they do here."""
    lines = re.sub(r"\\\n", " ", commands).splitlines(keepends=True)
    dagsters = [line for line in lines if line.startswith("dagster ")]
    if dagsters:
        news = "".join(line for line in dagsters if "'*'" not in line)  # the first command made everything
        run('python -c "$PROGRAM"', project, news, PROGRAM=IN_ONE_PROCESS)
    run("".join(line for line in lines if line not in dagsters), project)


def test_a_command_on_apache_spark_runs_as_it_stands(lakehouse: str, project: Path) -> None:
    """One stands for all: a JVM takes long, and that it makes every table alike is tested in tests/conformance/."""
    require_apache_spark()
    *others, last = [block for block in blocks() if ON_SPARK in block]
    assert {block.removeprefix(ON_SPARK) for block in others} <= set(README.splitlines(keepends=True))
    run(last, project)


@pytest.mark.parametrize("program", readme("python"), ids=lambda block: block.splitlines()[0])
def test_the_programs_run_as_they_stand(lakehouse: str, project: Path, program: str) -> None:
    (project / "program.py").write_text(program)
    run("python program.py", project)


def test_adding_a_table_takes_what_the_readme_says(lakehouse: str, project: Path) -> None:
    contract, function = readme("py")
    imports = (
        "from stedi_assets.contracts import CUSTOMER_ACTIVITY\n"
        "from resources.lazy import LazyModule\nF = LazyModule('pyspark.sql.functions')\n"
    )
    last = "machine_learning_curated,\n"
    for name, before, after in (
        ("contracts.py", "TABLES: dict", f"{contract}\n\nTABLES: dict"),
        ("contracts.py", f"        {last.upper()}", f"        {last.upper()}        CUSTOMER_ACTIVITY,\n"),
        ("curated.py", "if TYPE_CHECKING:", f"{imports}\nif TYPE_CHECKING:"),
        ("definitions.py", f"    curated.{last}", f"    curated.{last}    curated.customer_activity,\n"),
    ):
        path = project / "stedi_assets" / name
        text = path.read_text()
        assert before in text, name
        path.write_text(text.replace(before, after, 1))
    with (project / "stedi_assets" / "curated.py").open("a") as file:
        file.write(f"\n\n{function}")
    made = "dagster asset materialize -m stedi_assets --select customer_activity\npython -m stedi_assets.cli summary"
    shown = rows_of(run(made, project, PYTHONPATH=str(project)))
    holds, checks = shown["customer_activity"]
    assert holds == shown["customers_curated"][0]
    assert re.fullmatch(r"\d+ passed", checks)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_every_link_and_picture_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_setting_is_explained() -> None:
    assert [name for name in NAMES if f"| `{name}` |" not in README] == []
