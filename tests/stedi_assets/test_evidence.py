"""Evidence for people who want to look: queries that run anywhere, and pictures of their answers.

That Athena answers on AWS is in `test_on_aws.py`.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import sqlglot
from PIL import Image, ImageChops
from sqlglot import exp

from resources.query import EngineQuery, QueryResult
from stedi_assets import evidence
from stedi_assets.contracts import ASSETS, FEEDS
from stedi_assets.evidence import PICTURED, link_to, picture_of, queries, tables_in
from stedi_assets.picture import table_picture
from tests.stedi_assets.examples import CUSTOMERS, deliver_all
from tests.support import Outcome, Stedi

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("dialect", ["athena", "spark"])
def test_the_queries_are_sql_that_athena_and_spark_understand(dialect: str) -> None:
    for name, sql in queries().items():
        read = {table.name for table in sqlglot.parse_one(sql, read=dialect).find_all(sqlglot.exp.Table)}
        assert read == set(tables_in(sql)), name


def test_the_pictures_are_files_that_the_page_links_to_and_the_counts_are_right(made: tuple[Stedi, Outcome]) -> None:
    stedi, outcome = made
    shown = outcome.metadata("query_evidence")
    for name in PICTURED:
        path = Path(stedi.lakehouse.root, "evidence", f"{name}.png")
        assert shown[f"{name}.png"] == str(path)
        width, height = Image.open(path).size
        assert width > 400
        assert height > 300
        head, _, *rows = shown[name].splitlines()
        assert len(rows) > 3
        assert all("•••" in row and "@" not in row for row in rows), head
    counts = {name: rows for name, rows in stedi.counts().items() if not name.endswith("_quarantine")}
    assert len(set(counts.values())) > 3
    assert [f"| {name} | {rows} |" for name, rows in counts.items()] == shown["table_counts"].splitlines()[2:]
    customers = counts["customer_trusted"]
    assert f"| {customers} | {customers} | 0 |" in shown["consent_of_customer_trusted"]
    assert shown["engine"] == outcome.metadata("customer_trusted")["engine"]


def test_below_each_picture_stands_how_many_rows_there_are(
    made: tuple[Stedi, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who met it: "fifteen rows of how many?"."""
    stedi, _ = made
    footers = list[str]()

    def draw(statement: str, heads: Any, rows: Any, footer: str) -> bytes:
        footers.append(footer)
        return table_picture(statement, heads, rows, footer)

    monkeypatch.setattr(evidence, "table_picture", draw)
    (stedi.folder / "lakehouse" / "evidence" / "customer_trusted.png").unlink()  # or nothing is drawn anew
    assert stedi.materialize("query_evidence").success
    counts = {name.replace("_records", "_landing"): rows for name, rows in stedi.counts().items()}
    of = [re.match(r"\d+ of ([\d,]+) rows of (\w+)\. ", footer) for footer in footers]
    assert {one[2]: int(one[1]) for one in of if one} == {name: counts[name] for name in PICTURED}


def test_no_query_counts_what_an_external_table_shows() -> None:
    """AWS documents that the JSON SerDe may show more rows than there are, or fewer."""
    counting = {name: tables_in(sql) for name, sql in queries().items() if sqlglot.parse_one(sql).find(exp.AggFunc)}
    assert {"table_counts", "consent_of_customer_trusted"} <= set(counting)
    external = {feed.landing.name for feed in FEEDS}
    assert [name for name, tables in counting.items() if external & set(tables)] == []


def test_a_picture_in_s3_is_a_link_to_click_on_and_one_on_this_machine_a_path_to_copy() -> None:
    """A browser opens no file of this machine from a page."""
    link = "https://console.aws.amazon.com/s3/object/b?prefix=a%20b/evidence/x.png"
    assert link_to("s3://b/a b/evidence/x.png") == dg.MetadataValue.url(link)
    assert link_to("/lake/evidence/x.png") == dg.MetadataValue.path("/lake/evidence/x.png")


