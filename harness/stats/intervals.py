"""Intervals: of one run's metric, and of the paired difference of two runs.

The items' part of the variance is the stratified jackknife that leaves out one cluster at a time (JKn: Rust and
Rao 1996; for a mean it is Miller's clustered error, arXiv 2411.00640, eq. 4, up to C/(C-1)): it needs
no formula per metric, serves macro and correlations as they are, and errs to the safe side in
small samples, where the linearised error does not. The seeds' part is s²/k, less what the items' part
already holds of it. An interval is taken on the scale on which the estimate is nearest to normal:
Wilson's for a share, Fisher's z for a correlation, as it is for a difference.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from harness.stats.mixture import Part, reach, satterthwaite, tail
from harness.stats.sums import Clusters, FloatArray, Sums, figure

Scale = Literal["share", "correlation", "plain"]
NAN = math.nan
ROUNDING = 1e-20
"""A variance below this is what rounding leaves of none: one answer in a million makes 1e-12."""


class Estimate(NamedTuple):
    """An estimate with its standard error, interval and two-sided p; NaN where they cannot be told."""

    value: float
    error: float
    df: float
    """Satterthwaite's degrees of freedom of the error, as a description."""
    low: float
    high: float
    p: float
    """Of the hypothesis that the value is 0; NaN for a single run."""
    parts: tuple[Part, ...] = ()
    """The items' part of the variance, then the seeds'."""


def unknown_error(value: float) -> Estimate:
    """Give an estimate of which only the value is known."""
    return Estimate(value, NAN, NAN, NAN, NAN, NAN)


def leave_one_out(sums: Sums) -> FloatArray:
    """Compute the metric without each cluster in turn, shape [clusters, seeds]."""
    return figure(sums.total - sums.table)


def jackknife(left_out: FloatArray, clusters: Clusters) -> FloatArray:
    """Turn figures without each cluster into each cluster's share of the error.

    Args:
        left_out: shape [clusters, ...].
        clusters: with their strata.

    Returns:
        Of the same shape: its squares add up to the variance, and products of two to the covariance.
    """
    counts = np.bincount(clusters.strata)
    shares = np.empty_like(left_out)
    for stratum, count in enumerate(counts):
        inside = clusters.strata == stratum
        here = left_out[inside]
        shares[inside] = (here - here.mean(axis=0)) * np.sqrt((count - 1) / count)
    return shares


def items_part(shares: FloatArray, clusters: Clusters) -> Part:
    """Give the items' part of the variance from each cluster's share of the error, shape [clusters]."""
    by_stratum = np.bincount(clusters.strata, weights=shares**2)
    total = float(by_stratum.sum())
    total = 0.0 if total < ROUNDING else total
    if len(clusters) < 2 or not math.isfinite(total):
        return Part(NAN, NAN)
    free = np.maximum(1, np.bincount(clusters.strata) - 1)
    return Part(total, total**2 / float((by_stratum**2 / free).sum()) if total else len(clusters) - 1.0)


def seeds_part(per_seed: FloatArray, shares: FloatArray) -> Part | None:
    """Give the seeds' part of the variance; None for one seed.

    Seeds and items are crossed: the spread over seeds s²/k also holds the chance of single answers,
    which is in the items' part already and is taken off (two-way clustering: Cameron, Gelbach and
    Miller 2011), but never below zero.

    Args:
        per_seed: the estimate under each seed, shape [seeds].
        shares: each cluster's share of the error under each seed, shape [clusters, seeds].
    """
    count = len(per_seed)
    if count < 2:
        return None
    spread = float(np.var(per_seed, ddof=1)) / count
    answers = float(((shares - shares.mean(axis=1, keepdims=True)) ** 2).sum()) / (count * (count - 1))
    over = spread - answers
    return Part(over if over > ROUNDING else 0.0, count - 1)


def single(sums: Sums, clusters: Clusters, scale: Scale, level: float = 0.95) -> Estimate:
    """Estimate one run's metric over its seeds, with its interval."""
    per_seed = sums.per_seed
    value = float(per_seed.mean())
    shares = jackknife(leave_one_out(sums), clusters)
    parts = _known(items_part(shares.mean(axis=1), clusters), seeds_part(per_seed, shares))
    variance = sum(part.variance for part in parts)
    if not math.isfinite(variance) or not math.isfinite(value):
        return unknown_error(value)
    if variance == 0 or (scale == "correlation" and abs(value) >= 1):
        return _alike(value, sums, scale, level, parts)
    error, df, half = variance**0.5, satterthwaite(parts), reach(level, parts)
    if scale == "share":
        low, high = _wilson(value, value * (1 - value) / variance, half / error)
    elif scale == "correlation":
        low, high = (math.tanh(math.atanh(value) + side * half / (1 - value**2)) for side in (-1, 1))
    else:
        low, high = value - half, value + half
    return Estimate(value, error, df, low, high, NAN, parts)


