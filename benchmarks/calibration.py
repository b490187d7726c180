"""Whether intervals cover and tests hold their level: simulated runs with known truth.

    .venv/bin/python benchmarks/calibration.py --write          (benchmarks/calibration.md; about an hour)
    .venv/bin/python benchmarks/calibration.py --sims 200       (a look)

Two judges answer the same items. An answer is right if a normal score stays below a threshold; the score is made
of the cluster's and the item's difficulty (shared by both judges as far as they correlate), of what is the
judge's own, of the training seed's, and of the single answer's chance. So each judge's accuracy in each slice is
known exactly. Nothing here is fitted to any benchmark's items.
"""

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from harness.counting.metrics import METRICS, Metric, of_slice, sums
from harness.protocols import Tally
from harness.stats.intervals import leave_one_out, paired, single
from harness.stats.resampling import bca, bootstrap, permutation_p
from harness.stats.sums import Clusters, FloatArray, Sums

SHARES = (0.146, 0.600, 0.254)
"""The slices' shares of the clusters: VL-RewardBench's first release has 183, 749 and 318 items."""
SPREAD = (-0.06, 0.03, 0.0)
"""What is added to the accuracy in each slice, so that macro and pooled accuracy differ."""
RESAMPLES = 399
BOOTSTRAPS, FEW_ITEMS = 599, 60
"""Resamples of the BCa bootstrap, tried beside where items are few or nearly all right, and for correlations."""
ANSWERS = 0.3
"""Share of a score's variance that is the single answer's chance."""


@dataclass(frozen=True)
class Setting:
    """One simulated comparison."""

    items: int = 1250
    accuracy: float = 0.8
    gap: float = 0.0
    """The candidate's accuracy less the baseline's, in every slice."""
    correlation: float = 0.5
    """Of the two judges' scores."""
    seeds: int = 1
    seed_points: float = 0.0
    """Standard deviation of the accuracy over training seeds, in points."""
    seed_share: float = 0.2
    """Share of a judge's own score that changes with its training seed."""
    unparsed: float = 0.0
    repeats: int = 1
    """Pairs of answers an item (both orders)."""
    largest: int = 6
    """Clusters have 1 to so many items, evenly."""

    @property
    def name(self) -> str:
        """What differs from the defaults, in words."""
        said = [f"n = {self.items}", f"accuracy {self.accuracy:g}"]
        said += [f"correlation {self.correlation:g}"] if self.correlation != 0.5 else []
        said += [f"gap {100 * self.gap:g} points"] if self.gap else []
        said += [f"{self.seeds} seeds, SD {self.seed_points:g} points"] if self.seeds > 1 else []
        said += [f"one seed, SD {self.seed_points:g} points"] if self.seeds == 1 and self.seed_points else []
        said += [f"{100 * self.unparsed:g} % unparsed"] if self.unparsed else []
        said += [f"{self.repeats} repeats"] if self.repeats > 1 else []
        said += (
            [] if self.largest == 6 else ["no clusters" if self.largest == 1 else f"clusters of 1 to {self.largest}"]
        )
        return ", ".join(said)


@dataclass(frozen=True)
class Graded:
    """Grades correlated with people's: sources of equal size, Pearson's r in each."""

    sources: int = 14
    items: int = 20
    """Items a source."""
    r: float = 0.5
    """Of the scores behind the grades 1 to 5; that of the grades is a little lower."""
    seeds: int = 1
    seed_points: float = 0.0
    largest: int = 3

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"{self.sources} source{'s' * (self.sources > 1)} of {self.items} items, r {self.r:g}"


class Check(NamedTuple):
    """One interval or test of one simulation."""

    figure: str
    """Which figure, of one run or of the difference."""
    method: str
    covered: bool
    """Not looked at where the width is NaN: an interval that is called not estimable covers nothing."""
    width: float
    rejected: bool
    """Whether the hypothesis of no difference was rejected at 5 %."""


def layout(setting: Setting) -> tuple[Clusters, Tally]:
    """Draw clusters once for a setting: their sizes, and each one's slice."""
    draw = np.random.default_rng(7)
    sizes: list[int] = []
    while sum(sizes) < setting.items:
        sizes.append(int(draw.integers(1, setting.largest + 1)))
    sizes[-1] -= sum(sizes) - setting.items
    slice_of = np.searchsorted(np.cumsum(SHARES)[:-1], (np.arange(len(sizes)) + 0.5) / len(sizes))
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    slices = [f"slice {'abc'[slice_of[c]]}" for c in cluster]
    names: list[str | None] = [str(c) for c in cluster]
    return Clusters.of(names, slices), Tally([str(i) for i in range(setting.items)], slices, names, {})


