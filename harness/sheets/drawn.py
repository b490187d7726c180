"""Intervals drawn row by row in a table: of its first column that shows some, all on one scale."""

from collections.abc import Sequence
from typing import NamedTuple

from harness.sheets.sheet import Cell, Sheet, figure_of

WIDTH, EDGE = 200, 6
"""Units of a drawing's width, and what stays free at each end."""


class Marks(NamedTuple):
    """Where a row's figure and the ends of its interval are drawn; None where there are none."""

    value: float | None
    low: float | None
    high: float | None


class Drawn(NamedTuple):
    """A column whose intervals are drawn."""

    column: int
    heading: str
    zero: float | None
    """Where no difference is drawn; None for figures that are no differences."""
    rows: list[list[Marks]]
    """By group."""


def drawn(sheet: Sheet) -> Drawn | None:
    """Draw the intervals of a table; None where no column of figures shows any."""
    for i, column in enumerate(sheet.columns):
        cells = [row[i] for row in sheet.rows]
        if column.kind in ("share", "number") and any(_bounded(cell) and "[" in cell.shown for cell in cells):
            return _column(sheet, i, cells)
    return None


def _bounded(cell: Cell) -> bool:
    return figure_of(cell.low) is not None and figure_of(cell.high) is not None


def _column(sheet: Sheet, place: int, cells: Sequence[Cell]) -> Drawn:
    # a difference is written with its sign
    signed = all(cell.shown[:1] in "+-−" for cell in cells if _bounded(cell))
    values = [value for cell in cells for value in _figures(cell) if value is not None] + [0.0] * signed
    low, high = min(values), max(values)
    scale = (WIDTH - 2 * EDGE) / ((high - low) or 1)

    def at(value: float | None) -> float | None:
        return None if value is None else round(EDGE + (value - low) * scale, 1)

    rows = [[Marks(*map(at, _figures(row[place]))) for row in group] for group in sheet.groups]
    return Drawn(place, sheet.columns[place].heading, at(0.0) if signed else None, rows)


def _figures(cell: Cell) -> tuple[float | None, float | None, float | None]:
    value = None if isinstance(cell.value, str) else figure_of(cell.value)
    return value, figure_of(cell.low), figure_of(cell.high)
