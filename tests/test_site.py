"""The documentation's site: it builds without a warning, holds every page, and fetches nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.blocks import ROOT

FETCHED = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"([^\"]+)|<link\b[^>]*\bhref=\"([^\"]+)", re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    # warnings, such as a link or an anchor that leads nowhere, or a page outside the navigation
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_docs_is_there(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / "docs" / page.with_suffix(".html").name).is_file()
    assert "docs/images/report.png" in (site / "index.html").read_text()
    assert (site / "docs/images/report.png").is_file()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        for found in FETCHED.findall(page.read_text()):
            assert not re.match(r"(?:https?:)?//", "".join(found)), (page, found)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", sheet.read_text()), sheet


def test_no_line_of_a_table_ends_within_a_figure(site: Path) -> None:
    text = (site / "recipes/carevl/index.html").read_text()
    shown = re.findall(r"<td[^>]*>[^<]*\d\s\[[^<]*</td>", text)
    assert len(shown) > 20
    assert not [cell for cell in shown if re.search(r"\d \[|, [+−-]?[\d.]+\]", cell)]


def test_the_notes_of_the_tests_are_not_seen(site: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", (site / "docs/gate.html").read_text(), flags=re.DOTALL)
    assert "not run:" not in text