def simulate(setting: Setting, frame: Tally, draw: np.random.Generator) -> list[list[Tally]]:
    """Draw baseline and candidate: one tally a seed."""
    count, cluster = len(frame.item_ids), np.array(frame.clusters, dtype=int)
    group = frame.slice_index[1]
    clusters = int(cluster.max()) + 1

    def difficulty() -> FloatArray:
        drawn: FloatArray = math.sqrt(0.3) * draw.normal(size=clusters)[cluster]
        drawn += math.sqrt(0.7) * draw.normal(size=count)
        return drawn

    shared, sides = difficulty(), []
    for gap in (0.0, setting.gap):
        threshold = ndtri(setting.accuracy + np.array(SPREAD) + gap)[group]
        sway = setting.seed_points / 100 / math.exp(-(ndtri(setting.accuracy) ** 2) / 2) * math.sqrt(2 * math.pi)
        own, tallies = difficulty(), []
        for _ in range(setting.seeds):
            mine = math.sqrt(1 - setting.seed_share) * own + math.sqrt(setting.seed_share) * draw.normal(size=count)
            score = math.sqrt(setting.correlation) * shared + math.sqrt(1 - setting.correlation) * mine
            # a seed moves the threshold; widening it keeps the accuracy over seeds exact
            moved = threshold * math.sqrt(1 + sway**2) + sway * draw.normal()
            shape = (2 * setting.repeats, count)
            answers = math.sqrt(1 - ANSWERS) * score + math.sqrt(ANSWERS) * draw.normal(size=shape)
            right = (answers < moved) & (draw.random(shape) >= setting.unparsed)
            consistent = (right == right[0]).all(axis=0)
            columns = {"score": right.mean(axis=0), "consistent": consistent.astype(float)}
            tallies.append(replace(frame, columns=columns))
        sides.append(tallies)
    return sides


def truths(setting: Setting, frame: Tally) -> dict[str, tuple[float, float]]:
    """Give each figure's true value for the candidate, and the true difference."""
    parsed = 1 - setting.unparsed
    by_slice = parsed * (setting.accuracy + np.array(SPREAD) + setting.gap)
    sizes = np.bincount(frame.slice_index[1])
    accuracy = float(by_slice @ sizes / sizes.sum())
    difference = parsed * setting.gap
    named = {"accuracy": accuracy, "macro": float(by_slice.mean())}
    named |= {f"slice {letter}": float(by_slice[place]) for place, letter in enumerate("ab")}
    return {name: (value, difference) for name, value in named.items()}


def _metrics() -> dict[str, Metric]:
    return {
        "accuracy": METRICS["pair"]["accuracy"],
        "macro": METRICS["pair"]["macro"],
        "slice a": of_slice("pair", "slice a"),
        "slice b": of_slice("pair", "slice b"),
    }


def checks(setting: Setting, frame: Tally, clusters: Clusters, draw: np.random.Generator, seed: int) -> Iterator[Check]:
    """Simulate once and check every interval and test, ours and the naive ones."""
    base, cand = simulate(setting, frame, draw)
    metrics, truth = _metrics(), truths(setting, frame)
    pairs = [(sums(metric, base, clusters), sums(metric, cand, clusters)) for metric in metrics.values()]
    swapped = [math.nan] * len(pairs)
    if setting.seeds == 1:
        swapped = permutation_p(pairs, clusters, RESAMPLES, seed)
    for (name, metric), (b, c), p in zip(metrics.items(), pairs, swapped, strict=True):
        value, difference = truth[name]
        one = single(c, clusters, metric.scale)
        yield Check(name, "interval", one.low <= value <= one.high, one.high - one.low, False)
        two = paired(b, c, clusters)
        decided = p if setting.seeds == 1 else two.p
        inside = two.low <= difference <= two.high
        outside = two.low > 0 or two.high < 0
        yield Check(f"difference in {name}", "interval", inside, two.high - two.low, outside)
        yield Check(f"difference in {name}", "p", True, 0.0, decided <= 0.05)
        if setting.seeds > 1 and name == "accuracy":
            half = float(stdtrit(two.df, 0.975)) * two.error
            covered = abs(two.value - difference) <= half
            yield Check(f"difference in {name}", "beside: Satterthwaite's t", covered, 2 * half, abs(two.value) > half)
        if (setting.items <= FEW_ITEMS or setting.accuracy == 0.95) and name in ("accuracy", "macro"):
            yield bootstrapped(name, c, None, value, clusters, seed)
            yield bootstrapped(f"difference in {name}", c, b, difference, clusters, seed)
    yield from naive(base, cand, truth["accuracy"])


