"""The tables a person sees, drawn from counted results."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.compare import Comparison, Difference, TaskResult, format_p, label, names_of, rows_for
from harness.metrics import METRICS, estimate, of_slice
from harness.records import Judgment
from harness.stats.clustered import Estimate

SYNTHETIC = "embedded synthetic world, not the published benchmark"


def points(value: float) -> str:
    """Write a share in percent."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def signed_interval(estimate_: Estimate) -> str:
    """Write a difference in points with its interval."""
    if math.isnan(estimate_.error):
        return "not estimable"
    return f"{100 * estimate_.value:+.1f}  [{100 * estimate_.low:+.1f}, {100 * estimate_.high:+.1f}]"


def results_table(results: Sequence[tuple[str, TaskResult]], width: int = 120) -> Table:
    """Draw one row a run: its role, figures with the half-width of their interval, and coverage.

    Args:
        results: role (`candidate`, `baseline` or nothing) and counted result.
        width: of the terminal; a narrow one gets fewer columns, accuracy and slices always.
    """
    _, first = results[0]
    where = SYNTHETIC if first.task.synthetic else f"{first.task.data}, {first.task.data_items} items"
    table = Table(
        title=f"{first.task.task} · {first.protocol.spec} · {first.task.items} items · {where}", title_justify="left"
    )
    slices = rows_for([result for _, result in results])
    metrics = [METRICS["accuracy"], METRICS["macro"], *map(of_slice, slices)]
    if width >= 100:
        metrics.append(METRICS["consistency"])
    if width >= 118:
        metrics += [METRICS["coverage"], METRICS["first"]]
    table.add_column("recipe")
    for metric in metrics:
        table.add_column("shown first" if metric.name == "first" else metric.name, justify="right", no_wrap=True)
    for role, result in results:
        name = Text(label(result.run), style="bold" if role == "candidate" else "")
        seeds = len(result.tallies)
        name.append("".join((f" {role}" if role else "", f" ({seeds} seeds)" if seeds > 1 else "")), style="dim")
        estimates = [result.estimate(metric) for metric in metrics]
        cells = [_with_error(e) if i == 0 else points(e.value) for i, e in enumerate(estimates)]
        table.add_row(name, *cells)
    return table


def _with_error(estimate_: Estimate) -> str:
    if math.isnan(estimate_.error) or estimate_.error == 0:
        return points(estimate_.value)
    return f"{100 * estimate_.value:.1f} ±{50 * (estimate_.high - estimate_.low):.1f}"


def difference_table(comparison: Comparison) -> Table:
    """Draw the paired differences: headline metrics, then slices with Holm's correction."""
    table = Table(
        title=f"{' − '.join(names_of(comparison.candidate.run, comparison.baseline.run))}, "
        f"paired over {comparison.items} {'synthetic ' if comparison.candidate.task.synthetic else ''}items",
        title_justify="left",
    )
    for name in ("metric", "baseline", "candidate", "difference, 95 %", "p", "p (Holm)"):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    for group in (comparison.headline, comparison.slices):
        for row in group:
            table.add_row(*_cells(row))
        table.add_section()
    return table


def _cells(row: Difference) -> list[str]:
    adjusted = "" if row.adjusted_p is None else format_p(row.adjusted_p)
    sides = [points(row.baseline), points(row.candidate)]
    return [row.metric, *sides, signed_interval(row.estimate), format_p(row.estimate.p), adjusted]


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print the differences, the verdict in one sentence, and what it does not speak of."""
    console.print(difference_table(comparison))
    console.print(f"\n[bold]{comparison.sentence()}[/bold]")
    if comparison.one_seed:
        console.print("One seed: this speaks of these checkpoints, not of the recipe. More: --seeds 0,1,2,3,4.")
    if comparison.other_words:
        console.print("The two were asked in different words: each brings its own prompt, or the benchmark's.")
    if comparison.unmatched:
        console.print(f"{comparison.unmatched} items were in only one of the runs and were left out.")
    for role, result in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        low, high = (sum(getattr(t, b).sum() for t in result.tallies.values()) for b in ("low", "high"))
        total = sum(len(t.item_ids) for t in result.tallies.values())
        if 100 * (high - low) / total >= 0.05:
            console.print(
                f"Unparsed answers leave the {role}'s accuracy between "
                f"{100 * low / total:.1f} and {100 * high / total:.1f}."
            )


def vote_curve(result: TaskResult, judgments: Mapping[int, Sequence[Judgment]]) -> Table | None:
    """Draw accuracy over the first K votes, from the one set of judgments there is."""
    if result.protocol.name != "official":
        return None
    kind = "synthetic items" if result.task.synthetic else "items"
    table = Table(title=f"votes: accuracy by K, over {kind} with a majority", title_justify="left")
    for name in ("K", "accuracy", "macro", "items with a majority", "unparsed votes"):
        table.add_column(name, justify="right")
    for k in (k for k in (1, 3, 5, 7, 9, 11, 13, 15) if k <= result.protocol.repeats):
        tallies = [result.protocol.tally(result.items, judgments[seed], k) for seed in result.tallies]
        cells = [np.mean([estimate(METRICS[name], t) for t in tallies]) for name in ("accuracy", "macro")]
        cells.append(np.mean([(~np.isnan(t.score)).mean() for t in tallies]))
        cells.append(np.mean([(1 - t.parsed).mean() for t in tallies]))
        table.add_row(str(k), *(points(float(cell)) for cell in cells))
    return table
