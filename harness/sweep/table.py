"""The table of a sweep: each finished cell against its reference, and what it cost."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparing.comparison import Comparison, compare, format_p
from harness.comparing.findings import difference_text
from harness.counting.metrics import primary
from harness.counting.results import TaskResult
from harness.errors import HarnessError
from harness.records import RunFolder
from harness.records.run import StageRecord
from harness.sheets.figures import figure
from harness.sheets.sheet import Cell as Figure
from harness.sheets.sheet import Column, Sheet, text
from harness.show.console import seconds
from harness.show.tables import title_of
from harness.stats.multiplicity import holm
from harness.sweep.file import Cell, Sweep


@dataclass(frozen=True)
class Row:
    """A finished cell and what it is compared with."""

    cell: Cell
    result: TaskResult
    comparison: Comparison | None
    """None for a reference, and where there is none to compare with."""
    adjusted_p: float | None
    """Corrected after Holm over all comparisons of the sweep; None without one."""
    why: str = ""
    """Why it is not compared, where that is not as it should be."""


def rows(sweep: Sweep, results: Mapping[str, TaskResult]) -> list[Row]:
    """Compare each finished cell with its reference.

    Args:
        sweep: whose.
        results: one task of each finished cell, by label.
    """
    found: list[tuple[Cell, Comparison | None, str]] = []
    for cell in sweep.cells:
        if cell.label in results:
            found.append((cell, *_compared(cell, results)))
    compared = [comparison.headline[0].estimate.p for _, comparison, _ in found if comparison]
    adjusted = iter(holm(compared))
    return [
        Row(cell, results[cell.label], comparison, next(adjusted) if comparison else None, why)
        for cell, comparison, why in found
    ]


def _compared(cell: Cell, results: Mapping[str, TaskResult]) -> tuple[Comparison | None, str]:
    reference = results.get(cell.reference)
    if cell.reference == cell.label or reference is None:
        return None, ""
    if reference.folder.path == results[cell.label].folder.path:
        return None, f"{cell.label} is the same run as {cell.reference}."
    try:
        return compare(reference, results[cell.label], other_prompts=True), ""
    except HarnessError as error:
        return None, f"{cell.label} is not compared: {error.problem}"


@dataclass(frozen=True)
class Cost:
    """Seconds of computing."""

    whole: float
    """Of every stage that a cell needs, as if it were alone."""
    own: float
    """Of the stages that no other cell needs."""


def costs(folders: Mapping[str, RunFolder]) -> tuple[dict[str, Cost], float]:
    """Say what each finished cell cost, by label, and all of them together, each stage once."""
    stages = {label: _stages(folder) for label, folder in folders.items()}
    # two cells may be one run
    users = defaultdict[str, set[RunFolder | str]](set)
    for label, folder in folders.items():
        for key in stages[label]:
            users[key].add(folder.name)
    found = {
        label: Cost(sum(own.values()), sum(took for key, took in own.items() if len(users[key]) == 1))
        for label, own in stages.items()
    }
    return found, sum({key: took for own in stages.values() for key, took in own.items()}.values())


def _stages(folder: RunFolder) -> dict[str, float]:
    """List the seconds of a run's stages; a judging is never shared, another judge's answers have another key."""
    stages = folder.read_run().stages
    return {
        f"{folder.name if stage.stage.startswith('judge ') else stage.stage} {stage.key}": stage.seconds
        for stage in stages
    }


def table(sweep: Sweep, found: Sequence[Row], cost: Mapping[str, Cost], notes: Iterable[str]) -> Sheet:
    """Draw up the table; cells with one reference stand together."""
    first = found[0].result
    metric = primary(first.kind)
    columns = (
        Column("cell"),
        Column(metric.heading, "number", spare=1),
        Column("difference, 95 %", "number"),
        Column("p", "number", spare=3),
        Column("p (Holm)", "number", spare=2),
        *(Column(name, "number", spare=6) for name in sweep.file.show),
        Column("cost", "number", spare=5),
        Column("own cost", "number", spare=4),
    )
    groups: dict[str, list[tuple[Figure, ...]]] = {}
    for row in found:
        estimate = row.result.estimate(metric)
        cells = [text(row.cell.label)]
        cells.append(figure(estimate.value, estimate.low, estimate.high, metric, True))
        cells += _difference(row)
        cells += [_reported(row.result.run.stages, name) for name in sweep.file.show]
        spent = cost[row.cell.label]
        cells += [Figure(took, seconds(took)) for took in (spent.whole, spent.own)]
        groups.setdefault(row.cell.reference, []).append(tuple(cells))
    body = tuple(tuple(group) for group in groups.values())
    return Sheet(f"{sweep.name}: {title_of(first)}", columns, body, (*_remarks(found), *notes))


def _difference(row: Row) -> list[Figure]:
    if row.comparison is None:
        told = "reference" if row.cell.reference == row.cell.label else "–"
        return [Figure(None, told, mark="dim"), Figure(None, ""), Figure(None, "")]
    first = row.comparison.headline[0]
    found, adjusted = first.estimate, row.adjusted_p
    assert adjusted is not None
    difference = Figure(found.value, difference_text(first), found.low, found.high)
    return [difference, *(Figure(p, format_p(p)) for p in (found.p, adjusted))]


def _reported(stages: Sequence[StageRecord], name: str) -> Figure:
    """Give the mean over seeds of what a stage reported, such as `sft.updates`."""
    stage, _, field = name.partition(".")
    values = [record.info.get(field) for record in stages if record.stage == stage]
    known = [value for value in values if isinstance(value, int | float)]
    return Figure(float(np.mean(known)), f"{np.mean(known):.4g}") if known else Figure(None, "–")


def _remarks(found: Sequence[Row]) -> list[str]:
    """Say what the differences rest on."""
    compared = [row.comparison for row in found if row.comparison]
    told = []
    if compared:
        references = list(dict.fromkeys(row.cell.reference for row in found if row.comparison))
        which = references[0] if len(references) == 1 else "the reference in its group"
        told.append(
            f"Each against {which}, paired item by item; intervals over items, and over seeds where they are several. "
            f"p (Holm) is corrected over {len(compared)} comparison{'s' if len(compared) > 1 else ''}."
        )
        if any(comparison.one_seed for comparison in compared):
            told.append("One seed: this speaks of these checkpoints, not of their settings.")
        if any(comparison.other_words for comparison in compared):
            told.append("Not all were asked in the same words: each judge brings its own prompt, or the benchmark's.")
    return told + [row.why for row in found if row.why]
