"""The figures of a run: each a mean or a correlation over items, as a function of sums over clusters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.protocols.protocol import Tally
from harness.records import Kind
from harness.stats.intervals import Scale
from harness.stats.sums import Clusters, FloatArray, Sums, add_up


class Metric(NamedTuple):
    """The mean of a column, or Pearson's correlation of two; over all items, one slice, or as the mean over slices."""

    name: str
    columns: tuple[str, ...]
    """One column for a mean; two for a correlation, of which the second may have repeats."""
    macro: bool = False
    """Whether it is the unweighted mean of the slices' figures; a slice without one is left out."""
    slice: str | None = None
    percent: bool = True
    title: str = ""
    lower_is_better: bool = False
    bounded: bool = True
    """Whether a share lies between 0 and 1; RewardBench 2's ties go to 1.01."""

    @property
    def unit(self) -> str:
        """What it measures, in a sentence."""
        return {"score": "accuracy", "human": "Pearson's r", "distance": "edit distance"}.get(
            self.columns[0], self.name
        )

    @property
    def scale(self) -> Scale:
        """On which scale its interval is taken."""
        if len(self.columns) == 2:
            return "correlation"
        return "share" if self.percent and self.bounded else "plain"

    @property
    def heading(self) -> str:
        """What stands over its column."""
        return self.title or self.name


_COMMON = (Metric("coverage", ("read",)), Metric("first", ("first",), title="shown first"))
_OF_KIND: dict[Kind, tuple[Metric, ...]] = {
    "pair": (
        Metric("accuracy", ("score",)),
        Metric("macro", ("score",), macro=True),
        Metric("consistency", ("consistent",)),
        *_COMMON,
    ),
    "pair-ties": (
        Metric("macro", ("score",), macro=True, title="Ave."),
        Metric("accuracy", ("score",), title="pooled"),
        Metric("untied-macro", ("untied",), macro=True, title="Ave., people's ties out"),
        Metric("untied", ("untied",), title="pooled, people's ties out"),
        Metric("untied-both-macro", ("untied_both",), macro=True, title="Ave., all ties out"),
        Metric("untied-both", ("untied_both",), title="pooled, all ties out"),
        Metric("dropped-macro", ("dropped",), macro=True, title="Ave., unparsed out"),
        Metric("as-tie-macro", ("as_tie",), macro=True, title="Ave., unparsed as ties"),
        Metric("consistency", ("consistent",)),
        *_COMMON,
    ),
    "pair-sets": (
        Metric("accuracy", ("score",)),
        Metric("all-right", ("all_right",), title="sets right"),
        Metric("macro", ("score",), macro=True),
        Metric("consistency", ("consistent",)),
        *_COMMON,
    ),
    "score": (
        Metric("macro", ("human", "grade"), macro=True, percent=False, title="Ave. r"),
        Metric("pearson", ("human", "grade"), percent=False, title="pooled r"),
        Metric("kept-macro", ("human", "kept"), macro=True, percent=False, title="Ave. r, unparsed as -1"),
        _COMMON[0],
    ),
    "batch": (
        Metric("macro", ("distance",), macro=True, percent=False, title="Ave. distance", lower_is_better=True),
        Metric("random", ("random",), percent=False, title="random order"),
        Metric("distance", ("distance",), percent=False, title="pooled distance", lower_is_better=True),
        Metric("raw", ("raw",), percent=False, title="edits", lower_is_better=True),
        _COMMON[0],
    ),
    "best": (
        Metric("macro", ("best",), macro=True, title="Ave.", bounded=False),
        Metric("pooled", ("best",), bounded=False),
        _COMMON[0],
    ),
}
METRICS = {kind: {metric.name: metric for metric in metrics} for kind, metrics in _OF_KIND.items()}
"""Metrics by kind of task; the first is the one that a comparison speaks of."""

HEADLINES: dict[Kind, tuple[str, ...]] = {
    "pair": ("accuracy", "macro", "consistency"),
    "pair-ties": ("macro", "accuracy", "untied-macro", "untied-both-macro", "consistency"),
    "pair-sets": ("accuracy", "all-right", "consistency"),
    "score": ("macro", "pearson"),
    "batch": ("macro", "distance"),
    "best": ("macro", "pooled"),
}
"""What a comparison lists before the slices."""


def primary(kind: Kind) -> Metric:
    """Return the metric that a comparison speaks of."""
    return next(iter(METRICS[kind].values()))


def of_slice(kind: Kind, name: str) -> Metric:
    """Return the primary metric within one slice."""
    return primary(kind)._replace(name=name, title=name, macro=False, slice=name)


def sums(metric: Metric, tallies: Sequence[Tally], clusters: Clusters) -> Sums:
    """Add up what the metric needs of each cluster.

    Args:
        metric: whose.
        tallies: one a seed, over the same items in the same order.
        clusters: of those items.
    """
    slices, index = tallies[0].slice_index
    inside = np.ones(len(index), bool) if metric.slice is None else slices[index] == metric.slice
    names, group = (slices, index) if metric.macro else (slices[:1], np.zeros_like(index))
    places = clusters.index * len(names) + group
    tables = []
    for tally in tallies:
        *others, last = (_column(tally, name) for name in metric.columns)
        counted = inside[:, None] & ~np.isnan(last)
        for other in others:
            counted = counted & ~np.isnan(other)
        if metric.columns == ("score",) and "weight" in tally.columns:
            counted = counted * _column(tally, "weight")
        tables.append(add_up(others[0] if others else None, last, counted, places, (len(clusters), len(names))))
    return Sums(np.stack(tables, axis=1))


def _column(tally: Tally, name: str) -> FloatArray:
    values = tally[name]
    return values if values.ndim == 2 else values[:, None]


def estimate(metric: Metric, tally: Tally) -> float:
    """Compute the metric of one seed; NaN if no item counts, or no slice has a correlation."""
    together = Clusters(np.zeros(len(tally.item_ids), np.intp), np.zeros(1, np.intp))
    return float(sums(metric, [tally], together).per_seed[0])
