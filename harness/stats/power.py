"""What these very runs could have shown, and what more items, repeats or seeds would buy.

Source: Miller (arXiv 2411.00640), section 5, with variances estimated from the two runs instead of
guessed, clustered, and with the seeds' part that no number of items removes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from harness.stats.intervals import Estimate
from harness.stats.mixture import Part, reach
from harness.stats.sums import FloatArray

POWER = 0.8
MOST = 10_000
"""More times as many items, repeats or seeds than this are called out of reach."""


@dataclass(frozen=True)
class Design:
    """The variance of a paired difference, by what could be had more of."""

    items: Part
    """Of the items at hand, all their answers included."""
    seeds: tuple[Part, ...] = ()
    """One part a side whose seeds vary; one for both where they are paired."""
    answers: float = 0.0
    """What of the items' part is the chance of single answers and falls with more repeats."""

    def parts(self, items: float = 1, repeats: float = 1, seeds: float = 1) -> list[Part]:
        """Give the parts of the variance with so many times the items, repeats and seeds."""
        held = self.items.variance - self.answers * (1 - 1 / repeats)
        found = [Part(held / items, max(1.0, (self.items.df + 1) * items - 1))]
        for part in self.seeds:
            found.append(Part(part.variance / seeds, max(1.0, (part.df + 1) * seeds - 1)))
        return found

    def detectable(self, items: float = 1, repeats: float = 1, seeds: float = 1, level: float = 0.95) -> float:
        """Give the smallest true difference that an interval would tell from 0 with 80 % power."""
        parts = self.parts(items, repeats, seeds)
        if not sum(part.variance for part in parts):
            return math.nan
        # the interval's reach, and as much again as an estimate falls short of the truth one time in five
        return reach(level, parts) + reach(2 * POWER - 1, parts)

    def varied(self, times: float) -> "Design":
        """Give the design with `times` the items' variance."""
        items = self.items._replace(variance=self.items.variance * times)
        return replace(self, items=items, answers=self.answers * times)

    def needed(self, effect: float, what: str, level: float = 0.95) -> float:
        """Give how many times as many `items`, `repeats`, `seeds` (or `both` items and seeds) tell `effect` from 0.

        Infinity if no number does.
        """
        more = ("items", "seeds") if what == "both" else (what,)
        low, high = 0.0, math.log(MOST)
        if not self.detectable(**dict.fromkeys(more, MOST), level=level) <= effect:
            return math.inf
        for _ in range(40):
            middle = (low + high) / 2
            enough = self.detectable(**dict.fromkeys(more, math.exp(middle)), level=level) <= effect
            low, high = (low, middle) if enough else (middle, high)
        return math.exp(high)


def design_of(estimate: Estimate, answers: float = 0.0) -> Design | None:
    """Take the design from an estimate's parts; None where its error is not known."""
    if not estimate.parts or not math.isfinite(estimate.error) or estimate.error == 0:
        return None
    items, *seeds = estimate.parts
    return Design(items, tuple(seeds), min(answers, items.variance))


def left_open(squares: FloatArray, share: float = 0.8) -> tuple[float, float, float]:
    """Say how far the true variance may lie from an estimated one, which is a sum of `squares`.

    Of such a sum the middle lies below the mean, the more so the fewer large squares it is made of: taken as it is, it
    would promise too much more often than too little. It is read as a chi-squared variable, whose degrees of freedom
    are what its terms' own spread makes them.

    Args:
        squares: each cluster's part of the variance, shape [clusters].
        share: how often the truth lies between the ends.

    Returns:
        The middle and both ends, each as times the estimate.
    """
    spread = float(((squares - squares.mean()) ** 2).sum())
    df = max(1.0, min(len(squares) - 1.0, 2 * float(squares.sum()) ** 2 / spread)) if spread else len(squares) - 1.0
    middle, low, high = (
        df / float(scipy.special.chdtri(df, above)) for above in (0.5, (1 - share) / 2, (1 + share) / 2)
    )
    return middle, low, high


def answers_share(variances: Sequence[float], repeats: Sequence[int]) -> float:
    """Fit A + B/K to the items' variance under K repeats, and give B/K at the largest K.

    Args:
        variances: under each number of repeats, measured on the first so many of the stored answers.
        repeats: those numbers.

    Returns:
        At least 0 and at most the last variance; 0 if there are fewer than two numbers.
    """
    if len(repeats) < 2:
        return 0.0
    inverse, measured = 1 / np.asarray(repeats, float), np.asarray(variances, float)
    slope = float(np.polyfit(inverse, measured, 1)[0])
    return float(np.clip(slope * inverse[-1], 0.0, measured[-1]))


def chance_to_show(effect: float, design: Design, level: float = 0.95) -> float:
    """Give the power: the chance that the interval would tell a true difference of `effect` from 0."""
    parts = design.parts()
    error = sum(part.variance for part in parts) ** 0.5
    half = reach(level, parts)
    return float(scipy.special.ndtr((effect - half) / error) + scipy.special.ndtr((-effect - half) / error))
