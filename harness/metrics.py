"""The figures of a pairwise run: each a small closure over a tally, with its influence per item.

The influence of an item is the first-order change of the metric when the item's weight grows
(the empirical influence function, divided by n). Its sum is zero, and its cluster sums give the
standard error of the very metric that is printed, macro included.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from harness.protocols.pairwise import FloatArray, Tally


class Metric(NamedTuple):
    """A mean over items, or the mean of its slices' means."""

    name: str
    values: Callable[[Tally], FloatArray]
    """Per item; NaN where the item does not count."""
    macro: bool
    percent: bool = True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", lambda tally: tally.score, macro=False),
        Metric("macro", lambda tally: tally.score, macro=True),
        Metric("consistency", lambda tally: tally.consistent, macro=False),
        Metric("coverage", lambda tally: tally.parsed, macro=False),
        Metric("first", lambda tally: tally.first, macro=False),
    )
}


def of_slice(name: str) -> Metric:
    """Return the accuracy within one slice."""

    def values(tally: Tally) -> FloatArray:
        return np.where(np.array(tally.slices) == name, tally.score, np.nan)

    return Metric(name, values, macro=False)


def _weights(metric: Metric, tally: Tally, values: FloatArray) -> FloatArray:
    counted = ~np.isnan(values)
    weights = np.zeros(len(values))
    if not counted.any():
        return weights
    if not metric.macro:
        weights[counted] = 1 / counted.sum()
        return weights
    slices = np.array(tally.slices)
    present = [name for name in np.unique(slices) if (counted & (slices == name)).any()]
    for name in present:
        of_slice = counted & (slices == name)
        weights[of_slice] = 1 / (len(present) * of_slice.sum())
    return weights


def estimate(metric: Metric, tally: Tally) -> float:
    """Compute the metric; NaN if no item counts."""
    values = metric.values(tally)
    weights = _weights(metric, tally, values)
    return float(weights @ np.nan_to_num(values)) if weights.any() else float("nan")


def influence(metric: Metric, tally: Tally) -> FloatArray:
    """Return each item's influence on the metric, shape [items], summing to zero."""
    values = metric.values(tally)
    weights = _weights(metric, tally, values)
    slices = np.array(tally.slices) if metric.macro else np.zeros(len(values))
    centred = np.zeros(len(values))
    for name in np.unique(slices):
        inside = (slices == name) & (weights > 0)
        if inside.any():
            centred[inside] = values[inside] - values[inside].mean()
    return weights * centred
