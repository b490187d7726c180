"""Writes a report as one HTML file that fetches nothing and in which no foreign script can run."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from harness.errors import HarnessError
from harness.records.store import write_atomically
from harness.sheets.formats import content_policy
from harness.show.report import agreement, charts
from harness.show.report.model import Items, Page
from harness.texts import harmless

HERE = Path(__file__).parent
GENERATOR = '<meta name="generator" content="harness report">'
"""By which a report of ours is known again."""


def render(page: Page) -> str:
    """Write the page. Every text is escaped, and its hidden characters are shown."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = Environment(
        autoescape=True, finalize=_shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((HERE / "page.html").read_text(encoding="utf-8"))
    return template.render(
        page=page,
        charts=charts,
        agreement=agreement,
        policy=f"{content_policy(style, script)}; require-trusted-types-for 'script'; trusted-types 'none'",
        generator=Markup(GENERATOR),  # noqa: S704
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        items=Markup(data_block(page.items)),  # noqa: S704
    )


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
