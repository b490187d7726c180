"""What a comparison says: its tables, its verdict, and in plain sentences what they do and do not speak of."""

import math
from collections.abc import Mapping, Sequence

from harness.comparing.apart import CODE, doubled_answers, same_answers, settings_apart
from harness.comparing.comparison import FEW, Comparison, Difference, bootstrap_interval, format_p
from harness.counting.metrics import Metric
from harness.counting.results import TaskResult, label
from harness.records import Run
from harness.sheets.figures import WIDE, points
from harness.sheets.sheet import Cell, Column, Sheet, text

DOCS = "docs/statistics.md"


def differences(comparison: Comparison, every_slice: bool = False, bootstrap: bool = False) -> Sheet:
    """Make the table of paired differences: headline metrics, then slices with Holm's correction.

    Args:
        comparison: of two runs.
        every_slice: list the slices also where they are many.
        bootstrap: give the BCa bootstrap's interval beside the deciding one.
    """
    synthetic = "synthetic " if comparison.candidate.task.synthetic else ""
    names = " − ".join(reversed(comparison.names))
    columns = [Column("metric"), Column("baseline", "number", 3, "base"), Column("candidate", "number", 3, "cand")]
    columns += [Column(f"difference, {100 * comparison.level:g} %", "number")]
    columns += [Column("bootstrap (BCa)", "number", spare=4)] if bootstrap else []
    columns += [Column("p", "number", spare=1), Column("p (Holm)", "number", spare=2)]
    columns += [Column("shows, 80 %", "number", spare=5)]
    slices = comparison.slices if every_slice or len(comparison.slices) <= WIDE else []
    groups = (comparison.headline, slices)
    return Sheet(
        f"{names}, paired over {comparison.items} {synthetic}items",
        tuple(columns),
        tuple(tuple(_row(comparison, d, bootstrap) for d in group) for group in groups if group),
    )


def _row(comparison: Comparison, row: Difference, bootstrap: bool) -> tuple[Cell, ...]:
    metric, estimate = row.metric, row.estimate
    cells = [text(metric.heading), *(Cell(value, points(value, metric)) for value in (row.baseline, row.candidate))]
    cells.append(_interval(row))
    if bootstrap:
        low, high = bootstrap_interval(comparison, metric)
        told = "not estimable" if math.isnan(low) else signed(metric, estimate.value, low, high)
        cells.append(Cell(estimate.value, told, low, high))
    cells.append(Cell(estimate.p, format_p(estimate.p)))
    in_family = row.adjusted_p is not None and row in comparison.slices
    cells.append(Cell(row.adjusted_p, format_p(row.adjusted_p or 0.0)) if in_family else text(""))
    return (*cells, Cell(row.detectable, points(row.detectable, metric)))


def difference_text(difference: Difference) -> str:
    """Write a difference with its interval, if there is one."""
    value, low, high = difference.estimate.value, difference.estimate.low, difference.estimate.high
    return "not estimable" if math.isnan(low) else signed(difference.metric, value, low, high)


def _interval(difference: Difference) -> Cell:
    found = difference.estimate
    return Cell(found.value, difference_text(difference), found.low, found.high)


def signed(metric: Metric, value: float, *ends: float) -> str:
    """Write a difference, with its interval if its ends are given, in points where the metric is a share."""
    scale, digits = (100, 1) if metric.percent else (1, 3)
    shown, *interval = (f"{round(scale * x, digits) + 0.0:+.{digits}f}" for x in (value, *ends))
    return f"{shown} [{', '.join(interval)}]" if interval else shown


def by_seed(comparison: Comparison) -> Sheet | None:
    """Make the table of each seed's figures; None where each side has one."""
    rows = comparison.per_seed
    if all(len(side.tallies) == 1 for side in (comparison.baseline, comparison.candidate)):
        return None
    metric = comparison.headline[0].metric
    cells = []
    for seed, base, cand in rows:
        shown = "–" if math.isnan(cand - base) else signed(metric, cand - base)
        figures = [Cell(value, points(value, metric)) for value in (base, cand)]
        cells.append((Cell(seed, str(seed)), *figures, Cell(cand - base, shown)))
    columns = (Column("seed", "count"), *(Column(name, "number") for name in ("baseline", "candidate", "difference")))
    return Sheet(f"{metric.heading}, seed by seed", columns, (tuple(cells),))


