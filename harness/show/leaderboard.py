"""Finished runs in tables: those of one task, on the same items, under the same protocol; ranks with their ties."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.comparing.apart import names_of
from harness.comparing.findings import runs_apart
from harness.counting.cache import Cache, Counted, Figure
from harness.counting.metrics import HEADLINES, METRICS, Metric, of_slice, primary
from harness.counting.results import slices_of
from harness.errors import HarnessError, NotApplicableError
from harness.records import Kind, Run, RunFolder
from harness.records.item import GROUP
from harness.records.published import PublishedRow, read_published
from harness.sheets.figures import SYNTHETIC, WIDE, figure
from harness.sheets.sheet import Cell, Column, Sheet, count, text
from harness.show.contamination import contamination_of
from harness.stats.ranking import Rank

NEUTRAL = ("first", "random")
"""Metrics of which neither more nor less is better."""

LEADING = ("overall", "macro", "Ave.")
"""Columns of published tables that are shown in any room."""


def collect(
    folders: Iterable[RunFolder], tasks: Sequence[str], named: bool, cache: Cache
) -> tuple[dict[str, list[Counted]], list[str]]:
    """Count the runs that have the tasks.

    Args:
        folders: of the runs.
        tasks: whose; empty for all.
        named: whether the user named the runs, who is then told of the first that cannot be shown; else it is
            left out.
        cache: counts and remembers.

    Returns:
        Counted runs by task, and why runs were left out.

    Raises:
        HarnessError: of a named run.
    """
    found: dict[str, list[Counted]] = {task: [] for task in tasks}
    left_out: list[str] = []
    for folder in folders:
        try:
            run = folder.read_run()
            has = [record.task for record in run.tasks] or [str(task) for task in run.config.get("tasks") or []]
            wanted = [task for task in has if task in tasks or not tasks]
            if named and not wanted:
                raise HarnessError(f"run {folder.name} has no task {' or '.join(tasks)}.", f"It has {', '.join(has)}.")
            for task in wanted:
                try:
                    found.setdefault(task, []).append(cache.count(folder, run, task))
                except NotApplicableError as error:
                    left_out.append(error.problem)
        except HarnessError as error:
            if named:
                raise
            left_out.append(error.problem)
    return found, left_out


Link = Callable[[Counted], str]
"""Gives the address, in HTML, where more of a run is to be seen; empty for nowhere."""


def leaderboard(found: Mapping[str, Sequence[Counted]], cache: Cache, link: Link = lambda _: "") -> list[Sheet]:
    """Draw up a table for each task, data, items and protocol; within it, the best by the task's first metric first.

    Args:
        found: counted runs by task.
        cache: ranks and remembers.
        link: what the rows lead to.
    """
    return [_section(runs, cache, link) for runs in sections(found)]


def sections(found: Mapping[str, Sequence[Counted]]) -> list[list[Counted]]:
    """Put the runs together that may stand in one table."""
    alike: dict[Any, list[Counted]] = {}
    for runs in found.values():
        for counted in runs:
            alike.setdefault(_footing(counted), []).append(counted)
    return list(alike.values())


def ranked(runs: Sequence[Counted], cache: Cache) -> tuple[list[Counted], list[Rank] | None]:
    """Order runs by the task's first metric, the best first, with their ranks; None where no interval can be told."""
    leading = primary(runs[0].result.kind)
    runs = sorted(runs, key=lambda counted: _order(counted.figures[leading], leading))
    return runs, None if runs[0].result.unclustered else cache.ranks(runs, leading)


def _footing(counted: Counted) -> tuple[Any, ...]:
    """Say what runs must share to stand in one table."""
    record = counted.result.task
    items = frozenset(item.item_id for item in counted.result.items)
    return record.task, record.data_fingerprint, record.protocol, record.protocol_version, items


