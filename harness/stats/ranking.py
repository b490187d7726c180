"""Rank intervals and tie groups over many runs on the same items.

Ranking runs by their figures prints an order that another draw of items would not repeat. Here a run's rank is
bounded by the runs that are shown to be better and worse than it: all pairwise differences are tested
at once, with one critical value for the largest of them, from a stratified cluster bootstrap
(Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for Ranks"). Percentiles of bootstrapped ranks would
not do: between equal runs they are too narrow.
"""

from collections.abc import Iterator, Sequence
from itertools import count, product
from string import ascii_lowercase
from typing import NamedTuple

import numpy as np

from harness.stats.intervals import jackknife, leave_one_out, seeds_part
from harness.stats.resampling import weights
from harness.stats.sums import Clusters, FloatArray, Sums

RESAMPLES = 2_000


class Rank(NamedTuple):
    """Where a run stands among others: simultaneously for all of them, at the level asked for."""

    low: int
    """The best rank that the data allow, from 1."""
    high: int
    """The worst."""
    group: str
    """Tie groups, best first: `a`, `b`, ...; runs of one group are not shown to differ from its leader."""


def rank(
    runs: Sequence[Sums], clusters: Clusters, lower_is_better: bool = False, level: float = 0.95, seed: int = 0
) -> list[Rank]:
    """Rank runs by one metric.

    Args:
        runs: each run's sums, over the same clusters.
        clusters: of all.
        lower_is_better: whether the best figure is the smallest.
        level: of all intervals together.
        seed: of the bootstrap.

    Returns:
        One rank a run, in their order; a run without a figure has all ranks and a group of its own.
    """
    sign = -1.0 if lower_is_better else 1.0
    values = sign * np.array([sums.per_seed.mean() for sums in runs])
    shares = [jackknife(leave_one_out(sums), clusters) for sums in runs]
    parts = [seeds_part(sums.per_seed, share) for sums, share in zip(runs, shares, strict=True)]
    seeds = np.array([part.variance if part else 0.0 for part in parts])
    influence = sign * np.nan_to_num(np.stack([share.mean(axis=1) for share in shares], axis=1))
    better = _shown_better(values, influence, seeds, clusters, level, seed)
    lows, highs = 1 + better.sum(axis=0), len(runs) - better.sum(axis=1)
    groups = _tie_groups(values, better)
    return [Rank(int(low), int(high), group) for low, high, group in zip(lows, highs, groups, strict=True)]


def _shown_better(
    values: FloatArray, influence: FloatArray, seeds: FloatArray, clusters: Clusters, level: float, seed: int
) -> FloatArray:
    """Tell which run is shown better than which, all pairs at once: shape [runs, runs], 1 where the row is better.

    The bootstrap resamples clusters' influences (exact for means, first-order otherwise) and adds a
    normal draw for the seeds; a difference counts from its studentised largest on.
    """
    covariance = influence.T @ influence
    own = np.diag(covariance) + seeds
    error = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0))
    np.fill_diagonal(error, np.inf)
    error[error < 1e-12] = np.inf
    draw = np.random.default_rng(seed)
    largest = []
    for drawn in weights(clusters, RESAMPLES, seed):
        moved = (drawn - 1) @ influence + draw.normal(size=(len(drawn), len(values))) * np.sqrt(seeds)
        reached = np.zeros(len(drawn))
        for place in range(len(values) - 1):
            # each run against those after it: the table is the same turned round
            apart = np.abs((moved[:, place, None] - moved[:, place + 1 :]) / error[place, place + 1 :])
            reached = np.maximum(reached, apart.max(axis=1))
        largest.append(reached)
    critical = np.quantile(np.concatenate(largest), level) if len(values) > 1 else np.inf
    with np.errstate(invalid="ignore"):
        return ((values[:, None] - values[None, :]) / error > critical).astype(float)


def _tie_groups(values: FloatArray, better: FloatArray) -> list[str]:
    """Let the best run that is in no group lead one, of all the others that it is not shown to beat."""
    groups = [""] * len(values)
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    letters = _letters()
    for leader in order:
        if groups[leader]:
            continue
        name = next(letters)
        for i in order:
            tied = not better[leader, i] and not np.isnan(values[[leader, i]]).any()
            if not groups[i] and (i == leader or tied):
                groups[i] = name
    return groups


def _letters() -> Iterator[str]:
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield "".join(letters)
