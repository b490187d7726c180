"""A table of figures: what every format shows, with the figures themselves beside the words."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Holds = Literal["text", "count", "share", "number"]
"""What a column holds: words, whole numbers, shares from 0 to 1 (shown in percent), other figures."""

Mark = Literal["", "best", "over", "dim"]
"""How a cell stands out: `best` of its column, `over` what there is room for, or `dim` for what matters less."""


@dataclass(frozen=True)
class Cell:
    """One figure or one text."""

    value: str | int | float | None
    """Unrounded and unescaped; None or NaN where there is none."""
    shown: str
    """What people read; hostile text is made harmless by each format."""
    low: float | None = None
    high: float | None = None
    """The ends of the value's interval; None where none was estimated."""
    mark: Mark = ""
    href: str = ""
    """In HTML, where more is to be seen: an address made by us, never text of others; empty for nowhere."""


@dataclass(frozen=True)
class Column:
    """A column and what it holds."""

    heading: str
    kind: Holds = "text"
    spare: int = 0
    """Where there is no room, columns are left out, the highest first; 0 always stays."""
    short: str = ""
    """An abbreviation of the heading, for where only that has room; empty for none."""

    @property
    def numeric(self) -> bool:
        """Whether it holds figures, which stand right and are never broken."""
        return self.kind != "text"


@dataclass(frozen=True)
class Sheet:
    """A table: columns, rows in groups that a rule sets apart, and notes below."""

    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[tuple[Cell, ...], ...], ...]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells under {len(self.columns)} columns")

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """All rows, group after group."""
        return tuple(row for group in self.groups for row in group)


def text(value: str, mark: Mark = "") -> Cell:
    """Make a cell of words."""
    return Cell(value, value, mark=mark)


def count(value: int | None) -> Cell:
    """Make a cell of a whole number."""
    return Cell(value, "–" if value is None else str(value))


def sheet_of(title: str, columns: Sequence[Column], *groups: Iterable[Sequence[str | Cell]]) -> Sheet:
    """Make a table of words: of each group its rows."""
    made = (
        tuple(tuple(text(cell) if isinstance(cell, str) else cell for cell in row) for row in group) for group in groups
    )
    return Sheet(title, tuple(columns), tuple(made))


def figure_of(value: float | None) -> float | None:
    """Return a figure; None where there is none."""
    return value if value is not None and math.isfinite(value) else None