def _section(runs: list[Counted], cache: Cache, link: Link) -> Sheet:
    kind = runs[0].result.kind
    runs, ranks = ranked(runs, cache)
    metrics = metrics_of(runs)
    best = {metric: best_of(metric, runs, cache) for metric in metrics}
    names = names_of([counted.result for counted in runs])
    trained_on = [contamination_of(counted.result.run, counted.result.task) for counted in runs]
    contaminated = any(found.sentence for found in trained_on)
    columns = (
        Column("recipe"),
        *((Column("rank", "count", spare=1), Column("ties", spare=1)) if ranks else ()),
        *(Column(m.heading, "share" if m.percent else "number", _spare(m, kind, metrics)) for m in metrics),
        *((Column("contamination"),) if contaminated else ()),
        Column("items", "count", spare=4),
        Column("seeds", "count", spare=5),
        Column("profile", spare=7),
        Column("base model", spare=8),
        Column("run", spare=9),
        Column("data", spare=10),
        Column("protocol", spare=11),
    )
    rows = []
    for i, counted in enumerate(runs):
        run, task = counted.result.run, counted.result.task
        rows.append(
            (
                replace(text(names[i]), href=link(counted)),
                *(_standing(ranks[i]) if ranks else ()),
                *(_cell(counted.figures.get(m), m, i in best[m], m.name in HEADLINES[kind][:2]) for m in metrics),
                *((text(trained_on[i].short),) if contaminated else ()),
                count(task.items),
                count(len(counted.result.tallies)),
                text(str(run.config.get("profile") or "–")),
                text(base_model(run)),
                text(counted.result.folder.name),
                text("embedded synthetic" if task.synthetic else task.release or task.data),
                text(counted.result.protocol.spec),
            )
        )
    notes = _notes(runs, ranks)
    if contaminated:
        notes.append("Contamination: training pairs that are items here, by image and question.")
    return Sheet(_title(runs[0]), columns, (tuple(rows),), tuple(notes))


def _title(counted: Counted) -> str:
    task, result = counted.result.task, counted.result
    limited = f" of {task.data_items}" if task.items != task.data_items else ""
    where = SYNTHETIC if task.synthetic else ", ".join(filter(None, (task.data, task.release)))
    return (
        f"{task.task} · {result.protocol.spec}, version {task.protocol_version} · {task.items}{limited} items · "
        f"{where} · data {task.data_fingerprint[:8]}"
    )


def _order(known: Figure, metric: Metric) -> float:
    return math.inf if math.isnan(known.value) else known.value * (1 if metric.lower_is_better else -1)


def metrics_of(runs: Sequence[Counted]) -> list[Metric]:
    """List the columns: the metric that ranks, the slices in the order of the data set, then what else some run has."""
    kind, task = runs[0].result.kind, runs[0].result.task
    asked = slices_of([counted.result for counted in runs])
    slices = [name for name in task.data_slices if name in asked] + [n for n in asked if n not in task.data_slices]
    first, *others = METRICS[kind].values()
    metrics = [first, *(of_slice(kind, name) for name in slices), *others]
    return [m for m in metrics if any(not math.isnan(c.figures[m].value) for c in runs if m in c.figures)]


def _spare(metric: Metric, kind: Kind, shown: Sequence[Metric]) -> int:
    """Say how easily a column is left out: never the first metric, a dozen slices before what sums them up."""
    if metric.slice is not None:
        return 3 if sum(other.slice is not None for other in shown) > WIDE else 2
    place = list(METRICS[kind]).index(metric.name)
    return {"coverage": 4, "consistency": 3}.get(metric.name, (0, 1)[place] if place < 2 else 6)


def best_of(metric: Metric, runs: Sequence[Counted], cache: Cache) -> set[int]:
    """Find the rows that are not shown worse than the best of a column; none where that is all of them."""
    known = {i for i, c in enumerate(runs) if metric in c.figures and not math.isnan(c.figures[metric].value)}
    if metric.name in NEUTRAL or len(known) < 2 or runs[0].result.unclustered:
        return set()
    order = sorted(known)
    ranks = cache.ranks([runs[i] for i in order], metric)
    best = {i for i, rank in zip(order, ranks, strict=True) if rank.low == 1}
    return best if best != known else set()


def _cell(known: Figure | None, metric: Metric, best: bool, with_interval: bool) -> Cell:
    if known is None:
        return Cell(None, "–")
    return replace(figure(*known, metric, with_interval), mark="best" if best else "")


def _standing(rank: Rank) -> tuple[Cell, Cell]:
    shown = str(rank.low) if rank.low == rank.high else f"{rank.low}–{rank.high}"
    return Cell(rank.low, shown, rank.low, rank.high), text(rank.group)


