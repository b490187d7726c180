"""Resampling of whole clusters: swapped between two runs, or drawn again within their strata.

Draws come from one seeded generator, chunk by chunk in a fixed order, so that a result is the same
whatever the number of threads.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from harness.stats.sums import Clusters, FloatArray, Sums, figure, gradient

CHUNK = 250
"""Resamples worked on at a time: bounds memory, and is part of what a seed means."""


def permutation_p(
    pairs: Sequence[tuple[Sums, Sums]], clusters: Clusters, resamples: int = 10_000, seed: int = 0
) -> list[float]:
    """Test whether two runs' answers could be exchanged, for several metrics at once.

    The two runs' answers are swapped for whole clusters, across slices and repeats. The statistic
    is the difference over its linearised clustered error, computed anew under every swap (Janssen 1997;
    Chung and Romano 2013: studentised, it stays valid where only the metric is equal). With few
    clusters all swaps are listed, and the p is exact. The observed one counts as a swap: never zero.

    Args:
        pairs: baseline's and candidate's sums of each metric, of one seed each.
        clusters: of both.
        resamples: how many swaps are drawn.
        seed: of the draw.

    Returns:
        Two-sided p of each metric; 1 where nothing differs, NaN where the difference is not defined.
    """
    told = [(base.counted | cand.counted).any() for base, cand in pairs]
    if not all(told):
        # of what no cluster bears on there is nothing to swap
        rest = iter(
            permutation_p([pair for pair, any_ in zip(pairs, told, strict=True) if any_], clusters, resamples, seed)
        )
        return [next(rest) if any_ else math.nan for any_ in told]
    metrics = [_Swapped(base, cand, clusters) for base, cand in pairs]
    observed = [abs(metric.studentised(np.zeros((1, len(clusters)), bool))[0]) for metric in metrics]
    extreme, drawn = np.zeros(len(metrics), int), 0
    exact = len(clusters) < 31 and 2 ** (len(clusters) - 1) <= resamples
    for swaps in _all_swaps(len(clusters)) if exact else _swaps(len(clusters), resamples, seed):
        drawn += len(swaps)
        for i, metric in enumerate(metrics):
            # what rounding alone tells apart counts as equal
            extreme[i] += (np.abs(metric.studentised(swaps)) >= observed[i] * (1 - 1e-9)).sum()
    found = []
    for metric, seen, count in zip(metrics, observed, extreme, strict=True):
        p = count / drawn if exact else (count + 1) / (drawn + 1)
        found.append(1.0 if metric.equal else math.nan if math.isnan(seen) else float(p))
    return found


def _swaps(clusters: int, resamples: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    draw = np.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        bits = draw.integers(0, 256, (min(CHUNK, resamples - start), -(-clusters // 8)), np.uint8)
        yield np.unpackbits(bits, axis=1, count=clusters).astype(bool)


def _all_swaps(clusters: int) -> Iterator[NDArray[np.bool_]]:
    """List every swap but those that only exchange the two runs, under which the statistic's size is the same."""
    numbers = np.arange(2 ** (clusters - 1))
    for start in range(0, len(numbers), CHUNK):
        yield (numbers[start : start + CHUNK, None] >> np.arange(clusters)) & 1 == 1


class _Swapped:
    """One metric of two runs, under swaps."""

    def __init__(self, base: Sums, cand: Sums, clusters: Clusters) -> None:
        self.shape = base.table.shape[1:]
        self.bears = np.flatnonzero(base.counted | cand.counted)
        strata = np.unique(clusters.strata[self.bears], return_inverse=True)[1]
        counts = np.bincount(strata)
        self.stratum = (strata[:, None] == np.arange(len(counts))).astype(float)
        self.factor = counts / np.maximum(counts - 1, 1)
        self.counts = counts
        b, c = (sums.table[self.bears].reshape(len(self.bears), -1) for sums in (base, cand))
        self.equal = bool(np.array_equal(b, c))
        # a swap turns the sign of half the difference of the two runs' sums and leaves their middle
        self.middle, self.half = (b + c) / 2, (c - b) / 2

    def studentised(self, swaps: NDArray[np.bool_]) -> FloatArray:
        """Compute the difference over its error for each row of swaps; NaN where it is not defined."""
        signs = np.where(swaps[:, self.bears], -1.0, 1.0)
        turned = signs @ self.half
        sides = [(self.middle.sum(axis=0) + way * turned).reshape(-1, *self.shape) for way in (-1, 1)]
        difference = figure(sides[1]).mean(axis=1) - figure(sides[0]).mean(axis=1)
        slope_b, slope_c = (gradient(side).reshape(len(swaps), -1) / self.shape[0] for side in sides)
        # a cluster's influence: its sums under the candidate's slope less those under the baseline's
        influence = (slope_c + slope_b) @ self.half.T
        influence *= signs
        influence += (slope_c - slope_b) @ self.middle.T
        between = (influence @ self.stratum) ** 2 / self.counts
        np.square(influence, out=influence)
        variance = (influence @ self.stratum - between) @ self.factor
        with np.errstate(divide="ignore", invalid="ignore"):
            alike = np.where(np.abs(difference) < 1e-12, 0.0, np.inf * np.sign(difference))
            studentised = np.where(variance > 1e-18, difference / np.sqrt(variance), alike)
        return np.where(np.isnan(difference), np.nan, studentised)


def weights(clusters: Clusters, resamples: int, seed: int = 0) -> Iterator[FloatArray]:
    """Draw clusters again within their strata: how often each is drawn, shape [chunk, clusters]."""
    draw = np.random.default_rng(seed)
    counts = np.bincount(clusters.strata)
    order = np.argsort(clusters.strata, kind="stable")
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    sizes = np.repeat(counts, counts)
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        places = order[starts + (draw.random((rows, len(order))) * sizes).astype(np.intp)]
        flat = (places + np.arange(rows)[:, None] * len(order)).reshape(-1)
        yield np.bincount(flat, minlength=rows * len(order)).reshape(rows, -1).astype(float)


def bootstrap(sums: Sequence[Sums], clusters: Clusters, resamples: int = 10_000, seed: int = 0) -> FloatArray:
    """Compute metrics, averaged over seeds, on resampled clusters; shape [resamples, metrics]."""
    found = []
    for drawn in weights(clusters, resamples, seed):
        columns = []
        for one in sums:
            totals = drawn @ one.table.reshape(len(clusters), -1)
            columns.append(figure(totals.reshape(-1, *one.table.shape[1:])).mean(axis=1))
        found.append(np.stack(columns, axis=1))
    return np.concatenate(found)


def bca(value: float, replicates: FloatArray, left_out: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Give Efron's (1987) BCa interval.

    Args:
        value: the estimate.
        replicates: its bootstrap replicates, shape [resamples].
        left_out: the estimate without each cluster, shape [clusters].
        level: of the interval.
    """
    kept = replicates[~np.isnan(replicates)]
    below = ((kept < value).sum() + (kept == value).sum() / 2) / max(len(kept), 1)
    deviations = left_out.mean() - left_out
    spread = float((deviations**2).sum())
    if len(kept) < 2 or not 0 < below < 1 or not spread > 0:
        return math.nan, math.nan
    bias = scipy.special.ndtri(below)
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    scores = bias + scipy.special.ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(kept, scipy.special.ndtr(bias + scores / (1 - acceleration * scores)))
    return float(low), float(high)
