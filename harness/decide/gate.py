"""Turns a comparison into one verdict and one exit code: is the candidate fit to take the baseline's place?

The rule is about the interval [L, U] of candidate − baseline, turned round where lower is better, and a
margin m in the metric's own unit (0.02 of a share is two points):

| asked | 0 pass | 1 | 3 inconclusive |
| --- | --- | --- | --- |
| not worse (default) | L > −m | regression: U < −m | otherwise |
| improvement | L > 0 | no improvement: U ≤ 0 | otherwise |

A pass with U < 0 is worse, but within the margin, and says so. An interval that cannot be estimated is
inconclusive. Source: non-inferiority testing, as in ICH E9 (1998), section 3.3.2.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from harness.comparing.comparison import Comparison, Difference, unread_as_wrong
from harness.comparing.power import about, design, settle
from harness.decide.trust import MOST_LEFT_OUT, left_out, refuse_untrusted
from harness.errors import ExitCode, HarnessError
from harness.texts import harmless


class Verdict(StrEnum):
    """What the gate says; `none` where there was nothing to judge."""

    PASS = "pass"  # noqa: S105  (a verdict)
    REGRESSION = "regression"
    NO_IMPROVEMENT = "no improvement"
    INCONCLUSIVE = "inconclusive"
    NONE = "none"

    @property
    def code(self) -> ExitCode:
        """The exit code of a verdict."""
        return {
            Verdict.PASS: ExitCode.OK,
            Verdict.REGRESSION: ExitCode.REGRESSION,
            Verdict.NO_IMPROVEMENT: ExitCode.REGRESSION,
            Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
        }[self]


@dataclass(frozen=True)
class Terms:
    """What is asked of the candidate."""

    margin: float = 0.02
    """How much worse is still let through, in the metric's own unit; no part of `improvement`."""
    improvement: bool = False
    alpha: float = 0.05
    """One minus the level of the two-sided interval."""
    metric: str | None = None
    """A headline metric or a slice; None for the task's primary metric."""
    same: bool = False
    """Whether the two may be one run, or have given the same answers."""
    imported: bool = False
    """Whether the candidate's judgments may have been made elsewhere."""

    @property
    def threshold(self) -> float:
        """The difference that the interval is held against."""
        return 0.0 if self.improvement else -self.margin


@dataclass(frozen=True)
class Ruling:
    """One verdict, one exit code, and why."""

    verdict: Verdict
    code: ExitCode
    lines: tuple[str, ...]
    """The verdict with its figures, why by the rule, and what to do next; a single line where nothing was ruled."""
    terms: Terms
    comparison: Comparison | None = None
    decisive: Difference | None = None
    """The difference that decided."""


def rule(low: float, high: float, terms: Terms) -> Verdict:
    """Give the verdict on the interval [`low`, `high`] of a gain, where more is better; NaN is inconclusive."""
    if low > terms.threshold:
        return Verdict.PASS
    if terms.improvement:
        return Verdict.NO_IMPROVEMENT if high <= 0 else Verdict.INCONCLUSIVE
    return Verdict.REGRESSION if high < terms.threshold else Verdict.INCONCLUSIVE


def decide(comparison: Comparison, terms: Terms) -> Ruling:
    """Rule on a comparison.

    Raises:
        HarnessError: if no verdict can rest on the candidate's files (`harness.decide.trust`), the metric is none of
            the comparison's, or the margin lets everything through.
    """
    refuse_untrusted(comparison, terms.same, terms.imported)
    decisive = comparison.find(terms.metric)
    if decisive.metric.percent and terms.margin >= 1:
        raise HarnessError(
            f"--margin {terms.margin:g} lets everything through: {decisive.metric.name} is a share.",
            "Write 0.02 for two points.",
        )
    _, low, high = decisive.gain
    verdict, doubt = rule(low, high, terms), ""
    if verdict is Verdict.PASS and (doubt := _doubt(comparison, decisive, terms)):
        verdict = Verdict.INCONCLUSIVE
    words = _Words(comparison, decisive, verdict, terms, doubt)
    return Ruling(verdict, verdict.code, (words.what(), words.why(), words.next()), terms, comparison, decisive)


def _doubt(comparison: Comparison, decisive: Difference, terms: Terms) -> str:
    """Say why a pass would rest on what was left out; empty where it does not.

    A judge that says nothing where it is unsure must not gain by it: a pass has to hold, too, where an answer without
    a verdict counts as wrong, on both sides alike.
    """
    strict = unread_as_wrong(comparison, decisive.metric)
    if strict is not None:
        if rule(*strict.gain[1:], terms) is Verdict.PASS:
            return ""
        low, high = (100 * end for end in (strict.estimate.low, strict.estimate.high))
        return f"Counted as wrong, answers without a verdict make it [{low:+.1f}, {high:+.1f}]"
    if (share := left_out(comparison)) > MOST_LEFT_OUT:
        return f"The candidate leaves out {100 * share:.1f} % more than the baseline"
    return ""


def no_ruling(error: HarnessError, terms: Terms) -> Ruling:
    """Say why nothing was ruled, so that the report of an earlier ruling never stays in its place."""
    return Ruling(Verdict.NONE, error.exit_code, (f"NO RULING: {harmless(str(error))}",), terms)


