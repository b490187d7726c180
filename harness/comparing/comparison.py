"""Compares finished runs on the items they share: paired, clustered, and honest about seeds.

`docs/statistics.md` says what each figure means, what it assumes and when it is not to be trusted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from harness.comparing.apart import names_of, same_run, settings_apart
from harness.comparing.comparable import check_comparable, check_countable, check_drawn, check_items, other_words
from harness.counting.metrics import HEADLINES, METRICS, Metric, of_slice, primary
from harness.counting.results import TaskResult
from harness.errors import unknown
from harness.protocols import FloatArray
from harness.records.item import PAIRWISE
from harness.stats.intervals import Estimate, correlation_of, leave_one_out, paired, unknown_error
from harness.stats.mcnemar import McNemar, mcnemar
from harness.stats.multiplicity import CORRECTIONS, holm
from harness.stats.power import Design, design_of
from harness.stats.resampling import bca, bootstrap, permutation_p
from harness.stats.sums import Sums

RESAMPLES = 10_000
FEW = 100
"""With fewer clusters than this the measured coverage is stated (`docs/statistics.md`)."""


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline on one metric."""

    metric: Metric
    baseline: float
    candidate: float
    estimate: Estimate
    """Its p is by swaps of whole clusters where each side is one checkpoint, and by the interval's own
    distribution where seeds vary, of which swaps know nothing."""
    clusters: int = 0
    """Clusters that bear on it."""
    level: float = 0.95
    adjusted_p: float | None = None
    """Corrected over the slices, or over the candidates; None where there is no family."""

    @property
    def design(self) -> Design | None:
        """The variance by what could be had more of; None where it is not known."""
        return design_of(self.estimate)

    @property
    def detectable(self) -> float:
        """The smallest true difference that data like these show with 80 % power; NaN where it cannot be told."""
        return self.design.detectable(level=self.level) if self.design else math.nan

    @property
    def gain(self) -> tuple[float, float, float]:
        """Value, low and high, turned so that more is better."""
        value, low, high = self.estimate.value, self.estimate.low, self.estimate.high
        return (-value, -high, -low) if self.metric.lower_is_better else (value, low, high)

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no difference shown`; `not estimable` without an interval."""
        _, low, high = self.gain
        if math.isnan(low):
            return "not estimable"
        return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


@dataclass(frozen=True)
class Ledger:
    """What became of every item and answer of two runs."""

    shared: int
    baseline_only: int
    candidate_only: int
    baseline_unparsed: float
    """Share of the baseline's answers to shared items in which nothing could be read."""
    candidate_unparsed: float
    baseline_left_out: int
    """Shared items that the protocol leaves out of the baseline's first metric, under any seed."""
    candidate_left_out: int


@dataclass(frozen=True)
class Comparison:
    """Two runs compared on one task."""

    baseline: TaskResult
    candidate: TaskResult
    ledger: Ledger
    headline: list[Difference]
    slices: list[Difference]
    mcnemar: McNemar | None
    """On items right in every answer; None where the task has no right and wrong, or seeds vary."""
    correlation: float
    """Pearson's, between the two runs' item scores; NaN where one of them does not vary."""
    bounds: tuple[float, float] | None
    """Of the first difference, over all that answers without a verdict could have been; None if there are none."""
    settings: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """The settings that differ, each with the baseline's value and the candidate's."""
    names: tuple[str, str] = ("baseline", "candidate")
    """What the baseline and the candidate are called, so that all runs of a comparison can be told apart."""
    level: float = 0.95

    def __repr__(self) -> str:
        return f"<Comparison: {self.sentence()}>"

    @property
    def items(self) -> int:
        """Items that both runs have."""
        return self.ledger.shared

    @property
    def unmatched(self) -> int:
        """Items that only one run has."""
        return self.ledger.baseline_only + self.ledger.candidate_only

    @property
    def same_run(self) -> bool:
        """Whether a run is compared with itself."""
        return same_run(self.baseline, self.candidate)

    @property
    def trained(self) -> bool:
        """Whether the candidate was trained."""
        return _trained(self.candidate)

    @property
    def one_seed(self) -> bool:
        """Whether a trained side has one seed, so that the interval speaks of checkpoints, not recipes."""
        return any(_trained(side) and len(side.tallies) == 1 for side in (self.baseline, self.candidate))

    @property
    def called(self) -> str:
        """Name the candidate against the baseline, for a verdict; a lone checkpoint among seeds is called one."""
        seeds = len(self.baseline.tallies), len(self.candidate.tallies)
        told = [
            f"{name}'s one checkpoint" if _trained(side) and len(side.tallies) == 1 < max(seeds) else name
            for name, side in zip(self.names, (self.baseline, self.candidate), strict=True)
        ]
        return " against ".join(reversed(told))

    @property
    def other_words(self) -> bool:
        """Whether the two sides are known to have been asked in different words."""
        return other_words(self.baseline, self.candidate)

    @property
    def per_seed(self) -> list[tuple[int, float, float]]:
        """Seed, baseline and candidate on the first metric; NaN where a side lacks the seed."""
        metric = self.headline[0].metric
        sides = [
            dict(zip(side.tallies, (float(v) for v in side.sums(metric).per_seed), strict=True))
            for side in (self.baseline, self.candidate)
        ]
        seeds = sorted(set(sides[0]) | set(sides[1]))
        return [(seed, sides[0].get(seed, math.nan), sides[1].get(seed, math.nan)) for seed in seeds]

    @property
    def differences(self) -> list[Difference]:
        """All differences, headline metrics first."""
        return [*self.headline, *self.slices]

    def find(self, name: str | None) -> Difference:
        """Find a difference by its metric's name or its slice's; None is the first.

        A metric goes before a slice of the same name.

        Raises:
            HarnessError: if there is none of the name.
        """
        known = {difference.metric.name: difference for difference in (*self.slices, *self.headline)}
        name = name or self.headline[0].metric.name
        if name not in known:
            raise unknown("metric", name, known, "A slice may be named, too.")
        return known[name]

    def sentence(self) -> str:
        """Say the verdict in one sentence."""
        first = self.headline[0]
        names = self.called
        metric = primary(self.candidate.kind)
        scale, digits = (100, 1) if metric.percent else (1, 3)
        of = "points of " if metric.percent else "of "
        size = f"{scale * first.estimate.value:+.{digits}f} {of}{metric.unit}"
        if first.verdict == "not estimable":
            unclustered = self.baseline.unclustered or self.candidate.unclustered
            reason = "no image ids" if unclustered else "too few clusters, or all of them alike"
            return f"{names}: {size}; its interval is not estimable: {reason}."
        interval = f"[{scale * first.estimate.low:+.{digits}f}, {scale * first.estimate.high:+.{digits}f}]"
        p = format_p(first.estimate.p)
        told = f"{100 * self.level:g} % interval {interval}, p {p if p.startswith('<') else f'= {p}'}"
        return f"{names}: {first.verdict}, {size}, {told}."


def format_p(p: float) -> str:
    """Write a p-value, never as zero."""
    if math.isnan(p):
        return "not estimable"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def compare(
    baseline: TaskResult,
    candidate: TaskResult,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    other_prompts: bool = False,
) -> Comparison:
    """Compare two runs of the same task, data and protocol.

    Args:
        baseline: the run compared with.
        candidate: the run compared.
        level: of the intervals.
        resamples: swaps drawn for the permutation test.
        seed: of that draw.
        other_prompts: whether judges asked in different words may be compared.

    Raises:
        HarnessError: naming the first of task, data, protocol, reader, prompt and item that differs.
    """
    check_comparable(baseline, candidate, other_prompts)
    ids = [{item.item_id for item in side.items} for side in (baseline, candidate)]
    shared = ids[0] & ids[1]
    check_drawn(baseline, candidate, shared)
    base, cand = (side.restricted(shared) for side in (baseline, candidate))
    check_items(base, cand)
    kind = candidate.kind
    first, *others = (METRICS[kind][name] for name in HEADLINES[kind])
    check_countable(first, base, cand)
    headline = [_Pair.of(first, base, cand), *_countable(others, base, cand)]
    pairs = [*headline, *_countable([of_slice(kind, name) for name in candidate.slices], base, cand)]
    found, count = _differences(base, cand, pairs, level, resamples, seed), len(headline)
    adjusted = holm([difference.estimate.p for difference in found[count:]])
    names = names_of([baseline, candidate])
    return Comparison(
        baseline,
        candidate,
        _ledger(base, cand, first, len(ids[0] - shared), len(ids[1] - shared)),
        found[:count],
        [replace(d, adjusted_p=p) for d, p in zip(found[count:], adjusted, strict=True)],
        _mcnemar(base, cand),
        correlation_of(_item_scores(base, first), _item_scores(cand, first)),
        _bounds(base, cand),
        settings_apart(baseline.run, candidate.run),
        (names[0], names[1]),
        level,
    )


def compare_many(
    baseline: TaskResult,
    candidates: Sequence[TaskResult],
    correction: str = "holm",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    other_prompts: bool = False,
) -> list[Comparison]:
    """Compare several candidates with one baseline; the first metric's p is corrected over the candidates."""
    found = [compare(baseline, candidate, level, resamples, seed, other_prompts) for candidate in candidates]
    if len(found) < 2:
        return found
    base, *names = names_of([baseline, *candidates])
    adjusted = CORRECTIONS[correction]([comparison.headline[0].estimate.p for comparison in found])
    return [
        replace(one, headline=[replace(one.headline[0], adjusted_p=p), *one.headline[1:]], names=(base, name))
        for one, p, name in zip(found, adjusted, names, strict=True)
    ]


def _differences(
    base: TaskResult, cand: TaskResult, pairs: "Sequence[_Pair]", level: float, resamples: int, seed: int
) -> list[Difference]:
    clusters = base.clusters if cand.clusters is not None else None
    varying = len(base.tallies) > 1 or len(cand.tallies) > 1
    paired_seeds = set(base.tallies) == set(cand.tallies)
    swapped = [math.nan] * len(pairs)
    if clusters is not None and not varying:
        swapped = permutation_p([(pair.base, pair.cand) for pair in pairs], clusters, resamples, seed)
    found = []
    for (metric, b, c), p in zip(pairs, swapped, strict=True):
        values = float(b.per_seed.mean()), float(c.per_seed.mean())
        if clusters is None:
            estimate = unknown_error(values[1] - values[0])
        else:
            estimate = paired(b, c, clusters, level, paired_seeds, metric.scale)
            if not varying:
                estimate = estimate._replace(p=p)
        found.append(Difference(metric, *values, estimate, int((b.counted | c.counted).sum()), level))
    return found


AS_WRONG = {"score": "low", "untied_both": "untied", "best": "best_low"}
"""Where answers without a verdict, or ties, are no wrong ones: the column in which they are."""


def unread_as_wrong(comparison: Comparison, metric: Metric) -> Difference | None:
    """Give the difference in a metric where, on both sides, an answer without a verdict counts as wrong.

    Returns:
        None where the metric is no mean of right and wrong, or counts them so already.
    """
    base, cand = comparison.baseline, comparison.candidate
    tallies = [*base.tallies.values(), *cand.tallies.values()]
    column, strict = metric.columns[-1], AS_WRONG.get(metric.columns[-1])
    if strict is None or any(strict not in tally.columns for tally in tallies):
        return None
    if all(np.array_equal(tally[strict], tally[column], equal_nan=True) for tally in tallies):
        return None
    shared = {item.item_id for item in base.items} & {item.item_id for item in cand.items}
    pair = _Pair.of(metric._replace(columns=(strict,)), base.restricted(shared), cand.restricted(shared))
    return _differences(base.restricted(shared), cand.restricted(shared), [pair], comparison.level, 99, 0)[0]


def bootstrap_interval(
    comparison: Comparison, metric: Metric, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Give the BCa interval of a difference over items, for these checkpoints: a second opinion, it decides nothing."""
    shared = {i.item_id for i in comparison.baseline.items} & {i.item_id for i in comparison.candidate.items}
    sides = [side.restricted(shared) for side in (comparison.baseline, comparison.candidate)]
    clusters = sides[0].clusters
    if clusters is None or sides[1].clusters is None:
        return math.nan, math.nan
    base, cand = (side.sums(metric) for side in sides)
    replicates = np.subtract(*bootstrap([cand, base], clusters, resamples, seed).T)
    left_out = leave_one_out(cand).mean(axis=1) - leave_one_out(base).mean(axis=1)
    return bca(float(cand.per_seed.mean() - base.per_seed.mean()), replicates, left_out, comparison.level)


class _Pair(NamedTuple):
    """What a metric needs of both runs."""

    metric: Metric
    base: Sums
    cand: Sums

    @classmethod
    def of(cls, metric: Metric, base: TaskResult, cand: TaskResult) -> "_Pair":
        return cls(metric, base.sums(metric), cand.sums(metric))


def _countable(metrics: Sequence[Metric], base: TaskResult, cand: TaskResult) -> list[_Pair]:
    """Add up the metrics that both runs have under every seed."""
    pairs = (_Pair.of(metric, base, cand) for metric in metrics)
    return [pair for pair in pairs if not np.isnan([*pair.base.per_seed, *pair.cand.per_seed]).any()]


def _ledger(base: TaskResult, cand: TaskResult, first: Metric, only_base: int, only_cand: int) -> Ledger:
    unparsed = [1 - float(np.mean([np.nanmean(t["read"]) for t in side.tallies.values()])) for side in (base, cand)]
    left_out = [int(np.isnan(_item_scores(side, first)).sum()) for side in (base, cand)]
    return Ledger(len(base.items), only_base, only_cand, unparsed[0], unparsed[1], left_out[0], left_out[1])


def _item_scores(side: TaskResult, metric: Metric) -> FloatArray:
    """Give each item's score averaged over seeds, shape [items]; NaN where a seed leaves it out."""
    columns = [tally[metric.columns[-1]] for tally in side.tallies.values()]
    scores: FloatArray = np.mean([c.mean(axis=1) if c.ndim == 2 else c for c in columns], axis=0)
    return scores


def _mcnemar(base: TaskResult, cand: TaskResult) -> McNemar | None:
    if base.kind not in PAIRWISE or len(base.tallies) > 1 or len(cand.tallies) > 1:
        return None
    return mcnemar(*(next(iter(side.tallies.values()))["score"] for side in (base, cand)))


def _bounds(base: TaskResult, cand: TaskResult) -> tuple[float, float] | None:
    """Bound the difference over everything that unparsed answers could have been (Manski 2003)."""
    first = primary(base.kind)
    if "low" not in next(iter(base.tallies.values())).columns:
        return None
    extremes = []
    for side in (base, cand):
        for bound in ("low", "high"):
            extremes.append(float(side.sums(first._replace(columns=(bound,))).per_seed.mean()))
    base_low, base_high, cand_low, cand_high = extremes
    low, high = cand_low - base_high, cand_high - base_low
    return (low, high) if high - low >= 1e-3 else None


def _trained(side: TaskResult) -> bool:
    return bool({"sft", "reward"} & side.run.config.keys())