def bootstrapped(figure: str, one: Sums, less: Sums | None, true: float, clusters: Clusters, seed: int) -> Check:
    """Check the BCa interval of a figure, or of its difference from another run's."""
    replicates = bootstrap([one, less] if less else [one], clusters, BOOTSTRAPS, seed)
    left_out, middle = leave_one_out(one)[:, 0], float(one.per_seed[0])
    if less:
        left_out, middle = left_out - leave_one_out(less)[:, 0], middle - float(less.per_seed[0])
    low, high = bca(middle, replicates[:, 0] - (replicates[:, 1] if less else 0), left_out)
    return Check(figure, "beside: BCa", low <= true <= high, high - low, less is not None and not low <= 0 <= high)


def naive(base: list[Tally], cand: list[Tally], truth: tuple[float, float]) -> Iterator[Check]:
    """Do as the peers do: an unpaired z, and a paired t that knows of neither clusters nor seeds."""
    b, c = (np.mean([tally["score"] for tally in side], axis=0) for side in (base, cand))
    value, difference = truth
    errors = [x.std(ddof=1) / math.sqrt(len(x)) for x in (b, c)]
    for figure, method, middle, error, true in (
        ("accuracy", "beside: CLT", c.mean(), errors[1], value),
        ("difference in accuracy", "beside: unpaired z", c.mean() - b.mean(), math.hypot(*errors), difference),
        ("difference in accuracy", "beside: paired t", (c - b).mean(), (c - b).std(ddof=1) / len(b) ** 0.5, difference),
    ):  # fmt: skip
        low, high = middle - 1.96 * error, middle + 1.96 * error
        yield Check(figure, method, low <= true <= high, high - low, figure != "accuracy" and not low <= 0 <= high)


def _grades(scores: np.ndarray) -> FloatArray:
    return np.clip(np.round(3 + 1.2 * scores), 1, 5)


def graded_truth(setting: Graded) -> float:
    """Compute the grades' correlation from the normal scores' by the cells' probabilities."""
    draw = np.random.default_rng(11)
    total = []
    for _ in range(20):
        x = draw.normal(size=200_000)
        y = setting.r * x + math.sqrt(1 - setting.r**2) * draw.normal(size=x.size)
        total.append(np.corrcoef(_grades(x), _grades(y))[0, 1])
    return float(np.mean(total))


def graded_checks(setting: Graded, truth: float, draw: np.random.Generator, seed: int) -> Iterator[Check]:
    """Simulate two graders of the same items, equally good, and check the intervals."""
    cluster: list[str | None] = []
    slices: list[str] = []
    for source in range(setting.sources):
        here: list[int] = []
        while len(here) < setting.items:
            here += [len(cluster) + len(here)] * int(draw.integers(1, setting.largest + 1))
        cluster += [f"{source}-{c}" for c in here[: setting.items]]
        slices += [f"source {source:02d}"] * setting.items
    clusters = Clusters.of(cluster, slices)
    count = len(cluster)

    def noise() -> FloatArray:
        return math.sqrt(0.3) * draw.normal(size=len(clusters))[clusters.index] + math.sqrt(0.7) * draw.normal(
            size=count
        )

    people, common = noise(), noise()
    sides = []
    for _ in range(2):
        own = math.sqrt(0.5) * common + math.sqrt(0.5) * noise()
        grade = _grades(setting.r * people + math.sqrt(1 - setting.r**2) * own)
        columns = {"human": _grades(people), "grade": grade[:, None]}
        sides.append([Tally([str(i) for i in range(count)], slices, list(cluster), columns)])
    metric = METRICS["score"]["macro"]
    b, c = (sums(metric, side, clusters) for side in sides)
    one, two = single(c, clusters, "correlation"), paired(b, c, clusters)
    figure = "mean r over sources" if setting.sources > 1 else "r"
    yield Check(figure, "interval", one.low <= truth <= one.high, one.high - one.low, False)
    yield Check(
        f"difference in {figure}",
        "interval",
        two.low <= 0 <= two.high,
        two.high - two.low,
        not two.low <= 0 <= two.high,
    )
    p = permutation_p([(b, c)], clusters, RESAMPLES, seed)[0]
    yield Check(f"difference in {figure}", "p", True, 0.0, p <= 0.05)
    yield bootstrapped(figure, c, None, truth, clusters, seed)
    yield bootstrapped(f"difference in {figure}", c, b, 0.0, clusters, seed)
    r = np.mean(
        [
            np.corrcoef(sides[1][0]["human"][g], sides[1][0]["grade"][g, 0])[0, 1]
            for g in np.split(np.arange(count), setting.sources)
        ]
    )
    z, error = math.atanh(r), 1 / math.sqrt(count - 3 * setting.sources)
    low, high = math.tanh(z - 1.96 * error), math.tanh(z + 1.96 * error)
    yield Check(figure, "beside: Fisher's z", low <= truth <= high, high - low, False)


