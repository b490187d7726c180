"""Corrections for many tests at once."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust a family of p-values after Holm (1979), which bounds the chance of any false finding.

    NaN stays NaN and counts for nothing, here and below.
    """
    order = _ascending(p_values)
    adjusted, running = [float("nan")] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust a family of p-values after Benjamini and Hochberg (1995), which bounds the share of false findings."""
    order = _ascending(p_values)
    adjusted, running = [float("nan")] * len(p_values), 1.0
    for rank in range(len(order), 0, -1):
        i = order[rank - 1]
        running = min(running, p_values[i] * len(order) / rank)
        adjusted[i] = running
    return adjusted


CORRECTIONS = {"holm": holm, "bh": benjamini_hochberg}
"""Corrections by the name that `--correct` takes."""


def _ascending(p_values: Sequence[float]) -> list[int]:
    return [int(i) for i in np.argsort(p_values, kind="stable") if not np.isnan(p_values[i])]
