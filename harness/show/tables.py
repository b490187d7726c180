"""The tables a person sees, drawn from counted results."""

import math
from collections.abc import Sequence

import numpy as np

from harness.comparing.apart import names_of
from harness.counting.metrics import METRICS, Metric, estimate, of_slice
from harness.counting.results import TaskResult, slices_of
from harness.sheets.figures import SYNTHETIC, WIDE, figure, points
from harness.sheets.sheet import Cell, Column, Sheet, count, text
from harness.show.contamination import contamination_of
from harness.stats.intervals import Estimate


def results_sheets(results: Sequence[tuple[str, TaskResult]], names: Sequence[str] = ()) -> list[Sheet]:
    """Make the table of runs, one row each, and where slices are many a table of those.

    Args:
        results: role (`candidate`, `baseline` or nothing) and counted result.
        names: what each is called, where that is not for its recipe or model to say.
    """
    _, first = results[0]
    slices = slices_of([result for _, result in results])
    metrics, names = _metrics(first, slices), names or names_of([result for _, result in results])
    named = [_named(name, role, result) for name, (role, result) in zip(names, results, strict=True)]
    rows = []
    for name, (_, result) in zip(named, results, strict=True):
        cells = (_figure(result.estimate(metric), metric, i == 0) for i, (metric, _) in enumerate(metrics))
        rows.append((name, *cells))
    named_by = "recipe" if any(result.run.config.get("recipe") for _, result in results) else "judge"
    columns = (Column(named_by), *(Column(metric.heading, "number", spare) for metric, spare in metrics))
    sheets = [Sheet(title_of(first), columns, (tuple(rows),))]
    return sheets if len(slices) <= WIDE else [*sheets, _by_slice([result for _, result in results], named, slices)]


def title_of(result: TaskResult) -> str:
    """Say what was asked: the task, the protocol, how many items, and whether they are synthetic."""
    task = result.task
    where = SYNTHETIC if task.synthetic else f"{task.data}, {task.data_items} items"
    return f"{task.task} · {result.protocol.spec} · {task.items} items · {where}"


def _metrics(result: TaskResult, slices: Sequence[str]) -> list[tuple[Metric, int]]:
    """List the columns and how easily each gives way: never the headline, a slice before what sums slices up."""
    first, second, *others = (
        m for m in METRICS[result.kind].values() if m.name != "consistency" or not math.isnan(result.estimate(m).value)
    )
    few = [of_slice(result.kind, name) for name in slices] if len(slices) <= WIDE else []
    return [(first, 0), (second, 1), *((metric, 2) for metric in few), *((m, i) for i, m in enumerate(others, 3))]


def _named(name: str, role: str, result: TaskResult) -> Cell:
    """Name a run in a table: what it is, its role, and its seeds where they are several."""
    seeds = len(result.tallies)
    words = (name, role, f"({seeds} seeds)" if seeds > 1 else "")
    return Cell(result.run.name, " ".join(word for word in words if word), mark="best" if role == "candidate" else "")


def _by_slice(results: Sequence[TaskResult], named: Sequence[Cell], slices: Sequence[str]) -> Sheet:
    """Make one row a slice and one column a run."""
    first = results[0]
    names = [item.slice for item in first.items]
    rows = []
    for name in slices:
        metric = of_slice(first.kind, name)
        cells = (_figure(result.estimate(metric), metric, True) for result in results)
        rows.append((text(name), count(names.count(name)), *cells))
    headings = (Column(name.shown, "number", spare=i) for i, name in enumerate(named))
    columns = (Column("source"), Column("items", "count", spare=len(results)), *headings)
    return Sheet(f"{first.task.task} by source", columns, (tuple(rows),))


def _figure(estimate_: Estimate, metric: Metric, with_interval: bool) -> Cell:
    return figure(estimate_.value, estimate_.low, estimate_.high, metric, with_interval)


def notes(result: TaskResult) -> list[str]:
    """Say which release the data are, what of them was trained on, and on how many answers two readers differ."""
    task, told = result.task, []
    if task.release:
        counts = ", ".join(f"{name} {count}" for name, count in task.data_slices.items())
        told.append(
            f"These data are NOT a published release of {task.task}: {task.data_items} items ({counts}). "
            "Compare with published figures only if you know why."
            if task.release == "no published release"
            else f"The data have the counts of {task.task}'s {task.release}."
        )
    if result.unclustered:
        which = "no image ids" if result.unclustered == task.items else f"{result.unclustered} items have no image id"
        told.append(f"Intervals are not estimable: {which}. Items of one image are one cluster: say --data FILE.")
    if sentence := contamination_of(result.run, task).sentence:
        told.append(sentence)
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


def vote_curve(result: TaskResult) -> Sheet | None:
    """Make the table of accuracy over the first K votes, from the one set of judgments there is."""
    if result.protocol.name != "official" or result.task.kind != "pair":
        return None
    judgments = result.judgments()
    kind = "synthetic items" if result.task.synthetic else "items"
    rows = []
    for k in (k for k in (1, 3, 5, 7, 9, 11, 13, 15) if k <= result.protocol.repeats):
        tallies = [result.protocol.tally(result.items, judgments[seed], k) for seed in result.tallies]
        figures = [np.mean([estimate(METRICS["pair"][name], t) for t in tallies]) for name in ("accuracy", "macro")]
        figures.append(np.mean([(~np.isnan(t["score"])).mean() for t in tallies]))
        figures.append(np.mean([(1 - t["read"]).mean() for t in tallies]))
        rows.append((count(k), *(Cell(float(figure), points(float(figure))) for figure in figures)))
    headings = ("accuracy", "macro", "items with a majority", "unparsed votes")
    columns = (Column("K", "count"), *(Column(heading, "share") for heading in headings))
    return Sheet(f"votes: accuracy by K, over {kind} with a majority", columns, (tuple(rows),))