BASE = Setting()
PAIRS = [
    *(Setting(items, accuracy) for items in (60, 300, 1250) for accuracy in (0.3, 0.6, 0.8, 0.95)),
    *(Setting(items, correlation=c) for items in (300, 1250) for c in (0.0, 0.35, 0.7)),
    *(Setting(items, gap=0.03) for items in (300, 1250)),
    *(Setting(items, unparsed=0.1) for items in (300, 1250)),
    Setting(repeats=5),
    Setting(largest=1),
    Setting(seed_points=1.0),
    *(Setting(n, seeds=k, seed_points=sd) for n in (300, 1250) for k in (3, 5) for sd in (0.0, 1.0, 3.0)),
    *(Setting(seeds=k, seed_points=6.0) for k in (3, 5)),
    Setting(seeds=5, seed_points=1.0, gap=0.03),
    Setting(seeds=5, seed_points=1.0, unparsed=0.1, accuracy=0.6),
]  # fmt: skip
GRADES = [
    *(Graded(r=r) for r in (0.3, 0.6, 0.9)),
    *(Graded(1, items, r, largest=6) for items in (20, 60, 400) for r in (0.3, 0.8)),
]
SETTINGS: list[Setting | Graded] = [*PAIRS, *GRADES]
BAND = (0.935, 0.965)


class Row(NamedTuple):
    """What a figure's interval or test did over all simulations of a setting."""

    setting: Setting | Graded
    clusters: int
    """That bear on the figure; of a mean over slices, those of the smallest slice."""
    figure: str
    method: str
    sims: int
    told: float
    """Share of the simulations in which the interval was estimable."""
    covered: float
    width: float
    rejected: float

    @property
    def error(self) -> float:
        """Monte-Carlo error of the rejections, or of the coverage."""
        share = self.rejected if self.method == "p" else self.covered
        return math.sqrt(share * (1 - share) / self.sims)


def calibrate(setting: Setting | Graded, sims: int, seed: int = 0) -> list[Row]:
    """Simulate a setting and count."""
    draw = np.random.default_rng([seed, SETTINGS.index(setting) if setting in SETTINGS else 0])
    found: dict[tuple[str, str], list[Check]] = {}
    if isinstance(setting, Setting):
        clusters, frame = layout(setting)
        sizes = [len(set(np.array(frame.clusters)[frame.slice_index[1] == k])) for k in range(3)]
        bearing = {"slice a": sizes[0], "slice b": sizes[1], "macro": min(sizes)}
        rounds = (checks(setting, frame, clusters, draw, k) for k in range(sims))
        total = len(clusters)
    else:
        truth = graded_truth(setting)
        bearing, total = {}, round(setting.items / ((1 + setting.largest) / 2))
        rounds = (graded_checks(setting, truth, draw, k) for k in range(sims))
    for one in rounds:
        for check in one:
            found.setdefault((check.figure, check.method), []).append(check)
    rows = []
    for (figure, method), many in found.items():
        counted = next((count for name, count in bearing.items() if name in figure), total)
        told = [check for check in many if not math.isnan(check.width)]
        covered, width = (float(np.mean([getattr(c, field) for c in told])) for field in ("covered", "width"))
        rejected = float(np.mean([check.rejected for check in many]))
        rows.append(Row(setting, counted, figure, method, len(many), len(told) / len(many), covered, width, rejected))
    return rows