def paired(
    base: Sums,
    cand: Sums,
    clusters: Clusters,
    level: float = 0.95,
    same_seeds: bool = True,
    scale: Scale = "plain",
) -> Estimate:
    """Estimate candidate minus baseline on the same items, with its interval and p.

    Args:
        base: the baseline's sums.
        cand: the candidate's, over the same clusters.
        clusters: of both.
        level: of the interval.
        same_seeds: whether seed by seed the two belong together; else each side's seeds vary for themselves.
        scale: of the metric.
    """
    b, c = base.per_seed, cand.per_seed
    value = float(c.mean() - b.mean())
    without_b, without_c = (jackknife(leave_one_out(sums), clusters) for sums in (base, cand))
    items = items_part(without_c.mean(axis=1) - without_b.mean(axis=1), clusters)
    if same_seeds and len(b) == len(c):
        parts = _known(items, seeds_part(c - b, without_c - without_b))
    else:
        parts = _known(items, seeds_part(b, without_b), seeds_part(c, without_c))
    variance = sum(part.variance for part in parts)
    if not math.isfinite(variance) or not math.isfinite(value):
        return unknown_error(value)
    if variance == 0:
        if abs(value) < ROUNDING**0.5:
            return _nowhere(base, cand, clusters, level, scale)
        return _everywhere(base, cand, clusters, level) if scale == "share" else unknown_error(value)
    half = reach(level, parts)
    return Estimate(value, variance**0.5, satterthwaite(parts), value - half, value + half, tail(value, parts), parts)


def _nowhere(base: Sums, cand: Sums, clusters: Clusters, level: float, scale: Scale) -> Estimate:
    """Give the interval of a difference of which no cluster shows any, as where two runs answer alike.

    Of a share it ends where the chance that C clusters show nothing is 1 - level: about 3/C ("rule of three", Hanley
    and Lippman-Hand 1983). Of another scale it is not estimable.
    """
    counted = int((base.counted | cand.counted).sum())
    if scale != "share" or counted < 2:
        return unknown_error(0.0)
    half = 1 - (1 - level) ** (1 / counted)
    # no parts: of what more data would show, data without a difference say nothing
    return Estimate(0.0, half / reach(level, [Part(1.0, counted - 1)]), counted - 1, -half, half, 1.0)


def _everywhere(base: Sums, cand: Sums, clusters: Clusters, level: float) -> Estimate:
    """Give the interval of a difference of shares that is the same in every cluster, such as a total collapse.

    The differences have no spread to go by, so it is made of the two sides' own intervals (Newcombe 1998, method
    10), as if they were independent: they are not, and it is the wider for it.
    """

    def at(confidence: float) -> tuple[float, float, float]:
        b, c = (single(side, clusters, "share", confidence) for side in (base, cand))
        value = c.value - b.value
        return (
            value,
            value - math.hypot(c.value - c.low, b.high - b.value),
            value + math.hypot(c.high - c.value, b.value - b.low),
        )

    value, low, high = at(level)
    if math.isnan(low):
        return unknown_error(value)
    # the p is the smallest 1 - confidence at which the interval leaves zero out
    inside, outside = 1.0, 0.0
    for _ in range(50):
        middle = (inside + outside) / 2
        _, lower, upper = at(middle)
        inside, outside = (middle, outside) if lower <= 0 <= upper else (inside, middle)
    counted = int((base.counted | cand.counted).sum())
    error = (high - low) / 2 / reach(level, [Part(1.0, counted - 1)])
    part = Part(error**2, counted - 1)
    return Estimate(value, error, counted - 1, max(-1.0, low), min(1.0, high), 1 - outside, (part,))


def _known(*parts: Part | None) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not None)


def _alike(value: float, sums: Sums, scale: Scale, level: float, parts: tuple[Part, ...]) -> Estimate:
    """Give the interval where every cluster scores alike: for a share, each stands for one independent answer."""
    counted = int(sums.counted.sum())
    if scale != "share" or counted < 2:
        return unknown_error(value)
    multiple = reach(level, [Part(1.0, counted - 1)])
    return Estimate(value, 0.0, counted - 1, *_wilson(value, counted, multiple), NAN, parts)


def _wilson(share: float, count: float, multiple: float) -> tuple[float, float]:
    """Give Wilson's (1927) interval of a share seen in `count` independent answers.

    With clusters, `count` is the effective number that the clustered error leaves (as in the survey
    literature: Dean and Pagano 2015), and `multiple` comes from t instead of the normal.
    """
    square = multiple**2 / count
    middle = (share + square / 2) / (1 + square)
    half = multiple / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def correlation_of(first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray) -> float:
    """Give Pearson's correlation of two runs' item scores; NaN where one does not vary."""
    x, y = np.asarray(first, float), np.asarray(second, float)
    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return NAN
    return float(np.corrcoef(x, y)[0, 1])
