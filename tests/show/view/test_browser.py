"""`harness view` in a real browser: from the first page to an item and its link, and nowhere beyond this machine."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.counting.cache import Cache
from harness.registry import content_roots
from harness.show.view.server import Server
from harness.show.view.site import Site
from tests.show.report.runs import HOSTILE, embedded_pair


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    folders = [run.path for run in embedded_pair(tmp_path, 60)]
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/run.json").write_text(HOSTILE[6])
    folders.append(tmp_path / "torn")
    with Server(Site(lambda: folders, Cache(tmp_path / "counted"), content_roots()), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.address
        server.shutdown()


def test_two_runs_are_chosen_and_an_item_is_sent_as_a_link(address: str, open_page: Any) -> None:
    opened = open_page(address)
    page = opened.page
    assert page.locator("td.drawn svg circle").count() == 2
    assert page.get_by_text("torn").count() > 0
    page.get_by_label("compare baseline").check()
    assert page.get_by_text("choose another run").is_visible()
    page.get_by_label("compare candidate").check()
    page.get_by_role("link", name="Compare these two").click()
    assert page.locator("h1").inner_text().startswith("candidate against baseline")
    page.get_by_label("outcome").select_option("candidate")
    page.locator("#rows .open").first.focus()
    page.keyboard.press("Enter")
    assert HOSTILE[0] in page.locator("dialog").inner_text()
    sent = open_page(address, at=page.url.removeprefix(address))
    assert sent.page.locator("#dialog-title").inner_text() == page.locator("#dialog-title").inner_text()
    sent.page.get_by_role("button", name="Close").click()
    assert sent.page.get_by_label("outcome").input_value() == "candidate"
    sent.page.get_by_role("link", name="All runs").click()
    assert sent.page.locator("h1").inner_text() == "Runs"
    assert opened.wrong == sent.wrong == []


def test_the_first_page_on_a_phone_and_in_the_dark(address: str, open_page: Any) -> None:
    opened = open_page(address, 360, "dark")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    # in so little room figures stand where else they are drawn
    assert not opened.page.locator("td.drawn").first.is_visible()
    figure = opened.page.locator("td.figure:has-text('[')").first.bounding_box()
    assert figure["x"] < 250
    opened.page.locator("tbody input").first.check()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.wrong == []
