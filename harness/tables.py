"""The tables a person sees, drawn from counted results."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.compare import Comparison, Difference, format_p, names_of
from harness.metrics import METRICS, Metric, estimate, of_slice
from harness.records import Judgment
from harness.results import TaskResult, label, slices_of
from harness.stats.intervals import Estimate

SYNTHETIC = "embedded synthetic world, not the published benchmark"


def points(value: float, metric: Metric | None = None) -> str:
    """Write a share in percent, a correlation or a distance as it is."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f}" if metric is None or metric.percent else f"{value:.3f}"


def signed_interval(estimate_: Estimate, metric: Metric) -> str:
    """Write a difference with its interval, in points where the metric is a share."""
    if math.isnan(estimate_.error):
        return "not estimable"
    scale, digits = (100, 1) if metric.percent else (1, 3)
    value, low, high = (f"{scale * x:+.{digits}f}" for x in (estimate_.value, estimate_.low, estimate_.high))
    return f"{value}  [{low}, {high}]"


WIDE = 5
"""More slices than this are rows of a table of their own, instead of columns."""


def results_table(results: Sequence[tuple[str, TaskResult]], width: int = 120) -> Table:
    """Draw one row a run: its role, figures with the half-width of their interval, and coverage.

    Args:
        results: role (`candidate`, `baseline` or nothing) and counted result.
        width: of the terminal; a narrow one gets fewer columns, the headline and slices always.
    """
    _, first = results[0]
    table = Table(title=_title(first), title_justify="left")
    slices = slices_of([result for _, result in results])
    columns = [_metrics(first, slices, count) for count in range(9)]
    # as many of the further figures as the terminal has room for
    metrics = next((m for m in reversed(columns) if 28 + sum(len(x.heading) + 3 for x in m) <= width), columns[0])
    table.add_column("recipe")
    for metric in metrics:
        table.add_column(metric.heading, justify="right", no_wrap=True)
    for role, result in results:
        name = _named(role, result)
        estimates = [(metric, result.estimate(metric)) for metric in metrics]
        cells = [_with_error(e, m) if i == 0 else points(e.value, m) for i, (m, e) in enumerate(estimates)]
        table.add_row(name, *cells)
    return table


def _title(result: TaskResult) -> str:
    task = result.task
    where = SYNTHETIC if task.synthetic else f"{task.data}, {task.data_items} items"
    return f"{task.task} · {result.protocol.spec} · {task.items} items · {where}"


def _metrics(result: TaskResult, slices: Sequence[str], further: int) -> list[Metric]:
    """List the columns: the headline, slices where they are few, and so many further figures."""
    first, second, *others = (
        m for m in METRICS[result.kind].values() if m.name != "consistency" or not math.isnan(result.estimate(m).value)
    )
    few = [of_slice(result.kind, name) for name in slices] if len(slices) <= WIDE else []
    return [first, second, *few, *others[:further]]


def _named(role: str, result: TaskResult) -> Text:
    name = Text(label(result.run), style="bold" if role == "candidate" else "")
    seeds = len(result.tallies)
    name.append("".join((f" {role}" if role else "", f" ({seeds} seeds)" if seeds > 1 else "")), style="dim")
    return name


def slices_table(results: Sequence[tuple[str, TaskResult]]) -> Table | None:
    """Draw one row a slice and one column a run, where slices are too many for columns."""
    slices = slices_of([result for _, result in results])
    _, first = results[0]
    if len(slices) <= WIDE:
        return None
    table = Table(title=f"{first.task.task} by source", title_justify="left")
    table.add_column("source")
    table.add_column("items", justify="right")
    for role, result in results:
        table.add_column(_named(role, result), justify="right")
    names = [item.slice for item in first.items]
    for name in slices:
        metric = of_slice(first.kind, name)
        cells = [_with_error(result.estimate(metric), metric) for _, result in results]
        table.add_row(name, str(names.count(name)), *cells)
    return table


def _with_error(estimate_: Estimate, metric: Metric) -> str:
    if math.isnan(estimate_.error) or estimate_.error == 0:
        return points(estimate_.value, metric)
    half = (estimate_.high - estimate_.low) / 2
    return f"{points(estimate_.value, metric)} ±{points(half, metric)}"


def notes(result: TaskResult) -> list[str]:
    """Say which release the data are, and on how many answers the published pattern and the strict reader differ."""
    task, told = result.task, []
    if task.release and not task.synthetic:
        counts = ", ".join(f"{name} {count}" for name, count in task.data_slices.items())
        told.append(
            f"[bold]These data are NOT a published release of {task.task}[/bold]: {task.data_items} items ({counts}). "
            "Compare with published figures only if you know why."
            if task.release == "no published release"
            else f"The data are {task.task}'s {task.release}."
        )
    if result.unclustered:
        which = "no image ids" if result.unclustered == task.items else f"{result.unclustered} items have no image id"
        told.append(f"Intervals are not estimable: {which}. Items of one image are one cluster: say --data FILE.")
    made = (f"judge {task.task}", f"score {task.task}")
    answers = [stage.info for stage in result.run.stages if stage.stage in made]
    for info in answers:
        if info.get("unused"):
            told.append(f"{info['unused']} answers in the file are not counted by {result.protocol.spec}.")
        if info.get("relabelled"):
            told.append(f"{info['relabelled']} items have another label in the file than in the data, which decide.")
        if "records_differ" in info:
            told.append(
                f"What the file recorded differs from the official pattern's reading on "
                f"{info['records_differ']} of {info['answers']} answers."
            )
    if differing := sum(info.get("readers_differ", 0) for info in answers):
        of = sum(info["answers"] for info in answers)
        told.append(f"The official pattern and the strict reader differ on {differing} of {of} answers.")
    return told


def difference_table(comparison: Comparison) -> Table:
    """Draw the paired differences: headline metrics, then slices with Holm's correction."""
    table = Table(
        title=f"{' − '.join(names_of(comparison.candidate.run, comparison.baseline.run))}, "
        f"paired over {comparison.items} {'synthetic ' if comparison.candidate.task.synthetic else ''}items",
        title_justify="left",
    )
    for name in ("metric", "baseline", "candidate", "difference, 95 %", "p", "p (Holm)"):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    slices = comparison.slices if len(comparison.slices) <= WIDE else []
    for group in (comparison.headline, slices):
        for row in group:
            table.add_row(*_cells(row))
        table.add_section()
    return table


def _cells(row: Difference) -> list[str]:
    adjusted = "" if row.adjusted_p is None else format_p(row.adjusted_p)
    sides = [points(row.baseline, row.metric), points(row.candidate, row.metric)]
    interval = signed_interval(row.estimate, row.metric)
    return [row.metric.heading, *sides, interval, format_p(row.estimate.p), adjusted]


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
    if comparison.candidate.kind not in ("pair", "pair-ties"):
        return
    for role, result in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        low, high = (sum(np.nansum(t[bound]) for t in result.tallies.values()) for bound in ("low", "high"))
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
        cells = [np.mean([estimate(METRICS["pair"][name], t) for t in tallies]) for name in ("accuracy", "macro")]
        cells.append(np.mean([(~np.isnan(t["score"])).mean() for t in tallies]))
        cells.append(np.mean([(1 - t["read"]).mean() for t in tallies]))
        table.add_row(str(k), *(points(float(cell)) for cell in cells))
    return table
