"""The Dagster UI as people use it: a real `dagster dev`, a real browser, and clicks.

What each test saw at its end lies in `screenshots/` afterwards, also where it failed. `make pictures`
makes those in `docs/` anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as NotYet

from stedi_assets.contracts import TABLES, Pii
from tests.dagster_dev import BIN, dagster_dev, environment
from tests.support import ROOT, require

FEEDS = ("accelerometer", "customer", "step_trainer")
GROUPS = {
    "curated": ["customers_curated", "machine_learning_curated"],
    "evidence": ["query_evidence"],
    "landing": [f"{feed}_{table}" for feed in FEEDS for table in ("landing", "quarantine", "records")],
    "maintenance": ["maintenance"],
    "trusted": [f"{feed}_trusted" for feed in FEEDS],
}
ASSETS = [asset for assets in GROUPS.values() for asset in assets]

SCREENSHOTS = ROOT / "screenshots"
DOCS = ROOT / "docs"
PATIENCE = 60_000  # ms: a run is a new process, and the machine may be busy
MOMENT = 5_000  # ms

PERSONAL = re.compile(r'"(?:customerName|email|phone|birthDay|serialNumber|user)": ?"([^"]{6,})"')


# The project, served --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """The project with a DAGSTER_HOME and a lakehouse of its own."""

    home: Path
    lakehouse: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"STEDI_SOURCE": "sample", "STEDI_LAKEHOUSE": str(self.lakehouse), "DAGSTER_HOME": str(self.home)}

    def newest(self, asset: str) -> dg.EventLogEntry:
        """The newest materialization of the asset, as Dagster recorded it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.home))
            instance = dg.DagsterInstance.get()
        with instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        return event

    def personal_data(self) -> set[str]:
        """Every name, e-mail address, phone number, birthday and serial number that was delivered."""
        files = (self.lakehouse / "sample").rglob("*.json")
        return {value for path in files for value in PERSONAL.findall(path.read_text(errors="replace"))}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    # Not pytest's own temporary folder: its path is too long for a picture.
    with tempfile.TemporaryDirectory(prefix="stedi-", ignore_cleanup_errors=True) as folder:
        project = Project(Path(folder, "home"), Path(folder, "lakehouse"))
        project.home.mkdir()
        shutil.copy2(ROOT / ".dagster" / "dagster.yaml", project.home)
        yield project


@pytest.fixture(scope="module")
def ui(project: Project) -> Iterator[str]:
    """The address of the project's UI."""
    with dagster_dev(project.settings, project.home / "dev.log") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def everything(project: Project) -> None:
    """Every asset, materialized with `dg`, not with the UI."""
    command = [BIN / "dg", "launch", "--assets", "*"]
    done = subprocess.run(command, cwd=ROOT, env=environment(project.settings), text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


# The browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    require(bool(found), "the UI is tested with Chromium, and no chromium or google-chrome is on the PATH")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    machine = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
    local_only = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=[*quiet, *machine, *local_only])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, ui: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty tab, whose last view is saved."""
    context = browser.new_context(
        base_url=ui,
        viewport={"width": 1600, "height": 1000},
        device_scale_factor=1.5,
        locale="en-US",
        timezone_id="UTC",
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    greeting = page.get_by_role("dialog").filter(has_text="Join the Dagster community")
    page.add_locator_handler(greeting, lambda dialog: dialog.get_by_role("button", name="Skip").click())
    yield page
    save(page, request.node.name.removeprefix("test_"))
    context.close()


def save(page: Page, name: str, *, picture: bool = False, clip: FloatRect | None = None) -> None:
    """Save what is seen; with `picture`, also for the documentation, if that is asked for."""
    SCREENSHOTS.mkdir(exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, clip=clip)
    if picture and os.environ.get("UPDATE_PICTURES"):
        with Image.open(path) as image:
            few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(DOCS / path.name, optimize=True)


# What a person does ---------------------------------------------------------------------------------------------


def go(page: Page, area: str) -> None:
    page.get_by_role("navigation").get_by_role("link").filter(has_text=area).click()


def open_asset(page: Page, asset: str, tab: str = "Overview") -> None:
    go(page, "Catalog")
    page.get_by_role("link").filter(has=page.get_by_title(asset, exact=True)).click()
    page.get_by_role("tab", name=tab, exact=True).click()


def launch(page: Page, button: Locator) -> str:
    """Click what starts a run, wait until the run has ended well, and come back. The answer is the run's id."""
    button.click()
    launched = page.get_by_role("region", name="Notifications").get_by_role("listitem").filter(has_text="Launched run")
    view = launched.get_by_role("link", name="View")
    run = str(view.get_attribute("href")).removeprefix("/runs/")
    view.click()
    expect(page).to_have_url(re.compile(run))
    ended = page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
    expect(ended).to_be_visible()
    assert ended.inner_text() == "Success"
    page.go_back()
    return run


