"""Audits a published row: which whole numbers of right and counted items can be behind its percentages.

A row of VL-RewardBench is three category accuracies and an overall one. Each is a fraction of whole
numbers, and the overall is their sum over sum; so a row tells on which split of the items into
categories it was computed, how many items were left out as unparsed, or that no split explains it.

The splits are counted over the first release in the authors' repository (data/data.jsonl at
e492d65): General is wildvision 173 and VLFeedback 10; Hallucination POVID 448, RLAIF-V 233 and
RLHF-V 68; Reasoning mathverse 167 and mmmu 151. The counts per category of the corrected release
of 1,247 items are not published, so it is not tried.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from harness.errors import HarnessError
from harness.records.published import PublishedRow

CATEGORIES = ("general", "hallucination", "reasoning")
SPLITS = {
    "correct": (183, 749, 318),
    "RLAIF-V and RLHF-V in General": (484, 448, 318),
    "POVID in General": (631, 301, 318),
}
"""Items in General, Hallucination and Reasoning. The third is what the authors' cal.py did until
2025-05-08, and scripts made from it; the second is what several published rows were counted on."""
LIMIT = 0.05
"""Share of the items beyond which leaving out explains nothing."""
RANDOM_ROWS = 300

Reading = Literal["rounded", "truncated"]


class Percent(NamedTuple):
    """A percentage as it is printed."""

    value: float
    decimals: int

    def reach(self, reading: Reading | None) -> tuple[float, float]:
        """Return the least and the greatest percentage that is printed so; by either reading for None.

        A number that falls on the upper edge counts as truncated too: in floating point it may lie
        just under it.
        """
        step = 10.0**-self.decimals
        low = self.value if reading == "truncated" else self.value - step / 2
        high = self.value + (step / 2 if reading == "rounded" else step)
        return low - 1e-9, high + 1e-9

    def printed(self, value: np.ndarray | float, reading: Reading | None) -> np.ndarray:
        """Tell where `value` is printed as this percentage."""
        low, high = self.reach(reading)
        return np.asarray((value >= low) & (value <= high))

    def __str__(self) -> str:
        return f"{self.value:.{self.decimals}f}"


def percent(text: str) -> Percent:
    """Read a percentage with the decimals that it is printed with.

    Raises:
        HarnessError: if `text` is no number from 0 to 100.
    """
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text) or float(text) > 100:
        raise HarnessError(f"{text!r} is no percentage.", "Write it as it is printed: 63.84.")
    return Percent(float(text), len(text.partition(".")[2]))


class Row(NamedTuple):
    """A published row: General, Hallucination, Reasoning, overall and, where given, macro."""

    categories: tuple[Percent, Percent, Percent]
    overall: Percent
    macro: Percent | None = None


def row_of(figures: Mapping[str, str], overall: str, macro: str | None) -> Row:
    """Read a row from its printed figures, by category.

    Raises:
        HarnessError: if a figure is no percentage.
    """
    general, hallucination, reasoning = (percent(figures[name]) for name in CATEGORIES)
    return Row((general, hallucination, reasoning), percent(overall), percent(macro) if macro else None)


class Explanation(NamedTuple):
    """Whole numbers that print as a row does."""

    split: str
    exchanged: bool
    """Whether the General and Reasoning columns are exchanged."""
    reading: Reading
    right: tuple[int, ...]
    """Right items per column, as printed."""
    counted: tuple[int, ...]
    """Counted items per column."""
    left_out: int
    """Items of the split that are not counted."""

    @property
    def name(self) -> str:
        """The split in words."""
        return self.split + (", General and Reasoning exchanged" if self.exchanged else "")


def explain(row: Row, split: str, exchanged: bool, reading: Reading) -> Explanation | None:
    """Find the counts with the fewest items left out that print as `row`; None within 5 % of the items.

    Args:
        row: as published.
        split: a name in `SPLITS`.
        exchanged: whether to take the General column for Reasoning and the other way round.
        reading: whether the categories were rounded or truncated; overall and macro may be either.
    """
    totals = SPLITS[split][:: -1 if exchanged else 1]
    limit = int(LIMIT * sum(totals))
    found = [_counts(p, n, limit, reading) for p, n in zip(row.categories, totals, strict=True)]
    # every combination of the three columns' candidates, shape [first, second, third]
    rights, counts = (np.ix_(*(column[:, k] for column in found)) for k in (0, 1))
    right, counted = rights[0] + rights[1] + rights[2], counts[0] + counts[1] + counts[2]
    left_out = sum(totals) - counted
    fits = (left_out <= limit) & row.overall.printed(100 * right / counted, None)
    if row.macro is not None:
        exact = sum(100 * r / n for r, n in zip(rights, counts, strict=True)) / 3
        # some macro averages were taken of the printed categories
        of_printed = float(np.mean([p.value for p in row.categories]))
        fits &= row.macro.printed(exact, None) | row.macro.printed(of_printed, None)
    if not fits.any():
        return None
    places = np.unravel_index(np.where(fits, left_out, limit + 1).argmin(), fits.shape)
    pairs = [found[c][place] for c, place in enumerate(places)]
    best_right, best_counted = (tuple(int(pair[k]) for pair in pairs) for k in (0, 1))
    return Explanation(split, exchanged, reading, best_right, best_counted, sum(totals) - sum(best_counted))


def _counts(printed: Percent, total: int, limit: int, reading: Reading) -> np.ndarray:
    """List every (right, counted) that prints as `printed`, shape [candidates, 2]."""
    counted = np.arange(total, max(0, total - limit - 1), -1)
    low, high = printed.reach(reading)
    first, last = np.ceil(low / 100 * counted).astype(int), np.floor(high / 100 * counted).astype(int)
    widest = int((last - first).max()) + 1
    rows = [np.stack([first + k, counted], 1)[(first + k <= last) & (first + k <= counted)] for k in range(widest)]
    return np.concatenate(rows) if rows else np.empty((0, 2), int)


def explanations(row: Row) -> list[Explanation]:
    """List one explanation for each split that has any, those with the fewest items left out first."""
    found = []
    for split in SPLITS:
        for exchanged in (False, True):
            readings = [explain(row, split, exchanged, reading) for reading in ("rounded", "truncated")]
            if some := [e for e in readings if e is not None]:
                found.append(min(some, key=lambda e: e.left_out))
    return sorted(found, key=lambda e: e.left_out)


def possible(row: Row) -> bool:
    """Tell whether overall and macro can be right at all, whatever the counts.

    With up to 5 % of the items left out, an overall lies between the means that leave them out of the
    best and of the worst category; a macro is the mean of the three. A step of the print is allowed.
    """
    values = np.array([p.value for p in row.categories])
    slack = max(10.0**-p.decimals for p in (*row.categories, row.overall))
    if row.macro is not None and abs(values.mean() - row.macro.value) > slack + 10.0**-row.macro.decimals:
        return False
    reach = []
    for totals in (t for split in SPLITS.values() for t in (split, split[::-1])):
        limit = int(LIMIT * sum(totals))
        for place in (int(values.argmin()), int(values.argmax())):
            counted = np.array(totals)
            counted[place] -= min(limit, counted[place] - 1)
            reach.append((values * counted).sum() / counted.sum())
    return bool(min(reach) - slack <= row.overall.value <= max(reach) + slack)


def chance(row: Row, left_out: int, rows: int = RANDOM_ROWS, seed: int = 0) -> float:
    """Estimate how often a random row would be explained by some split with no more left out.

    A random row has categories up to five points from the published ones and an overall anywhere
    between the least and the greatest of them, printed with the same decimals, and no macro.
    """
    rng = np.random.default_rng(seed)
    explained = 0
    for _ in range(rows):
        drawn = [min(100, max(0, p.value + rng.uniform(-5, 5))) for p in row.categories]
        categories = [Percent(round(v, p.decimals), p.decimals) for v, p in zip(drawn, row.categories, strict=True)]
        overall = round(rng.uniform(min(drawn), max(drawn)), row.overall.decimals)
        random_row = Row((categories[0], categories[1], categories[2]), Percent(overall, row.overall.decimals))
        explained += any(e.left_out <= left_out for e in explanations(random_row))
    return explained / rows


def verdict(row: Row, found: Sequence[Explanation]) -> str:
    """Say in one sentence what the audit found."""
    if not possible(row):
        return "Impossible: under no known split can overall and macro follow from these categories."
    if not found:
        return f"No known split explains this row with at most {LIMIT:.0%} of the items left out."
    best = [e for e in found if e.left_out == found[0].left_out]
    names = " and ".join(f"'{e.name}'" for e in best)
    left = best[0].left_out
    items = "no item" if left == 0 else "1 item" if left == 1 else f"{left} items"
    return f"{names} {'explains' if len(best) == 1 else 'explain equally well'} this row, with {items} left out."


def audited(row: PublishedRow) -> PublishedRow:
    """Return a published row with its verdict; one without the figures that an audit needs has none."""
    figures = row.figures
    if row.task != "vlrewardbench" or not {*CATEGORIES, "overall"} <= set(figures):
        return row.model_copy(update={"audit": None})
    read = row_of(figures, figures["overall"], figures.get("macro"))
    return row.model_copy(update={"audit": verdict(read, explanations(read))})
