"""The distribution of an estimate whose variance has several parts, some estimated from very few numbers.

With seeds crossed with items, one part of the variance is told by hundreds of clusters and another by three
or five seeds. Satterthwaite's single t covers as little as 92 % instead of 95 % with three seeds whose
spread dominates (`benchmarks/calibration.md`). The Behrens-Fisher distribution, that of a sum of
independent t's each scaled by its part, does not break there. With one part both are Student's t.

Source: Fisher (1935), "The fiducial argument in statistical inference"; Satterthwaite (1946).
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

# its submodule is loaded at the first use: of figures that are remembered, there is none
import scipy

from harness.stats.sums import FloatArray

NODES = 41
"""Points of the quadrature of each part; one part alone is then Student's t to 1e-6."""


class Part(NamedTuple):
    """One part of an estimate's variance."""

    variance: float
    df: float
    """Degrees of freedom with which it was estimated."""


def satterthwaite(parts: Sequence[Part]) -> float:
    """Give the degrees of freedom of the one t that comes nearest."""
    total = sum(part.variance for part in parts)
    return total**2 / sum(part.variance**2 / part.df for part in parts if part.variance > 0)


def tail(distance: float, parts: Sequence[Part]) -> float:
    """Give the two-sided p of an estimate at `distance` from what is tested."""
    parts = [part for part in parts if part.variance > 0]
    if len(parts) == 1:
        return float(2 * scipy.special.stdtr(parts[0].df, -abs(distance) / parts[0].variance ** 0.5))
    deviations, weights = _normals(parts)
    return float(2 * (weights * scipy.special.ndtr(-abs(distance) / deviations)).sum())


def reach(level: float, parts: Sequence[Part]) -> float:
    """Give the half-width of the two-sided interval at `level`."""
    parts = [part for part in parts if part.variance > 0]
    if len(parts) == 1:
        return float(scipy.special.stdtrit(parts[0].df, (1 + level) / 2) * parts[0].variance ** 0.5)
    deviations, weights = _normals(parts)
    # the tail is convex and heavier than a normal's: Newton's steps from there never overshoot
    distance: float = float(scipy.special.ndtri((1 + level) / 2)) * sum(part.variance for part in parts) ** 0.5
    for _ in range(60):
        excess = 2 * (weights * scipy.special.ndtr(-distance / deviations)).sum() - (1 - level)
        slope = 2 * (weights / deviations * np.exp(-((distance / deviations) ** 2) / 2)).sum() / np.sqrt(2 * np.pi)
        step = float(excess / slope)
        distance += step
        if abs(step) < 1e-10 * distance:
            break
    return distance


def _normals(parts: Sequence[Part]) -> tuple[FloatArray, FloatArray]:
    """Write the sum of t's as a mixture of normals: standard deviations and weights, of shape [mixed]."""
    variance, weight = np.zeros(1), np.ones(1)
    for part in parts:
        scales, weights = _scales(part.df)
        variance = (variance[:, None] + part.variance * scales).reshape(-1)
        weight = (weight[:, None] * weights).reshape(-1)
    return np.sqrt(variance), weight


@cache
def _scales(df: float) -> tuple[FloatArray, FloatArray]:
    """Give points and weights of df/χ²(df), whose normals mix to a t: the trapezoid rule on normal scores."""
    score = np.linspace(-7, 7, NODES)
    weights = np.exp(-(score**2) / 2)
    return df / scipy.special.chdtri(df, scipy.special.ndtr(-score)), weights / weights.sum()
