"""A table's code version: another one where what makes the table has changed, and the same one where nothing has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from stedi_assets.rules import Consent
from tests.stedi_assets.checks.worlds import EVERY_TABLE
from tests.stedi_assets.runs import ASSETS
from tests.support import ROOT

PRINT_VERSIONS = """
import json, sys
versions = []
for folder in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith(("stedi_assets", "resources", "sample"))]:
        del sys.modules[name]
    sys.path[0] = folder
    from stedi_assets.contracts import FEEDS
    from stedi_assets.definitions import TRUSTED_AND_CURATED
    from stedi_assets.landing import tables_of
    tables = [*TRUSTED_AND_CURATED, *(table for feed in FEEDS for table in tables_of(feed, 0.05))]
    versions.append({table.name: table.code_version({}) for table in tables})
print(json.dumps(versions))
"""
OF_FEEDS = EVERY_TABLE.keys() - ASSETS.keys()
QUARANTINES = {name for name in OF_FEEDS if name.endswith("_quarantine")}
OF_DISTANCES = {"step_trainer_records", "step_trainer_trusted", "machine_learning_curated"}
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "nothing": ("rules.py", "def consented()", "def consented()", set()),
    "a comment in the rules": ("rules.py", "def consented()", "# Zero is none.\n\n\ndef consented()", set()),
    "a docstring": ("trusted.py", '"""Customers who agreed', '"""People who agreed', set()),
    "a check": ("checks/consent.py", 'where("rows > 1")', 'where("rows > 2")', {*ASSETS}),
    "a rule": ("rules.py", "F.col(CONSENT) > 0", "F.col(CONSENT) >= 0", {*ASSETS}),
    "a function": ("trusted.py", ".where(consented())", ".where(~consented())", {"customer_trusted"}),
    "a feed's function": ("landing.py", '"reason IS NOT NULL"', '"reason <> 1"', QUARANTINES),
    "the reader": ("ingestion/parse.py", "DEEPEST = ", "DEEPEST = 1 + ", {*OF_FEEDS}),
    "a column": ("contracts.py", "maximum=1e6,\n)", "maximum=1e5,\n)", OF_DISTANCES | {"step_trainer_quarantine"}),
}
"""By what is edited: the module, what stands there, what then does, and the tables that are then made otherwise."""


def edited_project(folder: Path, module: str, old: str, new: str) -> Path:
    for package in ("stedi_assets", "resources", "sample"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "stedi_assets" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (folder / "sql").symlink_to(ROOT / "sql")
    return folder


def test_a_tables_code_version_changes_with_what_makes_it_and_with_no_comment(tmp_path: Path) -> None:
    folders = [edited_project(tmp_path / str(number), *edit) for number, (*edit, _) in enumerate(EDITS.values())]
    script = tmp_path / "print_versions.py"
    script.write_text(PRINT_VERSIONS)
    command = [sys.executable, str(script), *map(str, folders)]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    now = {name: table.code_version({}) for name, table in EVERY_TABLE.items()}
    different = [{name for name, version in each.items() if version != now[name]} for each in printed]
    assert dict(zip(EDITS, different, strict=True)) == {name: edit[-1] for name, edit in EDITS.items()}


def test_another_consent_rule_is_another_code_version() -> None:
    for table in ASSETS.values():
        one, other = (table.code_version({"consent": consent}) for consent in Consent)
        assert one != other
