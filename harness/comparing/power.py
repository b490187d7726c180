"""Plans: what two finished runs could have shown, and how many items, repeats or seeds would show a given effect."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from harness.comparing.comparison import Comparison, Difference
from harness.counting.metrics import Metric
from harness.counting.results import TaskResult
from harness.errors import HarnessError
from harness.records import Judgment
from harness.sheets.figures import points
from harness.sheets.sheet import Cell, Column, Sheet, count
from harness.stats.intervals import jackknife, leave_one_out, paired
from harness.stats.power import Design, answers_share, chance_to_show, design_of, left_open

WHAT_IF = (1, 2, 4)
"""Times the items, in the table of what more of them would show."""


def design(comparison: Comparison, difference: Difference) -> Design:
    """Take the variance of a difference apart.

    Raises:
        HarnessError: if its error could not be estimated, or is zero.
    """
    found = design_of(difference.estimate, answers_variance(comparison, difference))
    if found is None:
        raise HarnessError(
            f"the error of {difference.metric.name} cannot be estimated from these two runs.",
            "Take runs with more items, with image ids, that do not agree in every answer.",
        )
    return found


def answers_variance(comparison: Comparison, difference: Difference) -> float:
    """Estimate what of the items' variance is the chance of single answers, from the stored votes' prefixes.

    Only a protocol that repeats its questions tells: the variance under the first K votes is A + B/K.
    """
    protocol = comparison.candidate.protocol
    if not protocol.varies or protocol.repeats < 2:
        return 0.0
    numbers = [k for k in range(1, protocol.repeats + 1) if k % 2 or k == protocol.repeats]
    sides = (comparison.baseline, comparison.candidate)
    shared = set.intersection(*({item.item_id for item in side.items} for side in sides))
    voted = [(side, side.judgments()) for side in sides]
    variances = []
    for k in numbers:
        base, cand = (_counted(side, judgments, k).restricted(shared) for side, judgments in voted)
        if base.clusters is None:
            return 0.0
        found = paired(base.sums(difference.metric), cand.sums(difference.metric), base.clusters)
        variances.append(found.parts[0].variance if found.parts else math.nan)
    known = [(v, k) for v, k in zip(variances, numbers, strict=True) if math.isfinite(v)]
    return answers_share([v for v, _ in known], [k for _, k in known])


def _counted(side: TaskResult, judgments: dict[int, list[Judgment]], repeats: int) -> TaskResult:
    tallies = {seed: side.protocol.tally(side.items, judgments[seed], repeats) for seed in side.tallies}
    return replace(side, tallies=tallies)


def plan(comparison: Comparison, difference: Difference, effect: float) -> tuple[Sheet, list[str]]:
    """Plan how to tell a true difference of `effect`, in the metric's own unit, from none.

    Returns:
        The smallest difference that more items and seeds would show, and sentences on what `effect` takes.

    Raises:
        HarnessError: if `effect` is not positive, or the error is not known.
    """
    metric = difference.metric
    if not effect > 0 or (metric.percent and effect >= 1):
        raise HarnessError(f"--effect {effect:g} is no difference to look for.", "Write 0.02 for two points.")
    known = design(comparison, difference)
    return _what_if(comparison, difference, known), [
        f"A true difference of {sized(effect, metric)} would be shown by data like these in "
        f"{100 * chance_to_show(effect, known, difference.level):.0f} cases of 100.",
        *settle(comparison, difference, known, effect),
    ]


class Needs(NamedTuple):
    """What shows an effect in 4 cases of 5, each alone, as times what there is.

    Infinity where no number is enough, NaN where it is not known.
    """

    items: tuple[float, float, float]
    """The middle of what these data leave open, and its ends in 4 cases of 5; at least 1."""
    repeats: float
    seeds: float
    both: float
    """Items and seeds together."""


def needs(comparison: Comparison, difference: Difference, known: Design, effect: float) -> Needs | None:
    """Reckon what shows `effect`; None where these data do."""
    level, protocol = difference.level, comparison.candidate.protocol
    if known.detectable(level=level) <= effect:
        return None
    forms = _range(comparison, difference, known)
    middle, low, high = (max(1.0, form.needed(effect, "items", level)) for form in forms)
    told = protocol.varies and protocol.repeats > 1
    repeats = known.needed(effect, "repeats", level) if told else math.nan
    seeds, both = (known.needed(effect, what, level) if known.seeds else math.nan for what in ("seeds", "both"))
    return Needs((middle, low, high), repeats, seeds, both)


def settle(comparison: Comparison, difference: Difference, known: Design, effect: float) -> list[str]:
    """Say what would show `effect` in 4 cases of 5: more items, repeats or seeds, each alone."""
    found = needs(comparison, difference, known, effect)
    if found is None:
        return [f"These data are enough for {sized(effect, difference.metric)}: 80 % power or more."]
    return [
        _more_items(comparison, found.items),
        *_more_repeats(comparison, known, found.repeats),
        _more_seeds(comparison, found.seeds),
        *_more_of_both(comparison, found.both),
    ]


def _range(comparison: Comparison, difference: Difference, known: Design) -> list[Design]:
    """Give a design with the items' variance in the middle of what these data leave open, and at the ends of 4 in 5."""
    sides = comparison.baseline, comparison.candidate
    shared = set.intersection(*({item.item_id for item in side.items} for side in sides))
    base, cand = (side.restricted(shared) for side in sides)
    assert base.clusters is not None, "a difference with an error has clusters"
    without = [
        jackknife(leave_one_out(side.sums(difference.metric)), base.clusters).mean(axis=1) for side in (base, cand)
    ]
    return [known.varied(times) for times in left_open((without[1] - without[0]) ** 2)]


