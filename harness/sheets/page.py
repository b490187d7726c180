"""Tables as one HTML page: to sort and to search, with intervals drawn; every text in it is escaped."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from harness.sheets.drawn import drawn as drawn_of
from harness.sheets.figures import SYNTHETIC
from harness.sheets.sheet import Cell, Column, Sheet, figure_of
from harness.texts import harmless

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

RARELY = 6
"""Columns that are this spare wait in a page until they are asked for: else a table is far wider than the screen."""


@dataclass(frozen=True)
class Head:
    """What stands above the tables of a page."""

    title: str
    lead: tuple[str, ...] = ()
    """Sentences that say what came out, such as a verdict."""
    synthetic: bool = False
    """Whether figures below are of the embedded world."""
    home: str = ""
    """Address of the page that lists all runs; empty where there is none."""
    choosing: bool = False
    """Whether two rows can be chosen to be compared; their first cells then link to `report?cand=RUN&task=TASK`."""


def to_html(
    sheets: Sequence[Sheet], drawings: "Sequence[Markup]" = (), drawn: str = "", head: Head | None = None
) -> str:
    """Write one page that fetches nothing: tables to sort and search, light and dark, also on a phone.

    Args:
        sheets: the tables.
        drawings: what stands above them.
        drawn: the style of the drawings.
        head: what stands above all; None for nothing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"harmless": harmless, "sort_key": _sort_key}
    style, script = _parts(drawn, head)
    return environment.get_template("sheet.html").render(
        sheets=sheets,
        drawings=drawings,
        drawn_of=drawn_of,
        rarely=RARELY,
        head=head,
        about=f"harness {version('vlrm-harness')} · {datetime.now(UTC):%Y-%m-%d}",
        embedded=SYNTHETIC,
        style=style,
        script=script,
        policy=content_policy(style, script),
    )


def page_policy(head: Head | None = None, drawn: str = "") -> str:
    """Say what such a page may load and run: its own style and script."""
    return content_policy(*_parts(drawn, head))


def _parts(drawn: str, head: Head | None) -> tuple[str, str]:
    """Read the style and the script of a page."""
    scripts = ["sheet.js"] + ["choose.js"] * (head is not None and head.choosing)
    style, *script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("sheet.css", *scripts))
    return style + drawn, "".join(script)


def content_policy(style: str, script: str) -> str:
    """Allow this style and this script, by their hashes, and nothing else; nothing is fetched."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _sort_key(cell: Cell, column: Column) -> str:
    """Write what a column is sorted by; nothing where there is nothing."""
    if column.numeric:
        figure = None if isinstance(cell.value, str) else figure_of(cell.value)
        return "" if figure is None else repr(figure)
    return harmless(cell.shown)