@dataclass(frozen=True)
class _Words:
    """The three lines of a ruling."""

    comparison: Comparison
    decisive: Difference
    verdict: Verdict
    terms: Terms
    doubt: str = ""
    """Why a pass was not given, where the interval alone would have given it."""

    def what(self) -> str:
        """Say the verdict, the difference, its interval and what was asked."""
        metric, got = self.decisive.metric, self.decisive.estimate
        cand = self.comparison.candidate
        names = self.comparison.called
        interval = (
            "interval not estimable"
            if math.isnan(got.error)
            else f"{100 * self.comparison.level:g} % interval [{self.figure(got.low)}, {self.figure(got.high)}]"
        )
        told = [
            f"{names}, {metric.name} {self.figure(got.value)}{' points' if metric.percent else ''}",
            interval,
            "improvement required" if self.terms.improvement else f"margin {self.figure(self.terms.margin, '')}",
            *(["lower is better"] if metric.lower_is_better else []),
            f"paired over {self.comparison.items}{self.of_all()} {'synthetic ' if cand.task.synthetic else ''}items",
        ]
        inside = ", worse but within the margin" if self.verdict is Verdict.PASS and self.decisive.gain[2] < 0 else ""
        return f"{self.verdict.upper()}{inside}: {', '.join(told)}."

    def of_all(self) -> str:
        """Say of how many, where some items are in one run only."""
        unmatched = self.comparison.unmatched
        return f" of {self.comparison.items + unmatched}" if unmatched else ""

    def why(self) -> str:
        """Say which end of the interval decided, by the rule."""
        got, turned = self.decisive.estimate, self.decisive.metric.lower_is_better
        if math.isnan(got.error):
            return "Without an interval the rule cannot decide."
        worst, best = [("lower", got.low), ("upper", got.high)][:: -1 if turned else 1]
        above, below = ["above", "below"][:: -1 if turned else 1]
        bar = self.terms.threshold * (-1 if turned else 1)
        against = "zero" if self.terms.improvement else f"the margin, {self.figure(bar)}"
        if self.verdict is Verdict.PASS:
            worse = f"Worse: the {best[0]} end of the interval, {self.figure(best[1])}, is {below} zero. Let through: "
            better = f", and {above} zero: better" if self.decisive.gain[1] > 0 and not self.terms.improvement else ""
            end = f"the {worst[0]} end of the interval, {self.figure(worst[1])}, is {above} {against}{better}."
            return worse + end if self.decisive.gain[2] < 0 else end.capitalize()
        if self.doubt:
            return f"{self.doubt}: the verdict would rest on what was not answered."
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"The interval [{self.figure(got.low)}, {self.figure(got.high)}] holds {against}: it may be either."
        side = f"not {above}" if self.terms.improvement else below
        return f"The {best[0]} end of the interval, {self.figure(best[1])}, is {side} {against}."

    def next(self) -> str:
        """Say what to do, or what would settle it."""
        if self.verdict is Verdict.INCONCLUSIVE:
            return self.settle()
        limits = "; with one seed this speaks of checkpoints, not of the recipe" if self.comparison.one_seed else ""
        if self.verdict is Verdict.PASS:
            return f"The candidate may take the baseline's place{limits}."
        return f"harness compare, with the same two runs, shows where it was lost{limits}."

    def settle(self) -> str:
        """Say what would settle it: items where there are more than were asked, else seeds or repeats."""
        base, cand = self.comparison.baseline, self.comparison.candidate
        if self.doubt:
            return "To settle it: a candidate that answers, or a protocol that counts unread answers as wrong."
        if base.unclustered or cand.unclustered:
            return "To settle it: image ids for both runs; harness score takes them from --data FILE."
        asked, there = self.comparison.items, cand.task.data_items
        if not self.decisive.estimate.parts:
            return f"To settle it: more than {asked} items; so few clusters, or all alike, leave no error to estimate."
        gap = abs(self.decisive.gain[0] - self.terms.threshold)
        if not gap or not self.decisive.estimate.error:
            return "To settle it: no amount of data does while the difference lies where the line is drawn."
        known = design(self.comparison, self.decisive)
        if asked < there:
            needed = asked * known.needed(gap, "items", self.decisive.level)
            if needed < there:
                limit = f"--limit {about(needed).replace(',', '')} in place of {asked} of the {there} items"
                return f"To settle it: {limit}, in 4 cases of 5 if the difference stays."
            return f"To settle it: all {there} items in place of {asked}; if they are not enough, more seeds."
        _, *others = settle(self.comparison, self.decisive, known, gap)
        return f"To settle it, in 4 cases of 5 if the difference stays: {' '.join(others)}"

    def figure(self, value: float, sign: str = "+") -> str:
        """Write a difference, in points where the metric is a share, so finely that the rule can be seen."""
        metric, got = self.decisive.metric, self.decisive.estimate
        scale, digits = (100, 1) if metric.percent else (1, 3)
        bars = (0.0, self.terms.threshold * (-1 if metric.lower_is_better else 1))
        apart = [(scale * end, scale * bar) for end in (got.low, got.high) for bar in bars if end != bar]
        while digits < 6 and any(round(end, digits) == round(bar, digits) for end, bar in apart):
            digits += 1
        return f"{scale * value + 0.0:{sign}.{digits}f}"
