"""No name that comes from data leads out of the folder that it is meant for, and none becomes a part of a statement."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import pytest

from resources.errors import LakehouseError
from resources.files.folder import LocalFolder
from resources.files.landing_zone import LandingZone
from resources.settings import Settings, SettingsError
from tests.resources.files.zones import sync
from tests.servers.ministack import Aws
from tests.support import ROOT

LEADING_OUT = ["../outside.json", "a/../../outside.json", "/outside.json", "..", "a/.."]
RECORD = b'{"email": "ann@x.se"}\n'


@pytest.fixture
def landed(tmp_path: Path) -> LandingZone:
    """A landing zone that has synced one file, which had to be rewritten."""
    (tmp_path / "source" / "customers").mkdir(parents=True)
    (tmp_path / "source" / "customers" / "1.json").write_bytes(b'[\n  {\n    "email": "ann@x.se"\n  }\n]\n')
    zone = LandingZone(root=str(tmp_path / "lakehouse"), source=str(tmp_path / "source"))
    sync(zone)
    return zone


def everything(folder: Path, but: str) -> dict[str, bytes]:
    """All files with their contents, but for those of one folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / but))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_out_of_a_folder_is_refused_whatever_is_done_with_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.json").write_text("mine")
    folder = LocalFolder(tmp_path / "folder")
    for attempt in (
        folder.path,
        folder.open,
        lambda name: folder.remove([name]),
        lambda name: folder.create(name).__enter__(),
    ):
        with pytest.raises(OSError, match="names no file inside of"):
            attempt(name)
    assert everything(tmp_path, but="none") == {"outside.json": b"mine"}


