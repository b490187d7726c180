"""Writes a report as one HTML file that fetches nothing and in which no foreign script can run."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.errors import HarnessError
from harness.records.store import write_atomically
from harness.sheets.page import content_policy
from harness.sheets.sheet import Sheet
from harness.show.report import agreement, charts
from harness.show.report.model import Items, Page
from harness.texts import harmless

HERE = Path(__file__).parent
GENERATOR = '<meta name="generator" content="harness report">'
"""By which a report of ours is known again."""


@cache
def parts() -> tuple[str, str]:
    """Read the style and the script of every report."""

    def joined(*names: str) -> str:
        return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)

    return joined("page.css", "items.css"), joined("texts.js", "items.js", "item.js", "address.js")


def policy() -> str:
    """Say what a report may load and run: its own style and script, the images in it, and nothing else."""
    return f"{content_policy(*parts())}; require-trusted-types-for 'script'; trusted-types 'none'"


def render(page: Page) -> str:
    """Write the page. Every text is escaped, and its hidden characters are shown."""
    style, script = parts()
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        page=page,
        charts=charts,
        agreement=agreement,
        address=_address,
        difference_first=_difference_first,
        policy=policy(),
        generator=Markup(GENERATOR),  # noqa: S704
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        items=Markup(data_block(page.items)),  # noqa: S704
    )


def _address(slice_: str) -> Callable[[str], str]:
    """Make the address of a slice's items of one outcome, as `address.js` reads it."""
    return lambda outcome: "#items?" + urlencode({"outcome": outcome} | ({"slice": slice_} if slice_ else {}))


def _difference_first(sheet: Sheet) -> Sheet:
    """Put the difference beside the metric's name, so that a narrow window shows it."""
    headings = [column.heading for column in sheet.columns]
    order = sorted(range(1, len(headings)), key=lambda i: not headings[i].startswith("difference"))
    groups = tuple(tuple((row[0], *(row[i] for i in order)) for row in group) for group in sheet.groups)
    return replace(sheet, columns=(sheet.columns[0], *(sheet.columns[i] for i in order)), groups=groups)


def _shown(value: Any) -> Any:
    """Write hidden characters of a plain text visibly; leave markup and whatever is no text as it is."""
    return harmless(value) if type(value) is str else value


def data_block(items: Items) -> str:
    """Write the table of items as ASCII JSON that ends no script element and opens no comment."""
    text = json.dumps(items._asdict(), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def refuse_foreign(path: Path) -> None:
    """Refuse to write over a file that is no report of ours.

    Raises:
        HarnessError: saying what lies there.
    """
    try:
        if path.is_dir():
            raise HarnessError(f"{path} is a folder.", "Name a file: -o report.html.")
        if not path.parent.is_dir():
            raise HarnessError(f"cannot write {path}: there is no folder {path.parent}.", "Choose another -o.")
        if not path.exists():
            return
        with path.open("rb") as file:
            ours = GENERATOR.encode() in file.read(4096)
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error.strerror}.", "Choose another -o.") from None
    if not ours:
        raise HarnessError(f"{path} is no report of ours.", "Choose another -o, or remove it.")


def write(path: Path, page: Page) -> None:
    """Render the page and put it at `path` in one step."""
    refuse_foreign(path)
    write_atomically(path, render(page), "-o")