def report(rows: list[Row]) -> str:
    """Write the tables."""
    text = ["## Coverage of the 95 % intervals", ""]
    text += ["In percent of the intervals that were estimable, with the mean width; out of 93.5 to 96.5 in bold.", ""]
    text += ["| setting | figure | clusters | covered | width | not estimable | beside it: the peers' ways, and BCa |"]
    text += ["| --- | --- | ---: | ---: | ---: | ---: | --- |"]
    for row in (row for row in rows if row.method == "interval"):
        others = [f"{r.method.removeprefix('beside: ')} {_bold(r)}" for r in _beside(row, rows)]
        cells = [row.setting.name, row.figure, row.clusters, _bold(row), f"{row.width:.3f}"]
        cells += [f"{100 * (1 - row.told):.1f}" if row.told < 1 else "", ", ".join(others)]
        text.append(f"| {' | '.join(map(str, cells))} |")
    text += ["", "## Rejections at 5 %", "", "Type I error where the gap is 0, power where it is not; in percent.", ""]
    text += ["| setting | figure | clusters | p | interval without 0 | beside it |"]
    text += ["| --- | --- | ---: | ---: | ---: | --- |"]
    for row in (row for row in rows if row.method == "p"):
        interval = next(r for r in rows if r[:3] == row[:3] and r.method == "interval")
        others = [f"{r.method.removeprefix('beside: ')} {100 * r.rejected:.1f}" for r in _beside(row, rows)]
        cells = [row.setting.name, row.figure, row.clusters, f"{100 * row.rejected:.1f}"]
        cells += [f"{100 * interval.rejected:.1f}", ", ".join(others)]
        text.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(text) + "\n"


def _beside(row: Row, rows: list[Row]) -> list[Row]:
    return [r for r in rows if r[:3] == row[:3] and r.method.startswith("beside")]


def _bold(row: Row) -> str:
    inside = BAND[0] <= row.covered <= BAND[1]
    return f"{100 * row.covered:.1f}" if inside else f"**{100 * row.covered:.1f}**"


def summary(rows: list[Row]) -> list[str]:
    """Say in figures what the tables show; the promise is for 100 clusters or more."""
    known = [row for row in rows if not _checkpoints_only(row.setting)]
    told = []
    for words, low, high in (("100 clusters or more", 100, 10**9), ("10 to 99", 10, 100), ("fewer", 0, 10)):
        covered = [r.covered for r in known if r.method == "interval" and low <= r.clusters < high]
        if covered:
            span = f"{100 * min(covered):.1f} to {100 * max(covered):.1f} %"
            told.append(f"- Coverage with {words} ({len(covered)} intervals): {span}.")
    null = [r for r in known if r.method == "p" and r.clusters >= 100 and not getattr(r.setting, "gap", 0)]
    if null:
        bound = 0.05 + float(ndtri(1 - 0.05 / len(null))) * math.sqrt(0.05 * 0.95 / null[0].sims)
        told.append(
            f"- Type I error of the deciding p with 100 clusters or more ({len(null)} tests): at most "
            f"{100 * max(r.rejected for r in null):.1f} %; 5 % and Monte-Carlo error, simultaneously, is "
            f"{100 * bound:.1f} %."
        )
    return told


def _checkpoints_only(setting: Setting | Graded) -> bool:
    """Whether one seed stands for a recipe whose seeds vary: of that no interval can know."""
    return setting.seeds == 1 and setting.seed_points > 0


def main() -> None:
    """Simulate every setting and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=4000, help="simulations a setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", help="settings whose name contains this")
    parser.add_argument("--write", action="store_true", help="write benchmarks/calibration.md")
    options = parser.parse_args()
    chosen = [setting for setting in SETTINGS if not options.only or options.only in setting.name]
    rows, started = list[Row](), time.time()
    with ProcessPoolExecutor(options.workers) as pool:
        runs = [pool.submit(calibrate, setting, options.sims, options.seed) for setting in chosen]
        for setting, run in zip(chosen, runs, strict=True):
            rows += run.result()
            print(f"{time.time() - started:6.0f} s  {setting.name}", flush=True)
    told = "\n".join(summary(rows))
    print(report(rows) + "\n" + told)
    if options.write:
        head = (
            "# Calibration of intervals and tests, on simulated runs\n\n"
            f"`benchmarks/calibration.py --sims {options.sims} --seed {options.seed} --write`: {options.sims} "
            "simulations a setting; the Monte-Carlo error of a coverage of 95 % is"
            f" {100 * math.sqrt(0.0475 / options.sims):.2f} points.\n\n"
        )
        path = Path(__file__).with_suffix(".md")
        path.write_text(head + told + "\n\n" + report(rows), encoding="utf-8")
        print(f"written: {path.name}")


if __name__ == "__main__":
    main()
