"""Metrics as functions of sums over clusters, so that every resampling is one matrix product.

A mean needs of each cluster n and Σy; Pearson's correlation n, Σx, Σy, Σx², Σxy and Σy². Both are smooth
in these sums, and so are averages of them over groups (slices), repeats and seeds. What deletes,
repeats or swaps whole clusters therefore only adds other rows of one small table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MEAN, CORRELATION = 2, 6
"""How many sums a metric needs: the last axis of `Sums.table`."""


def _places(names: Sequence[str | None]) -> NDArray[np.intp]:
    """Give each name its place among all, in their order; an array of texts would be as wide as the longest."""
    known = {name: place for place, name in enumerate(sorted({name for name in names if name is not None}))}
    return np.array([known[name] for name in names if name is not None], dtype=np.intp)


@dataclass(frozen=True)
class Clusters:
    """Which items belong together, and the strata in which clusters are drawn."""

    index: NDArray[np.intp]
    """Each item's cluster, shape [items]."""
    strata: NDArray[np.intp]
    """Each cluster's stratum, shape [clusters]: the slices that its items are in."""

    def __len__(self) -> int:
        return len(self.strata)

    @classmethod
    def of(cls, names: Sequence[str | None], slices: Sequence[str]) -> "Clusters":
        """Group items by the names of their clusters.

        A stratum of one cluster has no spread of its own: such clusters share a stratum, or join the
        largest one if there is only one of them.

        Raises:
            ValueError: if an item has no cluster; items without one are not one big cluster.
        """
        if not all(names):
            raise ValueError("an item has no cluster id: clustered errors need one for every item")
        index, slice_of = _places(names), _places(slices)
        count = int(index.max()) + 1 if len(index) else 0
        touched = np.zeros((count, int(slice_of.max(initial=-1)) + 1), bool)
        touched[index, slice_of] = True
        _, strata = np.unique(touched, axis=0, return_inverse=True)
        strata = strata.reshape(-1)
        sizes = np.bincount(strata)
        alone = sizes[strata] == 1
        if alone.sum() == 1 and len(sizes) > 1:
            strata[alone] = int(np.argmax(sizes))
        else:
            strata[alone] = len(sizes)
        return cls(index, np.unique(strata, return_inverse=True)[1].reshape(-1))


@dataclass(frozen=True)
class Sums:
    """What a metric needs of each cluster."""

    table: FloatArray
    """Shape [clusters, seeds, repeats, groups, 2 or 6]."""

    @property
    def total(self) -> FloatArray:
        """The sums over all clusters, shape [seeds, repeats, groups, 2 or 6]."""
        total: FloatArray = self.table.sum(axis=0)
        return total

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which clusters bear on the metric, shape [clusters]."""
        return np.asarray((self.table[..., 0] > 0).any(axis=(1, 2, 3)), bool)

    @property
    def per_seed(self) -> FloatArray:
        """The metric under each seed, shape [seeds]; NaN where nothing counts."""
        return figure(self.total)


def add_up(
    x: FloatArray | None,
    y: FloatArray,
    counted: NDArray[np.bool_] | FloatArray,
    places: NDArray[np.intp],
    shape: tuple[int, int],
) -> FloatArray:
    """Add up what a metric needs of one seed.

    Args:
        x: of a correlation, shape [items, 1]; None for a mean.
        y: shape [items, repeats].
        counted: which entries count, shape [items, repeats]; or, for a mean, how many answers each stands for.
        places: each item's cluster times the number of groups plus its group, shape [items].
        shape: clusters and groups.

    Returns:
        Shape [clusters, repeats, groups, 2 or 6].
    """
    terms = [counted.astype(float), np.where(counted, y, 0.0) * counted]
    if x is not None:
        # sums of squares of centred values lose no digits; a correlation does not see the shift
        y = np.where(counted, y, 0.0)
        y = np.where(counted, y - y.sum() / max(1, counted.sum()), 0.0)
        x = np.where(counted, x - x.mean(), 0.0)
        terms = [terms[0], x, y, x * x, x * y, y * y]
    size = shape[0] * shape[1]
    table = np.empty((size, y.shape[1], len(terms)))
    for k, term in enumerate(terms):
        for repeat in range(y.shape[1]):
            table[:, repeat, k] = np.bincount(places, weights=term[:, repeat], minlength=size)
    return table.reshape(*shape, y.shape[1], len(terms)).transpose(0, 2, 1, 3)


def _average(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Average over groups, then over repeats, leaving out what is not defined; return the weights too."""
    known = ~np.isnan(values)
    groups = known.sum(axis=-1, keepdims=True)
    repeats = (groups > 0).sum(axis=-2, keepdims=True)
    weights = np.where(known, 1.0 / (np.maximum(groups, 1) * np.maximum(repeats, 1)), 0.0)
    mean = (weights * np.where(known, values, 0.0)).sum(axis=(-2, -1))
    return np.where(repeats[..., 0, 0] > 0, mean, np.nan), weights


def figure(sums: FloatArray) -> FloatArray:
    """Compute a metric from its sums, shape [..., repeats, groups, 2 or 6] to [...]; NaN where it is not defined."""
    return _average(_by_group(sums))[0]


def _by_group(sums: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        if sums.shape[-1] == MEAN:
            return np.asarray(sums[..., 1] / np.where(sums[..., 0] > 0.5, sums[..., 0], np.nan))
        n, x, y, xx, xy, yy = np.moveaxis(sums, -1, 0)
        vx, vy = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        # what rounding leaves of a constant is no spread
        defined = (n > 2.5) & (vx > 1e-10 * np.maximum(xx / n, 1e-10)) & (vy > 1e-10 * np.maximum(yy / n, 1e-10))
        r = (xy / n - x * y / n**2) / np.sqrt(np.where(defined, vx * vy, np.nan))
        return np.asarray(np.clip(r, -1.0, 1.0))


def gradient(sums: FloatArray) -> FloatArray:
    """Differentiate the metric by each sum; zero where a group does not count. Shape as `sums`.

    A metric does not change when all sums are scaled alike, so a cluster's influence on it is this
    gradient times the cluster's own sums, and influences add up to zero (Euler).
    """
    values = _by_group(sums)
    _, weights = _average(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = sums[..., 0]
        if sums.shape[-1] == MEAN:
            slopes = np.stack([-values / n, 1 / n], axis=-1)
        else:
            n, x, y, xx, _, yy = np.moveaxis(sums, -1, 0)
            mx, my = x / n, y / n
            vx, vy = xx / n - mx**2, yy / n - my**2
            both, r = np.sqrt(vx * vy), values
            slopes = (
                np.stack(
                    [
                        mx * my / both - r / 2 * (mx**2 / vx + my**2 / vy),
                        r * mx / vx - my / both,
                        r * my / vy - mx / both,
                        -r / (2 * vx),
                        1 / both,
                        -r / (2 * vy),
                    ],
                    axis=-1,
                )
                / n[..., None]
            )
        # a group that does not count has no slope, and no weight
        weighed = slopes * weights[..., None]
    return np.where(np.isnan(values)[..., None], 0.0, weighed)
