"""The report in a real browser."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.sheets.page import to_html
from harness.sheets.sheet import Column, Sheet, count, text
from tests.show.report.runs import HOSTILE, embedded_pair


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    candidate, baseline = embedded_pair(folder, 120)
    out = folder / "report.html"
    assert main(["report", str(baseline.path), str(candidate.path), "-o", str(out)]) == 0
    return out


def shown_items(page: Any) -> list[str]:
    return list(page.locator("#rows .about bdi").all_inner_texts())


def close(page: Any) -> None:
    """Close the item, and wait until the address says so."""
    page.keyboard.press("Escape")
    page.wait_for_url(lambda address: "item=" not in address)


def test_items_are_sorted_searched_and_filtered(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    page.get_by_label("outcome").select_option("all")
    assert page.locator("#count").inner_text() == "120 items"
    assert page.locator("#rows tr").count() == 10
    by_difference = shown_items(page)
    page.get_by_role("button", name="item", exact=True).click()
    assert shown_items(page) == sorted(shown_items(page))
    assert shown_items(page) != by_difference
    assert page.locator("th[aria-sort]").inner_text().startswith("item")
    page.get_by_role("button", name="difference", exact=True).click()
    assert shown_items(page) == by_difference
    page.get_by_role("button", name="Next", exact=True).click()
    assert page.locator("#place").inner_text() == "11–20"
    page.get_by_label("search").fill(by_difference[7])
    assert shown_items(page) == [by_difference[7]]
    page.get_by_label("search").fill("")
    counts = {}
    for outcome in ("candidate", "baseline", "both", "neither", "apart"):
        page.get_by_label("outcome").select_option(outcome)
        counts[outcome] = int(page.locator("#count").inner_text().split()[0])
    assert counts["candidate"] + counts["baseline"] == counts["apart"]
    # the table above the list has the same counts, and leads to the items
    row = [int(text) for text in page.locator(".apart tbody tr").first.locator("td a").all_inner_texts()]
    assert row == [counts[name] for name in ("baseline", "candidate", "both", "neither")]
    page.locator(".apart tbody tr").nth(1).locator("td a").nth(1).click()
    assert page.get_by_label("outcome").input_value() == "candidate"
    assert {name.split("-")[0] for name in shown_items(page)} == {page.get_by_label("slice").input_value()}
    page.get_by_label("slice").select_option(label="reasoning")
    assert all(name.startswith("reasoning") for name in shown_items(page))
    page.get_by_label("search").fill("nothing says this")
    assert page.locator("#count").inner_text() == "0 of 120 items"
    assert opened.wrong == []


def test_an_item_is_opened_and_closed_by_keyboard(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    page.locator("#search").focus()
    # slice, outcome, two downloads, and the heads of the columns
    for _ in range(5 + page.locator("#heads button").count()):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "open"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert dialog.get_by_text("Response A").is_visible()
    assert dialog.locator("img.image").evaluate("image => image.naturalWidth") > 0
    assert dialog.locator(".answer.baseline").count() == 6
    first, of = dialog.locator("#dialog-place").inner_text().split(" of ")
    assert first == "1"
    page.keyboard.press("ArrowRight")
    assert dialog.locator("#dialog-place").inner_text() == f"2 of {of}"
    assert dialog.locator(".hint").is_visible()
    page.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert page.evaluate("document.activeElement.className") == "open"
    assert opened.wrong == []


def test_what_is_looked_at_is_in_the_address(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    page.get_by_label("outcome").select_option("candidate")
    page.locator("#rows .open").nth(2).focus()
    page.keyboard.press("Enter")
    title, place = page.locator("#dialog-title").inner_text(), page.locator("#dialog-place").inner_text()
    link = page.url
    page.go_back()
    assert page.get_by_role("dialog").is_hidden()
    assert page.get_by_label("outcome").input_value() == "candidate"
    page.go_back()
    assert page.get_by_label("outcome").input_value() == "apart"
    page.go_forward()
    page.go_forward()
    assert page.get_by_role("dialog").is_visible()
    close(page)
    page.get_by_label("search").fill("nothing says this")
    page.wait_for_url(lambda address: "search=nothing" in address)
    sent = open_page(report, at=link[link.index("#") :])
    assert sent.page.get_by_role("dialog").is_visible()
    assert sent.page.locator("#dialog-title").inner_text() == title
    assert sent.page.locator("#dialog-place").inner_text() == place
    # closing leads back to the list and not away from the page
    sent.page.get_by_role("button", name="Close").click()
    assert sent.page.get_by_role("dialog").is_hidden()
    assert "item=" not in sent.page.url
    assert sent.wrong == []
    nonsense = open_page(report, at="#items?outcome=%00&slice=no&page=x&sort=y&item=z")
    assert nonsense.page.get_by_label("outcome").input_value() == "apart"
    assert nonsense.wrong == []


def test_the_list_is_exported_as_it_is_filtered(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    page.get_by_label("outcome").select_option("candidate")
    count = int(page.locator("#count").inner_text().split()[0])
    texts = {}
    for name in ("JSONL", "CSV"):
        with page.expect_download() as found:
            page.get_by_role("button", name=name).click()
        texts[name] = Path(found.value.path()).read_text(encoding="utf-8")
    items = [json.loads(row) for row in texts["JSONL"].splitlines()]
    header, *rows = csv.reader(io.StringIO(texts["CSV"]))
    assert [item["item_id"] for item in items] == [row[0] for row in rows]
    assert len(items) == count
    assert [run["role"] for run in items[0]["runs"]] == ["baseline", "candidate"]
    assert header[:4] == ["item_id", "source_id", "slice", "question"]
    assert [problem for problem in opened.wrong if "blob:" not in problem] == []
    cells = ["=1+1", "a", " @x", "a;=1", "\t-2", 'say "+"', "－1"]
    shown = next(csv.reader(io.StringIO(page.evaluate("cells => cells.map(cell).join(',')", cells))))
    assert shown == ["'=1+1", "a", "'@x", "a;'=1", "'-2", 'say "\'+"', "'－1"]


def test_words_that_differ_are_marked(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    marked = """([one, other]) => {
      const pieces = words(one);
      const [lacking] = differing(pieces, words(other));
      return pieces.filter((_, place) => lacking[place]);
    }"""
    for one, other, lacks in (
        ("the cat is red", "the cat is blue", ["red"]),
        ("a b c d", "a c d", ["b", " "]),
        ("same", "same", []),
        ("", "x", []),
        ("x y", "", ["x", " ", "y"]),
        ("b a", "a b", ["b", " "]),
    ):
        assert page.evaluate(marked, [one, other]) == lacks


def test_hostile_answers_are_text(report: Path, open_page: Any) -> None:
    opened = open_page(report)
    page = opened.page
    page.locator("#rows .open").first.click()
    answers = page.locator(".answer.candidate .text").all_inner_texts()
    answers = [answer.rpartition("\n")[0] for answer in answers]
    assert HOSTILE[:4] == tuple(answers[:4])
    assert answers[4] == r"line\u2028separator \u202eesrever\u202c \x07bell"
    assert page.locator("dialog script, dialog svg, dialog b").count() == 0
    assert page.locator("dialog mark").count() > 0
    page.locator(".raw summary").click()
    assert json.loads(page.locator(".raw pre").inner_text())["runs"][1]["answers"][0]["text"].startswith(HOSTILE[0])
    page.locator(".prompts summary").click()
    close(page)
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


def test_the_comparison_is_whole_and_its_difference_is_seen_on_a_phone(report: Path, open_page: Any) -> None:
    wide = open_page(report).page
    assert wide.evaluate("(t => t.scrollWidth <= t.clientWidth)(document.querySelector('.compared .scroll'))")
    narrow = open_page(report, 360).page
    ends = "all => all.map(cell => cell.getBoundingClientRect().right)"
    assert max(narrow.locator(".compared tbody td:nth-child(2)").evaluate_all(ends)) <= 360


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
