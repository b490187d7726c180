"""The pages in a real browser: Debian's Chromium, driven by Playwright. Skipped where there is none.

To have it: `apt-get install chromium`. Nothing is downloaded by Playwright itself.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.sheets.formats import to_html
from harness.sheets.sheet import Column, Sheet, count, text
from tests.show.report.runs import HOSTILE, embedded_pair

playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs the package playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # as root Chromium starts only without its sandbox; the pages are our own files
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    candidate, baseline = embedded_pair(folder, 120)
    out = folder / "report.html"
    assert main(["report", str(baseline.path), str(candidate.path), "-o", str(out)]) == 0
    return out


@dataclass
class Opened:
    """A page in the browser, with everything it did that it should not have done."""

    page: Any
    wrong: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    contexts = []

    def open_(path: Path, width: int = 1280, scheme: str = "light") -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        opened = Opened(context.new_page())
        page, wrong = opened.page, opened.wrong
        address = path.as_uri()
        page.on("console", lambda m: wrong.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: wrong.append(f"error: {e}"))
        page.on("dialog", lambda d: (wrong.append(f"dialog: {d.message}"), d.dismiss()))
        page.on(
            "request",
            lambda r: None if r.url in (address,) or r.url.startswith("data:") else wrong.append(f"request: {r.url}"),
        )
        page.goto(address)
        return opened

    yield open_
    for context in contexts:
        context.close()


def shown_items(page: Any) -> list[str]:
    return list(page.locator("#rows .about bdi").all_inner_texts())


def test_items_are_sorted_searched_and_filtered(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    assert page.locator("#count").inner_text() == "120 items"
    assert page.locator("#rows tr").count() == 50
    by_difference = shown_items(page)
    page.get_by_role("button", name="item", exact=True).click()
    assert shown_items(page) == sorted(shown_items(page))
    assert shown_items(page) != by_difference
    assert page.locator("th[aria-sort]").inner_text().startswith("item")
    page.get_by_role("button", name="difference", exact=True).click()
    assert shown_items(page) == by_difference
    page.get_by_role("button", name="Next", exact=True).click()
    assert page.locator("#place").inner_text() == "51–100"
    page.get_by_label("search").fill(by_difference[7])
    assert shown_items(page) == [by_difference[7]]
    page.get_by_label("search").fill("")
    page.get_by_label("outcome").select_option("gained")
    better = int(page.locator("#count").inner_text().split()[0])
    page.get_by_label("outcome").select_option("lost")
    worse = int(page.locator("#count").inner_text().split()[0])
    page.get_by_label("outcome").select_option("differ")
    assert int(page.locator("#count").inner_text().split()[0]) == better + worse
    page.get_by_label("slice").select_option(label="reasoning")
    assert all(name.startswith("reasoning") for name in shown_items(page))
    page.get_by_label("search").fill("nothing says this")
    assert page.locator("#count").inner_text() == "0 of 120 items"
    assert opened.wrong == []


def test_an_item_is_opened_and_closed_by_keyboard(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    page.locator("#search").focus()
    for _ in range(3 + page.locator("#heads button").count()):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "open"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert dialog.get_by_text("Response A").is_visible()
    assert dialog.locator("img.image").evaluate("image => image.naturalWidth") > 0
    assert dialog.locator(".side.baseline .answer").count() == 6
    assert dialog.locator("#dialog-place").inner_text() == "1 of 120"
    page.keyboard.press("ArrowRight")
    assert dialog.locator("#dialog-place").inner_text() == "2 of 120"
    page.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert page.evaluate("document.activeElement.className") == "open"
    assert opened.wrong == []


def test_hostile_answers_are_text(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    page.locator("#rows .open").first.click()
    answers = page.locator(".side.candidate .answer .text").all_inner_texts()
    answers = [answer.rpartition("\n")[0] for answer in answers]
    assert HOSTILE[:4] == tuple(answers[:4])
    assert answers[4] == r"line\u2028separator \u202eesrever\u202c \x07bell"
    assert page.locator("dialog script, dialog svg, dialog b").count() == 0
    page.keyboard.press("Escape")
    page.get_by_label("search").fill("<script>alert(1)")
    assert page.locator("#rows tr").count() == 1
    assert opened.wrong == []


def test_no_injected_script_can_run(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    for inject in (
        "document.body.innerHTML += '<img src=x onerror=\"window.ran = 1\">'",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))",
        "document.body.setAttribute('onclick', 'window.ran = 1'); document.body.click()",
        "setTimeout('window.ran = 1')",
    ):
        page.evaluate(f"() => {{ try {{ {inject} }} catch (error) {{}} }}")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("width", [320, 360])
def test_a_phone_needs_no_sideways_scrolling(report: Path, open_page: Any, width: int) -> None:
    opened = open_page(report, width)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#rows .open").first.click()
    assert page.evaluate("(d => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")
    assert opened.wrong == []


CONTRAST = """() => {
  const number = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = number(color).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      const parts = number(color);
      if (parts.length === 3 || parts[3] === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, style, title, desc, noscript, option, [disabled]")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(element.closest("svg") ? style.fill : style.color), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(report: Path, open_page: Any, scheme: str) -> None:
    opened = open_page(report, scheme=scheme)
    opened.page.locator("#rows .open").first.click()
    assert opened.page.evaluate(CONTRAST) == []


def test_the_leaderboard_is_sorted_and_searched(report: Path, open_page: Any) -> None:
    path = report.with_name("board.html")
    assert (
        main(["leaderboard", *(str(report.with_name(name)) for name in ("candidate", "baseline")), "-o", str(path)])
        == 0
    )
    opened = open_page(path)
    page = opened.page
    rows = page.locator("table").first.locator("tbody tr")
    before = rows.all_inner_texts()
    head = page.get_by_role("button", name="accuracy").first
    for direction, order in (("descending", before), ("ascending", before[::-1])):
        head.click()
        assert page.locator("th[aria-sort]").first.get_attribute("aria-sort") == direction
        assert rows.all_inner_texts() == order
    page.get_by_label("Search").fill("baseline")
    assert page.locator("table").first.locator("tbody tr:visible").count() == 1
    assert opened.wrong == []


def test_a_page_of_hostile_tables_is_harmless(tmp_path: Path, open_page: Any) -> None:
    rows = tuple((text(name), count(place)) for place, name in enumerate(HOSTILE))
    path = tmp_path / "board.html"
    path.write_text(to_html([Sheet(HOSTILE[0], (Column("name"), Column("items", "count")), (rows,))]))
    opened = open_page(path, 360)
    page = opened.page
    figures = page.locator("tbody td:nth-child(2)")
    page.get_by_role("button", name="items").click()
    assert figures.all_inner_texts() == [str(place) for place in reversed(range(len(HOSTILE)))]
    page.get_by_label("Search").fill("onmouseover")
    assert page.locator("tbody tr:visible").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.wrong == []
