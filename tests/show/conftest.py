"""A real browser for the pages: Debian's Chromium, driven by Playwright. Its tests are skipped where there is none.

To have it: `apt-get install chromium`. Nothing is downloaded by Playwright itself.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


# not for the session: while Playwright is open its event loop runs, and no test of this process can begin another
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs the package playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("the browser test needs Chromium: apt-get install chromium")
    # as root Chromium starts only without its sandbox; the pages are our own files
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        # a machine that is busy takes its time
        opened = driver.chromium.launch(executable_path=chromium, args=flags, timeout=300_000)
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page in the browser, with everything it did that it should not have done."""

    page: Any
    wrong: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    contexts = []

    def open_(where: Path | str, width: int = 1280, scheme: str = "light", at: str = "") -> Opened:
        """Open a file, or a page of a server; requests elsewhere are noted as wrong."""
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        context.set_default_timeout(300_000)
        contexts.append(context)
        opened = Opened(context.new_page())
        page, wrong = opened.page, opened.wrong
        address = where.as_uri() if isinstance(where, Path) else where
        page.on("console", lambda m: wrong.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: wrong.append(f"error: {e}"))
        page.on("dialog", lambda d: (wrong.append(f"dialog: {d.message}"), d.dismiss()))

        def asked(url: str) -> None:
            ours = url == address if isinstance(where, Path) else url.startswith(address)
            if not ours and not url.startswith("data:"):
                wrong.append(f"request: {url}")

        page.on("request", lambda request: asked(request.url))
        page.goto(address + at)
        return opened

    yield open_
    for context in contexts:
        context.close()
