"""The figures of a pairwise run: each a small closure over a tally, with its influence per item.

The influence of an item is the first-order change of the metric when the item's weight grows
(the empirical influence function, divided by n). Its sum is zero, and its cluster sums give the
standard error of the very metric that is printed, macro included.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def _groups(metric: Metric, tally: Tally, values: FloatArray) -> list[NDArray[np.bool_]]:
    """Return the items of each mean that the metric is made of: all that count, or those of each slice."""
    counted = ~np.isnan(values)
    if not metric.macro:
        return [counted] if counted.any() else []
    slices = np.array(tally.slices)
    groups = [counted & (slices == name) for name in np.unique(slices)]
    return [group for group in groups if group.any()]


def estimate(metric: Metric, tally: Tally) -> float:
    """Compute the metric; NaN if no item counts."""
    values = metric.values(tally)
    groups = _groups(metric, tally, values)
    return float(np.mean([values[group].mean() for group in groups])) if groups else float("nan")


def influence(metric: Metric, tally: Tally) -> FloatArray:
    """Return each item's influence on the metric, shape [items], summing to zero; NaN if it does not count."""
    values = metric.values(tally)
    groups = _groups(metric, tally, values)
    shares = np.full(len(values), np.nan)
    for group in groups:
        shares[group] = (values[group] - values[group].mean()) / (group.sum() * len(groups))
    return shares


def combine(*influences: FloatArray, weights: Sequence[float]) -> FloatArray:
    """Add influences, weighted; an item that counts in one of them counts, with 0 where it does not."""
    total = sum(weight * np.nan_to_num(shares) for weight, shares in zip(weights, influences, strict=True))
    nowhere = np.all([np.isnan(shares) for shares in influences], axis=0)
    return np.where(nowhere, np.nan, total)
