"""Gathers a page from finished runs alone; nothing is computed that the records do not hold."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.comparing.apart import names_of
from harness.comparing.comparison import compare
from harness.comparing.findings import by_seed, differ_in, differences, remarks
from harness.counting.metrics import primary
from harness.counting.results import TaskResult, load_result
from harness.records import RunFolder
from harness.records.item import PAIRWISE
from harness.sheets.figures import SYNTHETIC, points
from harness.show.report.figures import (
    configs,
    differences_drawn,
    figures_drawn,
    figures_sheet,
    position_bias,
    position_rows,
    position_said,
    reliability_of,
)
from harness.show.report.items import apart, items_table
from harness.show.report.model import (
    Costs,
    Page,
    Side,
)
from harness.show.report.record import record_of
from harness.show.report.stages import costs_of, scores_of, splits_of, trainings, usage_told
from harness.show.tables import notes


def gather(
    candidate: RunFolder,
    baseline: RunFolder | None,
    task: str | None,
    roots: Sequence[Path],
    beside: Path | None = None,
    home: str = "",
) -> Page:
    """Gather what there is to say about a run, or about a run against its baseline.

    Args:
        candidate: the run.
        baseline: what it is compared with, if anything.
        task: which task, if the runs have several.
        roots: content folders, in which the task is looked up to draw its images again.
        beside: folder in which the page will lie, from which the runs' folders are linked; None for no links.
        home: address of the page that lists all runs, if there is one.

    Raises:
        HarnessError: if a run is unfinished, or the two cannot be compared.
    """
    folders = [("candidate", candidate)] + ([("baseline", baseline)] if baseline else [])
    results = [load_result(folder, task) for _, folder in folders]
    names = names_of(results)
    sides = [
        Side(role, name, result, folder.read_judgments(result.task.task))
        for (role, folder), name, result in zip(folders, names, results, strict=True)
    ]
    # a page says aloud that the two were asked in different words
    comparison = compare(results[1], results[0], other_prompts=True) if baseline else None
    sft, dpo, missing = trainings(sides)
    items = items_table(sides, roots)
    return Page(
        title=" against ".join(names),
        verdict=comparison.sentence() if comparison else _headline(sides[0]),
        synthetic=SYNTHETIC if results[0].task.synthetic else "",
        facts=_facts(sides),
        notes=_notes(sides),
        compared=comparison is not None,
        intervals=differences_drawn(comparison) if comparison else figures_drawn(sides[0]),
        table=differences(comparison, every_slice=True) if comparison else figures_sheet(sides[0]),
        seeds=by_seed(comparison) if comparison else None,
        remarks=[*remarks(comparison), *differ_in(comparison.settings)] if comparison else [],
        configs=configs(comparison) if comparison else [],
        sides=[(side.role, side.name) for side in sides],
        position=position_bias(sides),
        position_rows=position_rows(sides),
        position_said=position_said(sides),
        reliability=[one for side in sides if (one := reliability_of(side))],
        splits=[found for side in sides for found in splits_of(side)],
        sft=sft,
        dpo=dpo,
        not_recorded=missing,
        scored=[scored for side in sides if (scored := scores_of(side))],
        costs=[Costs(side.role, side.name, costs_of(side.result.run.stages), usage_told(side)) for side in sides],
        records=[record_of(side, beside) for side in sides],
        items=items,
        apart=apart(items),
        home=home,
    )


def _headline(side: Side) -> str:
    """Say a run's headline figure in one sentence."""
    result, metric = side.result, primary(side.result.kind)
    found = result.estimate(metric)
    unit = " %" if metric.percent else ""
    over = f"over {result.task.items:,} {'synthetic ' if result.task.synthetic else ''}items"
    seeds = f" and {len(side.seeds)} seeds" if len(side.seeds) > 1 else ""
    said = f"{side.name}: {metric.unit} {points(found.value, metric)}{unit} {over}{seeds}"
    if math.isnan(found.error):
        return f"{said}; its interval is not estimable: {_why_no_interval(result)}."
    return f"{said}, 95 % interval [{points(found.low, metric)}, {points(found.high, metric)}]."


def _why_no_interval(result: TaskResult) -> str:
    return "no image ids" if result.unclustered else "too few clusters"


def _facts(sides: Sequence[Side]) -> dict[str, str]:
    result = sides[0].result
    task = result.task
    asked = f"{task.items:,}" if task.items == task.data_items else f"{task.items:,} of {task.data_items:,}"
    seeds = {side.name: ", ".join(map(str, side.seeds)) for side in sides}
    return {
        "task": task.task,
        "items": asked,
        "protocol": result.protocol.spec,
        "data": task.data,
        "seeds": next(iter(seeds.values()))
        if len(set(seeds.values())) == 1
        else "; ".join(f"{name} {listed}" for name, listed in seeds.items()),
    }


def _notes(sides: Sequence[Side]) -> list[str]:
    said: list[str] = []
    for side in sides:
        said += notes(side.result)
        if side.result.kind in PAIRWISE and (bounds := _bounds(side)):
            said.append(bounds)
    return list(dict.fromkeys(said))


def _bounds(side: Side) -> str:
    """Say between which figures the unparsed answers leave a run; empty where that is nothing."""
    tallies = list(side.result.tallies.values())
    total = sum(len(tally.item_ids) for tally in tallies)
    low, high = (100 * sum(np.nansum(tally[bound]) for tally in tallies) / total for bound in ("low", "high"))
    if high - low < 0.05:
        return ""
    return f"Unparsed answers leave {side.name}'s accuracy between {low:.1f} and {high:.1f}."