def test_a_name_that_only_looks_like_the_way_up_is_one(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    with folder.create("..a/b..c/...json") as out:
        out.write(b"1")
    assert (tmp_path / "..a" / "b..c" / "...json").read_bytes() == b"1"


def test_nothing_is_written_through_a_link_that_leads_out_of_the_landing_zone(
    landed: LandingZone, tmp_path: Path
) -> None:
    (outside := tmp_path / "outside").mkdir()
    (tmp_path / "lakehouse" / "customer_landing" / "day").symlink_to(outside)
    (day := tmp_path / "source" / "customers" / "day").mkdir()
    (day / "1.json").write_bytes(RECORD)
    with pytest.raises(LakehouseError, match="a link on the way leads out"):
        sync(landed)
    assert [*outside.iterdir()] == []


def test_a_landing_zone_may_itself_lie_behind_a_link(landed: LandingZone, tmp_path: Path) -> None:
    (tmp_path / "lakehouse").rename(tmp_path / "large disk")
    (tmp_path / "lakehouse").symlink_to(tmp_path / "large disk")
    (tmp_path / "source" / "customers" / "2.json").write_bytes(RECORD)
    assert sync(landed).new == ["2.json"]


@pytest.mark.parametrize("name", LEADING_OUT[:3])
def test_a_manifest_that_names_other_files_makes_nobody_read_or_remove_them(
    landed: LandingZone, tmp_path: Path, name: str
) -> None:
    (tmp_path / "lakehouse" / "outside.json").write_bytes(b"[\n{}]")
    path = tmp_path / "lakehouse" / "landing" / "customer" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"].append({**manifest["files"][0], "name": name, "sha256": "../" * 10 + "outside"})
    path.write_text(json.dumps(manifest))
    before = everything(tmp_path, but="lakehouse/landing")
    with (
        pytest.raises(LakehouseError, match=r"names no file inside of|are gone"),
        landed.readable("customer", landed.landed("customer").files),
    ):
        pass
    landing = sync(landed)
    assert [file.name for file in landing.files] == ["1.json"]
    assert landing.taken_back == [name]
    assert everything(tmp_path, but="lakehouse/landing") == before


def test_objects_in_s3_whose_keys_lead_out_land_inside(aws: Aws, tmp_path: Path) -> None:
    bucket = aws.new_bucket()
    keys = ["../../../outside.json", "/etc/outside.json", "a/../../../../outside.json.gz", "./1.json"]
    for number, key in enumerate(keys):
        content = RECORD.replace(b"ann", str(number).encode())
        aws.client("s3").put_object(
            Bucket=bucket, Key=f"customers/{key}", Body=gzip.compress(content) if key.endswith(".gz") else content
        )
    zone = LandingZone(root=str(tmp_path / "deep" / "er" / "lakehouse"), source=f"s3://{bucket}")
    synced = sync(zone)
    assert sorted(synced.ignored) == sorted(f"customers/{key}" for key in keys if key.startswith((".", "a/..")))
    assert len(synced.new) == 1  # what begins with a dot is hidden, the way up too
    assert (tmp_path / "deep" / "er" / "lakehouse" / "customer_landing" / synced.new[0]).is_file()
    assert everything(tmp_path, but="deep/er/lakehouse") == {}


@pytest.mark.parametrize("way", ["..", "a/../b", ".", "a/./b", "..'", "a' OR '1", "a`b", "a b", "$(a)", "a;b", "${a}"])
def test_a_lakehouse_in_s3_has_no_way_up_and_no_sign_that_ends_a_text(way: str) -> None:
    with pytest.raises(SettingsError):
        Settings.from_environment({"STEDI_LAKEHOUSE": f"s3://bucket/{way}"})


# Statements ---------------------------------------------------------------------------------------------------

TAKES_SQL = {"sql", "expr", "where", "filter", "selectExpr", "_execute", "_start"}
# A person's own statement; a file of sql/queries/; what `_execute` is given; DDL with the one location in it, which the
# settings have checked; names of tables and columns from the contracts.
AS_GIVEN = {
    "stedi_assets/cli.py: spark.sql(statement)",
    "resources/query.py: session.sql(sql)",
    "resources/athena.py: self._execute(sql)",
    "resources/athena.py: self._start(sql)",
    "resources/athena.py: self._execute(statement)",
    "resources/athena.py: self._execute(f'DROP TABLE IF EXISTS `{name}`')",
    "resources/iceberg/tables.py: spark.range(0).selectExpr(*nothing)",
    "resources/iceberg/days.py: F.expr(f'`{taken}` div {DAY_MS}')",
    "stedi_assets/pipeline/changes.py: F.expr(f'`{taken}` div {DAY_MS} * {DAY_MS}')",
    "stedi_assets/rules.py: F.expr(f'record._hash = chosen._hash and {equal}')",
}


def test_no_statement_is_made_of_anything_but_constants() -> None:
    found = set()
    for path in [*(ROOT / "stedi_assets").rglob("*.py"), *(ROOT / "resources").rglob("*.py")]:
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr in TAKES_SQL
                and ast.unparse(call.func) != "F.filter"  # of an array, by an expression
                and not all(map(_constant, call.args))
            ):
                found.add(f"{path.relative_to(ROOT).as_posix()}: {ast.unparse(call)}")
    assert found == AS_GIVEN


def _constant(argument: ast.expr) -> bool:
    """A text whose only variable parts are constants of the module, or no text but a column."""
    if isinstance(argument, ast.JoinedStr):
        names = [node for node in ast.walk(argument) if isinstance(node, ast.Name)]
        return all(name.id.isupper() for name in names)
    if any(map(_makes_a_text, ast.walk(argument))):
        return False
    return isinstance(argument, ast.Constant | ast.Call | ast.Compare | ast.BinOp | ast.UnaryOp)


def _makes_a_text(node: ast.AST) -> bool:
    """Whether a text is put together with something."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_text(node.func.value)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize(
    "argument", ["'SELECT * FROM ' + name", "'{}'.format(name)", "'user = %r' % email", "f'{name}'", "name"]
)
def test_a_statement_that_is_made_of_something_is_noticed(argument: str) -> None:
    assert not _constant(ast.parse(argument, mode="eval").body)