def metadata(page: Page, key: str) -> Locator:
    """The row of the asset's metadata table with that key."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=key, exact=True)).first


WHOLE_GRAPH = """minimum => {
    const boxes = [...document.querySelectorAll("foreignObject")].map(node => node.getBoundingClientRect());
    const [left, top] = ["left", "top"].map(side => Math.min(...boxes.map(box => box[side])));
    const [right, bottom] = ["right", "bottom"].map(side => Math.max(...boxes.map(box => box[side])));
    const seen = JSON.stringify([boxes.length, left, top, right, bottom]);
    const still = window.seenBefore === seen;
    window.seenBefore = seen;
    const whole = boxes.length >= minimum && left > 0 && top > 0 && right < innerWidth && bottom < innerHeight;
    return still && whole && {x: left, y: top, width: right - left, height: bottom - top};
}"""


def choose(page: Page, choice: str) -> None:
    """Click it in the menu of the lineage, which closes whenever the graph is drawn: then the menu is opened again."""
    item = page.get_by_role("menuitem", name=choice)
    for _ in range(PATIENCE // MOMENT):
        if not item.is_visible():
            page.get_by_role("button", name="settings", exact=True).click()
        with suppress(NotYet):
            item.click(timeout=MOMENT)
            return
    pytest.fail(f"the menu of the lineage never let «{choice}» be clicked")


def show_whole_graph(page: Page) -> FloatRect:
    """Set the lineage so that every asset is readable at once; the answer is where the graph lies in the window."""
    page.set_viewport_size({"width": 2900, "height": 1700})
    page.get_by_role("button", name="config", exact=True).click()
    facets = page.get_by_role("dialog").filter(has_text="Choose Asset Facets")
    for facet in ("Latest event", "Automation", "Partitions"):
        facets.locator("label").filter(has_text=facet).click()
    facets.get_by_role("button", name="Save").click()
    for choice in ("Expand all groups", "Change graph to vertical orientation"):
        choose(page, choice)
        page.keyboard.press("Escape")
        expect(page.get_by_role("menuitem")).to_have_count(0)
    page.get_by_role("button", name="Hide navigation").click()
    page.reload()  # the graph is fitted into the window when it is drawn first
    graph = page.wait_for_function(WHOLE_GRAPH, arg=len(ASSETS) + len(GROUPS), polling=300)
    page.get_by_role("button", name="panel_show_right", exact=True).click()
    graph = page.wait_for_function(WHOLE_GRAPH, arg=len(ASSETS) + len(GROUPS), polling=300)
    box, margin = graph.json_value(), 16
    return {
        "x": box["x"] - margin,
        "y": box["y"] - margin,
        "width": box["width"] + 2 * margin,
        "height": box["height"] + 2 * margin,
    }


# What the person sees -------------------------------------------------------------------------------------------


def test_one_asset_is_materialized_with_a_click(page: Page, project: Project) -> None:
    page.goto("/")
    open_asset(page, "customer_landing")
    run = launch(page, page.get_by_role("button", name="Materialize").first)
    assert project.newest("customer_landing").run_id == run
    page.get_by_role("tab", name="Checks").click()
    expect(page.get_by_text("Checks (1)")).to_be_visible()
    page.get_by_text("files_as_expected", exact=True).first.click()
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()


def test_the_lineage_shows_every_asset_in_its_group(page: Page, everything: None) -> None:
    page.goto("/")
    go(page, "Lineage")
    for group in GROUPS:
        row = page.get_by_role("button", name=f"asset_group {group}")
        row.locator("xpath=preceding::button[1]").click()
    rows = page.locator("button > [title]")
    expect(rows).to_have_count(len(GROUPS) + len(ASSETS))
    seen = rows.evaluate_all("rows => rows.map(row => row.title)")
    assert seen == [name for group, assets in GROUPS.items() for name in (group, *assets)]

    whole = show_whole_graph(page)
    graph = page.locator("svg")
    for name in (*GROUPS, *ASSETS):
        expect(graph.get_by_text(name, exact=True).first).to_be_visible()
    expect(graph.get_by_text("Materialized", exact=True)).to_have_count(len(ASSETS))
    save(page, "lineage", picture=True, clip=whole)


def test_a_run_of_the_command_line_is_in_the_ui(page: Page, project: Project, everything: None) -> None:
    run = project.newest("machine_learning_curated").run_id
    page.goto("/")
    go(page, "Runs")
    row = page.get_by_role("link", name=run[:8])
    expect(row).to_be_visible()
    row.click()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text("RUN_SUCCESS").last).to_be_visible()


def test_an_asset_page_says_what_the_table_is(page: Page, project: Project, everything: None) -> None:
    contract = TABLES["machine_learning_curated"]
    event = project.newest(contract.name)
    assert event.asset_materialization is not None
    rows = event.asset_materialization.metadata["dagster/row_count"].value
    assert isinstance(rows, int)

    page.goto("/")
    open_asset(page, contract.name)
    expect(page.get_by_text("accelerometer readings of the same customer", exact=False).first).to_be_visible()
    expect(page.get_by_text(contract.grain)).to_be_visible()
    for kind in ("PySpark", "Iceberg"):
        expect(page.get_by_text(kind, exact=True)).to_be_visible()
    for column in contract.columns:
        shown = page.get_by_role("row").filter(has_text=column.meaning)
        expect(shown).to_contain_text(column.name)
        expect(shown).to_contain_text(column.type)
    expect(page.get_by_text(re.compile(f"^(Row count)?{rows:,}$")).first).to_be_visible()
    expect(page.locator(f"a[href*='/runs/{event.run_id}']").first).to_be_visible()
    page.set_viewport_size({"width": 1400, "height": 1200})
    page.get_by_role("button", name="Hide navigation").click()
    end = page.get_by_role("button", name="Metadata").bounding_box()
    assert end is not None
    save(page, "asset", picture=True, clip={"x": 0, "y": 0, "width": 1400, "height": end["y"] - 8})

    preview = metadata(page, "preview").get_by_role("table")
    for name in contract.column_names:
        expect(preview.get_by_role("columnheader", name=name, exact=True)).to_be_visible()
    expect(preview.get_by_role("row")).to_have_count(1 + 5)


def test_no_table_page_shows_personal_data(page: Page, project: Project, everything: None) -> None:
    personal = project.personal_data()
    assert len(personal) > 500
    for table in TABLES:
        page.goto(f"/assets/{table}")
        expect(metadata(page, "preview").get_by_role("columnheader").first).to_be_visible()
        text = page.locator("body").inner_text()
        assert {value for value in personal if value in text} == set(), table
        assert "•••" in text or TABLES[table].pii is not Pii.DIRECT, table


def test_one_check_is_executed_alone(page: Page, project: Project, everything: None) -> None:
    made = project.newest("customer_trusted")
    page.goto("/")
    open_asset(page, "customer_trusted", "Checks")
    page.get_by_text("only_consenting_customers", exact=True).first.click()
    expect(page.get_by_text("This is a blocking asset check.")).to_be_visible()
    run = launch(page, page.get_by_role("button", name="execute Execute", exact=True))
    page.get_by_role("tab", name="Execution history").click()
    evaluation = page.get_by_role("row").filter(has=page.locator(f"a[href*='/runs/{run}']"))
    expect(evaluation).to_contain_text("Passed")
    expect(evaluation).to_contain_text("Every row keeps the promise.")
    assert project.newest("customer_trusted").run_id == made.run_id


def test_the_job_is_in_the_list_of_jobs(page: Page) -> None:
    page.goto("/")
    go(page, "Jobs")
    job = page.get_by_role("link", name="stedi_lakehouse")
    expect(job).to_be_visible()
    job.click()
    expect(page.get_by_text("Sync the feeds and make every table").first).to_be_visible()
