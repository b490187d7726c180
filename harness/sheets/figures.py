"""How a figure is written, wherever it is shown."""

import math

from harness.counting.metrics import Metric
from harness.sheets.sheet import Cell

SYNTHETIC = "embedded synthetic world, not the published benchmark"


WIDE = 5
"""More slices than this are rows of a table of their own, instead of columns."""


def points(value: float, metric: Metric | None = None) -> str:
    """Write a share in percent, a correlation or a distance as it is."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f}" if metric is None or metric.percent else f"{value:.3f}"


def figure(value: float, low: float, high: float, metric: Metric, with_interval: bool) -> Cell:
    """Make the cell of a figure; its interval, if it has one, is shown where that is wanted."""
    shown = points(value, metric)
    if with_interval and not math.isnan(low):
        shown += f" [{points(low, metric)}, {points(high, metric)}]"
    return Cell(value, shown, low, high)