def candidates(comparisons: Sequence[Comparison], correction: str) -> Sheet:
    """Make the table of several candidates against one baseline, on the first metric."""
    first = comparisons[0].headline[0].metric
    columns = (
        Column("candidate"),
        Column(first.heading, "number", spare=3),
        Column(f"difference, {100 * comparisons[0].level:g} %", "number"),
        Column("p", "number", spare=4),
        Column(f"p ({'Holm' if correction == 'holm' else 'BH'})", "number", spare=2),
        Column("verdict", spare=1),
    )
    rows = []
    for comparison in comparisons:
        one = comparison.headline[0]
        estimate = one.estimate
        adjusted = one.adjusted_p if one.adjusted_p is not None else estimate.p
        cells = [text(comparison.names[1]), Cell(one.candidate, points(one.candidate, first))]
        cells.append(_interval(one))
        cells += [Cell(p, format_p(p)) for p in (estimate.p, adjusted)]
        rows.append((*cells, text(one.verdict)))
    synthetic = " synthetic" if comparisons[0].candidate.task.synthetic else ""
    title = f"against {comparisons[0].names[0]}, paired over{synthetic} items they share"
    return Sheet(title, columns, (tuple(rows),), tuple(runs_apart([c.candidate for c in comparisons])))


def remarks(comparison: Comparison) -> list[str]:
    """Say what the comparison rests on, and what it does not speak of."""
    first = comparison.headline[0]
    told = _copies(comparison)
    told.append(_how_p(comparison))
    if comparison.one_seed:
        told.append("One seed: this speaks of these checkpoints, not of the recipe. More: --seeds 0,1,2,3,4.")
    if comparison.other_words:
        told.append("The two were asked in different words: each brings its own prompt, or the benchmark's.")
    if not math.isnan(first.detectable):
        size = f"{points(first.detectable, first.metric)}{' points' if first.metric.percent else ''}"
        told.append(f"Data like these show a true difference of {size} in 4 cases of 5 (power; `harness power` plans).")
    told += [*_text_alone(comparison), *_at_odds(comparison), *_few_clusters(comparison)]
    told += _ledger(comparison)
    if not math.isnan(comparison.correlation):
        told.append(f"The two runs' item scores correlate at {comparison.correlation:.2f}.")
    if comparison.mcnemar:
        only_b, only_c, p = comparison.mcnemar
        told.append(
            f"Right in every answer: {only_c} items only the candidate, {only_b} only the baseline; McNemar's exact p "
            f"{_equals(p)}, which ignores clusters."
        )
    if comparison.bounds:
        low, high = comparison.bounds
        told.append(
            "Whatever the answers without a verdict would have been, the difference lies between "
            f"{signed(first.metric, low)} and {signed(first.metric, high)}."
        )
    return told


def _copies(comparison: Comparison) -> list[str]:
    """Say that the two are one run, or gave the same answers: `gate` refuses both."""
    if comparison.same_run:
        return ["Both are the same run: this says nothing about any other."]
    alike = "gave every question the same answer, word for word."
    if seeds := same_answers(comparison.baseline, comparison.candidate):
        return [f"The baseline under seed {seeds[0]} and the candidate under seed {seeds[1]} {alike}"]
    if comparison.trained and (seeds := doubled_answers(comparison.candidate)):
        return [f"The candidate's seeds {seeds[0]} and {seeds[1]} {alike}"]
    return []


def differ_in(settings: Mapping[str, tuple[object, ...]], who: str = "They", most: int = 8) -> list[str]:
    """Say in one sentence which settings differ, with their values; nothing where none does.

    Args:
        settings: each with the value that every run has, as `settings_apart` gives them.
        who: differ.
        most: settings named.
    """
    told = [key if key == CODE else f"{key} ({_values(values)})" for key, values in settings.items()]
    more = [f"{len(told) - most} more"] if len(told) > most else []
    return [f"{who} differ in: {', '.join(told[:most] + more)}."] if told else []


ONE_BY_ONE = 4
"""Runs whose values of a setting are told one by one; of more, a reader only counts along."""


