"""The figures of a page: differences, a run's own metrics, position bias, and how far P(verdict) can be believed.

Every one is the figure that `harness compare` prints.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from harness.comparing.comparison import Comparison
from harness.comparing.findings import difference_text, setting
from harness.counting.metrics import HEADLINES, METRICS, Metric, of_slice, primary
from harness.counting.results import TaskResult
from harness.records import Item
from harness.records.item import PAIRWISE
from harness.sheets.figures import points
from harness.sheets.sheet import Cell, Column, Sheet, count, text
from harness.show.report.model import (
    Bin,
    Intervals,
    Line,
    Mark,
    Reliability,
    Side,
)
from harness.stats.intervals import Estimate, single
from harness.stats.sums import Clusters, Sums


def _scaled(estimate: Estimate, metric: Metric, role: str, shown: str) -> Mark:
    scale = 100 if metric.percent else 1
    return Mark(role, scale * estimate.value, scale * estimate.low, scale * estimate.high, shown)


def differences_drawn(comparison: Comparison) -> Intervals:
    """Draw up the differences with their intervals."""
    first = primary(comparison.candidate.kind)
    lines = []
    for row in comparison.differences:
        mark = _scaled(row.estimate, row.metric, "candidate", difference_text(row))
        lines.append(Line(row.metric.heading, row in comparison.headline, [mark]))
    base, cand = comparison.names
    better = "left" if first.lower_is_better else "right"
    return Intervals(
        f"{cand} minus {base}, with 95 % intervals",
        f"To the {better} of the line at zero, {cand} is better.",
        lines,
        0,
        "no difference",
        "points" if first.percent else first.unit,
    )


def _figures_of(result: TaskResult) -> list[tuple[Metric, Estimate]]:
    """Estimate what a run's page lists: headline metrics, then slices."""
    metrics = [METRICS[result.kind][name] for name in HEADLINES[result.kind]]
    metrics += [of_slice(result.kind, name) for name in result.slices]
    found = [(metric, result.estimate(metric)) for metric in metrics]
    return [(metric, estimate) for metric, estimate in found if not math.isnan(estimate.value)]


def figures_drawn(side: Side) -> Intervals:
    """Draw up a run's own figures with their intervals."""
    result, first = side.result, primary(side.result.kind)
    lines = []
    for metric, found in _figures_of(result):
        shown = points(found.value, metric)
        if not math.isnan(found.low):
            shown += f" [{points(found.low, metric)}, {points(found.high, metric)}]"
        lines.append(Line(metric.heading, metric.slice is None, [_scaled(found, metric, "candidate", shown)]))
    chance = {"pair": 50.0, "pair-sets": 50.0, "score": 0.0}.get(result.kind)
    if result.kind == "batch":
        chance = result.estimate(METRICS["batch"]["random"]).value
    about = "Lower is better." if first.lower_is_better else ""
    if "consistency" in HEADLINES[result.kind]:
        about += "Consistency: both orders prefer the same response."
    return Intervals("Figures, with 95 % intervals", about, lines, chance, "chance", "%" if first.percent else "")


def figures_sheet(side: Side) -> Sheet:
    """Make the table of a run's own figures."""
    of = [item.slice for item in side.result.items]
    groups: tuple[list[tuple[Cell, ...]], ...] = ([], [])
    for metric, found in _figures_of(side.result):
        ends = [points(x, metric) for x in (found.low, found.high)]
        shown = "not estimable" if math.isnan(found.low) else f"[{', '.join(ends)}]"
        asked = count(len(of) if metric.slice is None else of.count(metric.slice))
        cells = (text(metric.heading), asked, Cell(found.value, points(found.value, metric)), text(shown))
        groups[metric.slice is not None].append(cells)
    synthetic = "synthetic " if side.result.task.synthetic else ""
    columns = (Column("metric"), Column("items", "count"), Column("figure", "number"), Column("95 %"))
    return Sheet(f"{side.name}, over {synthetic}items", columns, tuple(tuple(group) for group in groups if group))


def configs(comparison: Comparison) -> list[tuple[str, str, str]]:
    """List the settings that differ: key, baseline's, candidate's."""
    return [(key, setting(base), setting(cand)) for key, (base, cand) in comparison.settings.items()]