def base_model(run: Run) -> str:
    """Name the model that was trained, or judged as it is."""
    trained = (run.config.get("judge") or {}).get("model")
    given = run.config.get("model_args") or {}
    return str(trained or given.get("pretrained") or given.get("model") or run.config.get("model") or "–")


def _notes(runs: Sequence[Counted], ranks: list[Rank] | None) -> list[str]:
    result = runs[0].result
    leading = primary(result.kind).heading
    if ranks is None:
        return ["No intervals and no ranks: items have no image ids. Say --data FILE when they are scored."]
    grouped = any(str(item.cluster_id).startswith(GROUP) for item in result.items)
    by = "the benchmark's own groups" if grouped else "image"
    told = [f"Best first by {leading}; in brackets 95 % intervals, clustered by {by}."]
    if len(runs) > 1:
        told.append(
            "A rank is the range that the data allow, for all runs at once at 95 %. "
            "Runs of one tie group are not shown to differ from its first. "
            "Marked in a column: what is not shown worse than any other."
        )
    for what, differ in (
        ("asked in different words", {tuple(sorted(set(c.result.task.prompts.values()))) for c in runs} - {()}),
        ("read by different readers", {c.result.task.reader for c in runs}),
    ):
        if len(differ) > 1:
            told.append(f"They were {what}.")
    return told + runs_apart([counted.result for counted in runs])


def published(folder: Path, task: str) -> list[PublishedRow]:
    """Read the published rows of a task from a folder of them."""
    return [row for path in sorted(folder.glob("*.jsonl")) for row in read_published(path) if row.task == task]


def published_sheet(
    task: str, rows: Sequence[PublishedRow], synthetic: bool, asked: Mapping[str, str] | None = None
) -> Sheet:
    """Draw up what others printed, as they printed it, in the order of the file: it is never ranked.

    Args:
        task: whose.
        rows: of the task.
        synthetic: whether the runs above are.
        asked: names of models among the rows that were asked here too, to the name of their run above.
    """
    fullest = max(rows, key=lambda row: len(row.figures))
    names = list(dict.fromkeys([*fullest.figures, *(name for row in rows for name in row.figures)]))
    shares = all(row.unit in ("percent", "fraction") for row in rows)
    sources = [_paper(row.source) for row in rows]
    words = [(r.source, r.audit or "not audited", r.run_by, r.data, r.protocol, r.note, r.seen) for r in rows]
    about = (("source", 3), ("audit", 4), ("run by", 5), ("data", 6), ("protocol", 7), ("note", 8), ("seen", 9))
    told = [i for i in range(len(about)) if any(row[i] for row in words)]
    columns = (
        Column("model"),
        *(
            Column(name, "share" if shares else "number", 0 if name in LEADING else 2 if len(names) > WIDE + 2 else 1)
            for name in names
        ),
        *(Column(about[i][0], spare=about[i][1]) for i in told),
    )
    body = tuple(
        (
            text(row.model),
            *(_printed(row, name) for name in names),
            *(replace(text(says[i] or "–"), href="" if i else source) for i in told),
        )
        for row, says, source in zip(rows, words, sources, strict=True)
    )
    notes = [
        "As others printed them, in no order of merit. Other data, words or protocols make other figures.",
        "None was read in the printed original (`seen`): look a row up there before you cite it.",
    ]
    notes += [f"{row} is {name} above." for row, name in (asked or {}).items() if row in {r.model for r in rows}]
    if synthetic:
        notes.append(
            "The runs above are synthetic: these figures, of the published benchmark, are no measure for them."
        )
    return Sheet(f"{task} · published figures, not counted here and not ranked", columns, (body,), tuple(notes))


def _paper(source: str) -> str:
    """Return the address of the first arXiv paper that a source names; nothing if it names none."""
    found = re.search(r"arXiv (\d{4}\.\d{4,5})", source)
    return f"https://arxiv.org/abs/{found[1]}" if found else ""


def _printed(row: PublishedRow, name: str) -> Cell:
    """Keep the decimals of the print; beside them the figure, a percentage as a share."""
    shown = row.figures.get(name)
    if shown is None:
        return Cell(None, "–")
    try:
        figure = float(shown)
    except ValueError:
        return Cell(None, shown)
    return Cell(round(figure / 100, 10) if row.unit == "percent" else figure, shown)
