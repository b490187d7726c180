"""McNemar's exact test, which ignores clusters: for whoever expects to see it."""

from typing import NamedTuple

import numpy as np
import scipy

from harness.stats.sums import FloatArray


class McNemar(NamedTuple):
    """Items that only one of two runs gets wholly right, and the exact two-sided p."""

    baseline_only: int
    candidate_only: int
    p: float


def mcnemar(baseline: FloatArray, candidate: FloatArray) -> McNemar:
    """Test items right in every answer (a score of 1) against the rest, by the exact binomial (McNemar 1947).

    Args:
        baseline: item scores, shape [items]; NaN for an item that does not count, which is left out.
        candidate: likewise.
    """
    both = ~np.isnan(baseline) & ~np.isnan(candidate)
    right_b, right_c = baseline[both] == 1, candidate[both] == 1
    only_b, only_c = int((right_b & ~right_c).sum()), int((right_c & ~right_b).sum())
    return McNemar(only_b, only_c, min(1.0, float(2 * scipy.special.bdtr(min(only_b, only_c), only_b + only_c, 0.5))))