def test_no_picture_is_in_what_dagster_remembers_of_any_asset(made: tuple[Stedi, Outcome]) -> None:
    _, outcome = made
    for name in (*ASSETS, "query_evidence"):
        assert "data:image" not in repr(outcome.metadata(name)), name
    assert not any("data:image" in repr(check.metadata) for check in outcome.checks.values())


def test_what_dagster_stores_has_neither_a_planted_name_nor_a_picture_of_it(tmp_path: Path) -> None:
    """Who met it: "the names of people who never agreed are in the event database, twice per run, as pictures"."""
    planted = {"email": "planted.nobody@example.com", "customername": "Planted Núñez", "phone": "8005559999"}
    (remembered := tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(remembered)) as instance:
        stedi = Stedi(tmp_path, instance=instance)
        deliver_all(stedi, [*CUSTOMERS, {**CUSTOMERS[0], **planted, "sharewithresearchasofdate": None}])
        assert stedi.materialize(*ASSETS, "query_evidence").success
    assert planted["email"] in stedi.source.joinpath("customer", "landing", "1.json").read_text()
    stored = b"".join(path.read_bytes() for path in remembered.rglob("*") if path.is_file())
    assert b"query_evidence" in stored
    a_picture = (b"\x89PNG", base64.b64encode(b"\x89PNG\r\n\x1a\n")[:10])
    for trace in (b"planted.nobody", b"Planted N", b"8005559999", *a_picture):
        assert trace not in stored


def test_a_consent_dated_zero_or_before_is_none(spark: SparkSession) -> None:
    customers = spark.createDataFrame([(1655564376361,), (0,), (-1,), (None,)], "sharewithresearchasofdate bigint")
    answer = EngineQuery().run(queries()["consent_of_customer_trusted"], {"customer_trusted": lambda: customers})
    assert dict(zip(answer.columns, answer.rows[0], strict=True)) == {
        "customers": 4,
        "with_consent": 1,
        "without_consent": 3,
    }


# Pictures -----------------------------------------------------------------------------------------------------------


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_only_the_landing_pictures_show_personal_data() -> None:
    def differs(table: str) -> bool:
        """Whether the pictures of two customers differ, but for the line below, which has the time."""
        one, other = (
            opened(picture_of(table, "SELECT 1", QueryResult(["email", "serialnumber"], [row], 0.1), 1))
            for row in (("ada@example.com", "1234-5678-abcd"), ("bob@example.com", "4321-8765-abcd"))
        )
        rows = (0, 0, one.width, one.height - 60)
        return ImageChops.difference(one.crop(rows), other.crop(rows)).getbbox() is not None

    assert differs("customer_landing")
    assert not differs("customer_trusted")


def test_a_moment_is_pictured_with_its_date_and_a_withdrawal_without() -> None:
    """Who met it: "nobody can read 1655564376361"."""
    found = QueryResult(["registrationdate", "sharewithresearchasofdate"], [(1655564376361, 0)], 0.1)
    heads = [["registrationdate"], ["sharewithresearch", "asofdate"]]
    expected = table_picture("SELECT 1", heads, [[["1655564376361", "2022-06-18 14:59:36"], ["0"]]], "")
    table = (0, 0, 290, opened(expected).height - 40)
    shown = opened(picture_of("customer_trusted", "SELECT 1", found, 1)).crop(table)
    assert ImageChops.difference(shown, opened(expected).crop(table)).getbbox() is None


def test_consent_is_seen_on_a_screen_without_scrolling() -> None:
    """Who met it: "I have to scroll to see whether anybody agreed"."""
    person = ("Bruno Núñez", "bruno.nunez.173@example.com", "8135550189", "1399-03-01")
    row = (*person, "4b374244-4e64-44fe-9cc8-1aae9cc51fa9", *[1653059177362] * 5)
    columns = list(ASSETS["customer_landing"].column_names)
    assert opened(picture_of("customer_landing", "SELECT *", QueryResult(columns, [row], 0.1), 1)).width < 1600
