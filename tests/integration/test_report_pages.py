"""Every kind of page in a real Chromium: offline, light and dark, wide and narrow, for eyes and for screen readers."""

import importlib.resources
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Page as Tab

from tests.integration.conftest import need
from tests.integration.report_pages import Reports, make_reports

pytestmark = pytest.mark.integration

KINDS = ("run", "hostile", "comparison", "trend", "site")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js")
OUTSIDE = """() => [...document.querySelectorAll('figure')].flatMap(figure => {
    const box = figure.getBoundingClientRect();
    return [...figure.querySelectorAll('svg text')].filter(text => text.getClientRects().length).filter(text => {
        const mine = text.getBoundingClientRect();
        return mine.left < box.left - 1 || mine.right > box.right + 1;
    }).map(text => text.textContent);
})"""
"""Texts of drawings that stick out of their figure."""
OVERLAPPING = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
    const texts = [...svg.querySelectorAll('text')].filter(text => text.getClientRects().length)
        .map(text => [text.textContent, text.getBoundingClientRect()]);
    const found = [];
    texts.forEach(([one, a], index) => texts.slice(index + 1).forEach(([other, b]) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 5 && down > 0.4 * Math.min(a.height, b.height)) found.push([one, other]);
    }));
    return found;
})"""
"""Texts of a drawing that cover each other."""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return make_reports(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS, timeout=120_000)
        yield started
        started.close()


class Opened:
    """A page as it was opened, with all that it said and asked for."""

    def __init__(self, context: BrowserContext, path: Path) -> None:
        self.tab: Tab = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss())[-1])
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.url = path.as_uri()
        self.tab.goto(self.url)


@pytest.fixture(scope="module")
def opened(reports: Reports, browser: Browser) -> Iterator[dict[str, Opened]]:
    context = browser.new_context(viewport=WIDE, offline=True)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    yield {kind: Opened(context, reports.pages[kind]) for kind in KINDS}
    context.close()


def wide(tab: Tab, scheme: str = "light") -> None:
    tab.set_viewport_size(WIDE)  # type: ignore[arg-type]
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_offline_says_nothing_and_asks_for_nothing(opened: dict[str, Opened], kind: str) -> None:
    page = opened[kind]
    assert page.asked == [page.url]
    assert page.said == []
    assert page.tab.locator("h1").count() == 1
    own = 1 if kind == "site" else 0
    assert page.tab.locator("script").count() == own and page.tab.locator("img, iframe, object").count() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_page_does_not_scroll_sideways_and_no_drawing_leaves_its_figure(
    opened: dict[str, Opened], kind: str, size: dict[str, int]
) -> None:
    tab = opened[kind].tab
    tab.set_viewport_size(size)  # type: ignore[arg-type]
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate(OVERLAPPING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_serious(opened: dict[str, Opened], kind: str, scheme: str) -> None:
    tab = opened[kind].tab
    wide(tab, scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE.read_text(encoding="utf-8"))
    # What a page is made of is the same in the dark: only its colours are not.
    rules = "" if scheme == "light" else ", runOnly: {type: 'rule', values: ['color-contrast']}"
    found = tab.evaluate(f"axe.run(document, {{resultTypes: ['violations']{rules}}})")
    assert found["passes"], "axe has looked"
    grave = [
        (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []


def test_light_and_dark_are_two_looks_of_one_page(opened: dict[str, Opened]) -> None:
    tab = opened["run"].tab
    colours = []
    for scheme in ("light", "dark"):
        wide(tab, scheme)
        colours.append(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]


def test_ten_thousand_characters_make_no_page_long(opened: dict[str, Opened]) -> None:
    for size in (WIDE, NARROW):
        opened["hostile"].tab.set_viewport_size(size)  # type: ignore[arg-type]
        tallest = opened["hostile"].tab.evaluate(
            "Math.max(...[...document.querySelectorAll('h1, p, li, td, dd, figcaption, summary')]"
            ".map(each => each.getBoundingClientRect().height))"
        )
        assert tallest < 1_500


def test_every_figure_is_named_and_told_to_a_screen_reader(opened: dict[str, Opened]) -> None:
    told = opened["run"].tab.evaluate(
        "[...document.querySelectorAll('figure svg[role=img]')].map(svg => svg.getAttribute('aria-labelledby')"
        ".split(' ').map(id => document.getElementById(id).textContent))"
    )
    assert len(told) >= 18
    assert all(len(title) > 10 and len(text) > 20 for title, text in told)


def test_the_sites_filter_leaves_the_rows_that_fit(opened: dict[str, Opened]) -> None:
    tab = opened["site"].tab
    wide(tab)
    rows = tab.locator("#runs tbody tr")
    assert rows.count() == 17
    tab.locator("#name").select_option("nightly")
    assert [row.is_visible() for row in rows.all()].count(True) == 14
    tab.locator("#name").select_option("")
    assert [row.is_visible() for row in rows.all()].count(True) == 17