def _values(values: Sequence[object]) -> str:
    shown = [setting(value, 32) for value in values]
    return " | ".join(shown) if len(shown) <= ONE_BY_ONE else " or ".join(dict.fromkeys(shown))


def runs_apart(results: Sequence[TaskResult]) -> list[str]:
    """Say of each recipe or model that has several of the runs which of their settings differ."""
    runs: dict[str, list[Run]] = {}
    for result in results:
        runs.setdefault(label(result.run), []).append(result.run)
    return [
        sentence
        for name, alike in runs.items()
        for sentence in differ_in(
            settings_apart(*alike),
            f"The {len(alike)} runs of {name}{', from the top,' if len(alike) <= ONE_BY_ONE else ''}",
        )
    ]


def setting(value: object, longest: int = 160) -> str:
    """Write the value of a setting."""
    if value is None:
        return "–"
    told = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
    return told if len(told) <= longest else f"{told[: longest - 1]}…"


def _how_p(comparison: Comparison) -> str:
    if comparison.baseline.unclustered or comparison.candidate.unclustered:
        return "Without image ids there are no intervals and no p: items of one image are one cluster (--data FILE)."
    if len(comparison.baseline.tallies) == len(comparison.candidate.tallies) == 1:
        return "Intervals: jackknife over clusters, t. p: whole clusters swapped between the two runs."
    return "Intervals and p: jackknife over clusters, and the spread over seeds, crossed."


def _equals(p: float) -> str:
    written = format_p(p)
    return written if written.startswith("<") else f"= {written}"


def _at_odds(comparison: Comparison) -> list[str]:
    """Name the figures of which p and interval do not say the same: with little data, two valid methods may not."""
    found = []
    for difference in comparison.differences:
        _, low, high = difference.gain
        if not math.isnan(low + difference.estimate.p):
            apart = low > 0 or high < 0
            found += [difference.metric.heading] if apart != (difference.estimate.p <= 1 - comparison.level) else []
    if not found:
        return []
    return [f"p and interval are on different sides of the line for {', '.join(found)}: the interval decides."]


def _text_alone(comparison: Comparison) -> list[str]:
    """Say of items without images whether the candidate judges text worse: what training on images may cost."""
    if not all(item.text_alone for item in comparison.candidate.items):
        return []
    first = comparison.headline[0]
    _, low, _ = first.gain
    size = f"{points(abs(low), first.metric)}{' points' if first.metric.percent else ''}"
    found = {
        "worse": "the candidate judges text worse than the baseline",
        "better": "the candidate judges text better than the baseline, so nothing was harmed",
        "no difference shown": f"no harm to the judging of text is shown, and a loss of more than {size} is ruled out",
        "not estimable": "whether the judging of text was harmed cannot be told from them",
    }
    return [f"These items hold no images: {found[first.verdict]}."]


def _few_clusters(comparison: Comparison) -> list[str]:
    few = [f"{d.metric.heading} {d.clusters}" for d in comparison.differences if d.clusters < FEW]
    if not few or math.isnan(comparison.headline[0].estimate.error):
        return []
    shown = ", ".join(few[:4]) + (f" and {len(few) - 4} more" if len(few) > 4 else "")
    return [
        f"Some intervals rest on fewer than {FEW} clusters, that is images with their items ({shown}): read them with "
        f"care; {DOCS} says how often such intervals cover the truth."
    ]


def _ledger(comparison: Comparison) -> list[str]:
    ledger, told = comparison.ledger, []
    if comparison.unmatched:
        told.append(
            f"{ledger.shared} items are in both runs; {ledger.baseline_only} only in the baseline and "
            f"{ledger.candidate_only} only in the candidate are left out."
        )
    if max(ledger.baseline_unparsed, ledger.candidate_unparsed) >= 0.0005:
        told.append(
            f"Unparsed answers: {100 * ledger.baseline_unparsed:.1f} % of the baseline's, "
            f"{100 * ledger.candidate_unparsed:.1f} % of the candidate's."
        )
    if ledger.baseline_left_out or ledger.candidate_left_out:
        told.append(
            f"{comparison.candidate.protocol.spec} leaves out {ledger.baseline_left_out} items of the baseline, "
            f"{ledger.candidate_left_out} of the candidate."
        )
    return told