def _more_items(comparison: Comparison, times: Sequence[float]) -> str:
    asked, there = comparison.items, comparison.candidate.task.data_items
    if math.isinf(times[0]):
        return "Items: no number of them is enough, while the seeds differ as they do."
    needed, low, high = (asked * each for each in times)
    held = f"the data have {there}" if needed <= there else f"the data have only {there}"
    known = f"{about(low)} to {about(high)}, as these data tell"
    return f"Items: about {about(needed)} instead of {asked:,} ({known}); {held}."


def about(number: float) -> str:
    """Write a number that is not known more exactly than in two digits, rounded up."""
    if math.isinf(number):
        return "more than can be had"
    step = 10 ** max(0, math.floor(math.log10(max(1.0, number))) - 1)
    return f"{math.ceil(number / step) * step:,}"


def _more_repeats(comparison: Comparison, known: Design, times: float) -> list[str]:
    """Say what more repeats buy; nothing of a protocol that has none, and would get the same answers again."""
    protocol = comparison.candidate.protocol
    if not protocol.varies:
        return []
    if protocol.repeats < 2:
        return ["Repeats: what they would buy is not known from one answer each."]
    share = 100 * known.answers / known.items.variance
    if math.isinf(times):
        return [f"Repeats: no number is enough; the chance of single answers is {share:.0f} % of the items' variance."]
    return [f"Repeats: {protocol.name}:{math.ceil(protocol.repeats * times)} instead of {protocol.spec}."]


def seeds_of(comparison: Comparison) -> int:
    """Count the seeds, on the side that has more."""
    return max(len(side.tallies) for side in (comparison.baseline, comparison.candidate))


def _more_seeds(comparison: Comparison, times: float) -> str:
    if math.isnan(times):
        return "Seeds: one a side, so what another would buy is not known; --seeds 0,1,2 tells."
    seeds = seeds_of(comparison)
    if math.isinf(times):
        return "Seeds: no number of them is enough, with these items."
    return f"Seeds: {math.ceil(seeds * times)} instead of {seeds}."


def _more_of_both(comparison: Comparison, times: float) -> list[str]:
    if not math.isfinite(times):
        return []
    seeds, items = seeds_of(comparison), math.ceil(comparison.items * times)
    return [f"Items and seeds together: about {about(items)} items and {math.ceil(seeds * times)} seeds."]


def what_if(comparison: Comparison, difference: Difference, known: Design) -> list[tuple[int, dict[int, float]]]:
    """Reckon the smallest difference that more items would show, by the number of items and of seeds."""
    seeds = seeds_of(comparison)
    more = [seeds, seeds + 1, 2 * seeds] if known.seeds else [seeds]
    return [
        (
            comparison.items * times,
            {n: known.detectable(items=times, seeds=n / seeds, level=difference.level) for n in more},
        )
        for times in WHAT_IF
    ]


def _what_if(comparison: Comparison, difference: Difference, known: Design) -> Sheet:
    metric, found = difference.metric, what_if(comparison, difference, known)
    rows = [(count(items), *(Cell(f, points(f, metric)) for f in figures.values())) for items, figures in found]
    named = [f"{number} seed{'s' * (number > 1)}" for number in found[0][1]]
    unit = "points" if metric.percent else metric.unit
    synthetic = " (synthetic items)" if comparison.candidate.task.synthetic else ""
    columns = (Column("items", "count"), *(Column(name, "number") for name in named))
    return Sheet(
        f"{metric.heading}: smallest difference shown with 80 % power, in {unit}{synthetic}", columns, (tuple(rows),)
    )


def sized(effect: float, metric: Metric) -> str:
    """Write an effect in points where the metric is a share."""
    return f"{100 * effect:.3g} points" if metric.percent else f"{effect:.3g}"
