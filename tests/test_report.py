"""The report of a run in a browser: its first page, figures, tables, and what it says of them."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import browser
from tests.support.browser import Watched
from tests.support.workflows import copy_run, run_snakemake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing()),
]

SNAKEMAKES_OWN = "cdn.tailwindcss.com should not be used in production"
"""A complaint about the report's own style sheet, which Snakemake brings along."""


@pytest.fixture(scope="module")
def run(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the finished run."""
    return copy_run(demo, tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    """Return the page of its report."""
    return built(run)


def built(run: Path, *targets: str) -> Path:
    result = run_snakemake(run, *targets, "--report", str(run / "report.zip"))
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(run / "report.zip") as archive:
        archive.extractall(run / "unpacked")
    return run / "unpacked/report/report.html"


@pytest.fixture(scope="module")
def running() -> "Iterator[Browser]":
    with browser.browser() as found:
        yield found


@pytest.fixture
def watched(report: Path, running: "Browser") -> Iterator[Watched]:
    with running.new_context(viewport={"width": 1366, "height": 768}) as context:
        found = Watched(context.new_page())
        found.page.goto(report.as_uri())
        found.page.wait_for_selector("nav >> text=1 Summary")
        yield found
        assert [url for url in found.requests if not url.startswith("file:")] == []
        assert [text for text in found.complaints if SNAKEMAKES_OWN not in text] == []


def choose(watched: Watched, category: str, subcategory: str | None = None) -> list[str]:
    """Open a category of the menu; return the lines of its table."""
    page = watched.page
    page.click("nav ol a >> nth=0")
    page.click(f"nav li a:has-text('{category}')")
    if subcategory:
        page.click(f"nav li a:has(span:text-is('{subcategory}'))")
    page.wait_for_selector("nav table tbody tr")
    return [" | ".join(line.split("\t")).strip(" |") for line in page.locator("nav tbody tr").all_inner_texts()]


def shown_page(watched: Watched, row: int) -> str:
    """Press the eye of a row; return the text of the page that opens in a frame."""
    watched.page.locator("nav tbody tr").nth(row).locator("a").first.click()
    return watched.page.frame_locator("iframe").locator("body").inner_text()


def test_the_report_begins_with_the_summary(watched: Watched, run: Path) -> None:
    page = watched.page
    assert page.locator("h1:has-text('What this run found')").is_visible()
    box = page.locator("h1:has-text('What this run found')").bounding_box()
    assert box is not None
    assert box["y"] >= 0
    shown = " ".join(page.locator(".prose").first.inner_text().split())
    for line in (run / "results/summary.md").read_text().splitlines():
        sentence = " ".join(line.strip("#- ").replace("`", "").split())
        if sentence and not line.startswith("|"):
            assert sentence in shown


def test_categories_stand_in_the_order_of_reading(watched: Watched) -> None:
    listed = watched.page.locator("nav li").all_inner_texts()
    numbered = [name for name in map(str.strip, listed) if name[:1].isdigit()]
    assert [name[:2] for name in numbered] == sorted(name[:2] for name in numbered)
    assert numbered[0] == "1 Summary"
    assert numbered[-1] == "8 Tables"
    assert numbered.index("2 Sharing") < numbered.index("5 Lesions")


def test_figures_open_whole(watched: Watched) -> None:
    page = watched.page
    (row,) = [row for row in choose(watched, "2 Sharing") if "against layer" in row]
    page.locator(f"nav tbody tr:has-text('{row}') a").first.click()
    image = page.locator("img[src*='sharing.png']")
    image.wait_for()
    page.wait_for_function("document.querySelector(\"img[src*='sharing.png']\").naturalWidth > 300")
    page.locator(f"nav tbody tr:has-text('{row}') a").nth(1).click()
    page.wait_for_selector("nav .prose:has-text('How much two tasks share, layer by layer')")


def test_animations_play_beside_their_captions(watched: Watched) -> None:
    page = watched.page
    (row,) = [row for row in choose(watched, "4 Units over training", "object_text") if row.startswith("fc7")]
    page.locator(f"nav tbody tr:has-text('{row}') a").nth(1).click()
    page.wait_for_function("document.querySelector(\"nav img[src$='fc7.gif']\").naturalWidth > 100")


def test_tables_open_as_pages_and_can_be_saved(watched: Watched, run: Path) -> None:
    rows = choose(watched, "8 Tables")
    pages = [number for number, row in enumerate(rows) if "page" in row]
    assert len(pages) >= 6
    assert "sharing over networks" in rows[pages[0]]
    text = shown_page(watched, pages[0])
    first = (run / "results/tables/sharing_over_networks.csv").read_text().splitlines()[1].split(",")
    assert f"{float(first[6]):.4g}" in text
    assert "mean over networks of chance" in text
    saved = watched.page.locator("nav tbody tr").nth(rows.index(rows[-1])).locator("a").first
    with watched.page.expect_download() as download:
        saved.click()
    assert download.value.suggested_filename.endswith(".csv")


def test_the_summary_and_the_explorer_are_pages_of_their_own(watched: Watched, run: Path) -> None:
    rows = choose(watched, "1 Summary")
    (summary,) = [number for number, row in enumerate(rows) if row.startswith("summary")]
    assert "What this run found" in shown_page(watched, summary)
    (explorer,) = [number for number, row in enumerate(rows) if row.startswith("explorer")]
    assert "object_text" in shown_page(watched, explorer)


def test_a_report_of_one_figure_says_that_there_is_no_summary(run: Path) -> None:
    text = built(run, "results/figures/sharing.png").read_text()
    assert "is not among the targets of this report" in text