def position_bias(sides: Sequence[Side]) -> Intervals | None:
    """Draw how often the response shown first wins, over all items and by slice; None where no verdict was read."""
    result = sides[0].result
    if result.kind not in PAIRWISE:
        return None
    lines = []
    for name, metric in _by_slice(METRICS[result.kind]["first"], result.slices):
        found = [(side.role, side.result.estimate(metric)) for side in sides]
        marks = [_scaled(estimate, metric, role, points(estimate.value)) for role, estimate in found]
        if any(not math.isnan(mark.value) for mark in marks):
            lines.append(Line(name, metric.slice is None, marks))
    if not lines:
        return None
    shown = "Chance draws the orders" if result.protocol.drawn else "Every response is shown first as often as second"
    return Intervals(
        "Share of verdicts for the response shown first",
        f"{shown}, so a judge without position bias is at 50 %.",
        lines,
        50,
        "no bias",
        "%",
    )


def _by_slice(metric: Metric, slices: Sequence[str]) -> Iterator[tuple[str, Metric]]:
    yield "all items", metric
    for name in slices:
        yield name, metric._replace(slice=name)


def position_rows(sides: Sequence[Side]) -> list[tuple[str, bool, list[list[str]]]]:
    """List, over all items and by slice, the share shown first, consistency and coverage of each side."""
    result = sides[0].result
    if result.kind not in PAIRWISE:
        return []
    metrics = [METRICS[result.kind][name] for name in ("first", "consistency", "coverage")]
    rows = []
    for name in (None, *result.slices):
        figures = [
            [points(side.result.estimate(metric._replace(slice=name)).value) for metric in metrics] for side in sides
        ]
        rows.append((name or "all items", name is None, figures))
    return rows


def position_said(sides: Sequence[Side]) -> list[str]:
    """Say of each side whether its interval excludes 50 %, and of which slices' it does."""
    result = sides[0].result
    if result.kind not in PAIRWISE:
        return []
    metrics, told = list(_by_slice(METRICS[result.kind]["first"], result.slices)), []
    for side in sides:
        (_, over_all), *by_slice = [(name, side.result.estimate(metric)) for name, metric in metrics]
        if math.isnan(over_all.low):
            continue
        shown = f"{points(over_all.value)} %, 95 % interval [{points(over_all.low)}, {points(over_all.high)}]"
        if _excludes_half(over_all):
            place = "first" if over_all.value > 0.5 else "second"
            sentence = f"{side.name} has a position bias: it prefers the response shown {place} ({shown})."
        else:
            sentence = f"No position bias of {side.name} is shown over all items ({shown})."
        if (apart := [name for name, found in by_slice if _excludes_half(found)]) and len(by_slice) > 1:
            sentence += (
                f" By slice, its interval excludes 50 % in {' and '.join(apart)}; that is not corrected for looking at "
                f"{len(by_slice)} slices."
            )
        told.append(sentence)
    return told


def _excludes_half(found: Estimate) -> bool:
    return found.low > 0.5 or found.high < 0.5


BINS = 20
"""Bins of P(verdict) in [0, 1]; a verdict has mostly one above one half."""


def reliability_of(side: Side) -> Reliability | None:
    """Set P(verdict) against how often the verdict is right; items on which people tie are left out."""
    items = {item.item_id: item for item in side.result.items}
    told = [
        (j.p_first if j.reading == "first" else 1 - j.p_first, j.chosen == items[j.item_id].label, j.item_id)
        for j in side.judgments
        if j.p_first is not None and j.chosen is not None and items[j.item_id].label in (0, 1)
    ]
    if side.result.kind not in PAIRWISE or not told:
        return None
    grouped: dict[int, list[tuple[float, bool, str]]] = defaultdict(list)
    for one in told:
        grouped[min(int(one[0] * BINS), BINS - 1)].append(one)
    bins = []
    for _, group in sorted(grouped.items()):
        right = float(np.mean([one[1] for one in group]))
        low, high = _interval_of([one[1] for one in group], [items[one[2]] for one in group])
        bins.append(Bin(len(group), float(np.mean([one[0] for one in group])), right, low, high))
    error = sum(b.judgments * abs(b.right - b.stated) for b in bins) / len(told)
    return Reliability(side.role, side.name, bins, error, float(np.mean([(p - right) ** 2 for p, right, _ in told])))


def _interval_of(right: Sequence[bool], items: Sequence[Item]) -> tuple[float, float]:
    """Return the interval of a share of judgments, which go together where their items share an image."""
    names = [item.cluster_id for item in items]
    if None in names:
        return math.nan, math.nan
    clusters = Clusters.of(names, [item.slice for item in items])
    counts = [np.bincount(clusters.index, weights=weights) for weights in (np.ones(len(right)), right)]
    table = np.asarray(np.stack(counts, -1), float)[:, None, None, None]
    found = single(Sums(table), clusters, "share")
    return found.low, found.high
