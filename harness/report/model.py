"""What a report says: plain data, gathered from finished runs alone.

Every figure is the one that `harness compare` prints; nothing is computed here that the records do
not hold. `items` has the table of items, which the page's script draws.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from rich.text import Text

from harness.compare import Comparison, compare
from harness.errors import DataError
from harness.findings import by_seed, difference_text, differences, remarks
from harness.metrics import HEADLINES, METRICS, Metric, of_slice, primary
from harness.records import Item, Judgment, Kind, Label, Run, RunFolder
from harness.records.run import StageRecord
from harness.report.pictures import thumbnails
from harness.results import TaskResult, label, load_result, names_of
from harness.sheet import Cell, Column, Sheet, count, text
from harness.stats.intervals import Estimate, single
from harness.stats.sums import Clusters, Sums
from harness.tables import SYNTHETIC, notes, points

PAIRWISE = ("pair", "pair-ties")


@dataclass(frozen=True)
class Side:
    """One of the runs on the page."""

    role: str
    """`candidate` or `baseline`; a run alone is the candidate."""
    name: str
    result: TaskResult
    judgments: list[Judgment]

    @property
    def seeds(self) -> list[int]:
        """The seeds of its judges."""
        return list(self.result.tallies)


class Mark(NamedTuple):
    """One figure with its interval, in the units of its drawing; NaN where it is not estimable."""

    role: str
    value: float
    low: float
    high: float
    shown: str


class Line(NamedTuple):
    """One line of a drawing of intervals: a metric or a slice, with a mark for each side."""

    name: str
    headline: bool
    marks: list[Mark]


class Intervals(NamedTuple):
    """A drawing of intervals along one axis."""

    title: str
    about: str
    lines: list[Line]
    reference: float | None
    reference_name: str
    unit: str


class Bin(NamedTuple):
    """Judgments of about the same P(verdict), and the share of them that is right."""

    judgments: int
    stated: float
    """Mean P(verdict)."""
    right: float
    low: float
    high: float


class Reliability(NamedTuple):
    """How far P(verdict) can be believed."""

    role: str
    name: str
    bins: list[Bin]
    error: float
    """Expected calibration error: the bins' mean distance of `stated` and `right`, weighted by count."""
    brier: float
    """Mean square of P(verdict) minus whether it is right."""


class Curve(NamedTuple):
    """One training's figure over its updates."""

    role: str
    seed: int | None
    steps: list[float]
    values: list[float]


class Curves(NamedTuple):
    """One figure of all trainings."""

    title: str
    curves: list[Curve]


class SliceInfo(BaseModel):
    """What the split says of one slice."""

    pairs: int
    kept: float
    agreement: list[float]


class SplitInfo(BaseModel):
    """What `split-by-confidence` records."""

    kept: int
    share: float
    agreement: dict[str, float] = {}
    by_slice: dict[str, SliceInfo] = {}
    disagreement_correlation: dict[str, float | None] = {}

    def correlation(self, one: int, other: int) -> float | None:
        """Return how the errors of two experts go together."""
        return 1.0 if one == other else self.disagreement_correlation.get(f"{min(one, other)}-{max(one, other)}")


class CurveInfo(BaseModel):
    """What a training records of its course."""

    step: list[float]
    loss: list[float]
    margins: list[float] = Field([], alias="rewards/margins")
    accuracies: list[float] = Field([], alias="rewards/accuracies")


class TrainingInfo(BaseModel):
    """What `sft` and `dpo` record."""

    rows: int = 0
    updates: int = 0
    loss: float | None = None
    curve: CurveInfo | None = None


class ScoredInfo(BaseModel):
    """What `score-judgments` records."""

    judgments: int
    mean: dict[str, float] = {}
    scores: dict[str, list[int]] = {}


class Split(NamedTuple):
    """The confidence split of a run's recipe."""

    role: str
    name: str
    rule: str
    experts: list[str]
    info: SplitInfo


class Scored(NamedTuple):
    """The scores of a run's sampled judgments, over its seeds."""

    role: str
    name: str
    judgments: int
    counts: dict[str, list[int]]
    """Per verdict, the judgments in equal bins of [0, 1]; empty where the run did not record them."""
    means: dict[str, float]


class Cost(NamedTuple):
    """What one stage cost."""

    stage: str
    times: int
    cached: int
    seconds: float
    peak_mb: float


class Costs(NamedTuple):
    """What a run's stages cost, in the order they ran."""

    role: str
    name: str
    stages: list[Cost]


class Answer(NamedTuple):
    """One judgment in the table of items."""

    seed: int
    order: str
    """The responses shown, as letters in the file's order."""
    repeat: int
    said: str
    """What was read: a letter, `tie`, a grade, an order, or `unparsed`."""
    right: bool | None
    """None where nothing was read, or where an answer is not right or wrong."""
    p_first: float | None
    text: int
    """Place in `texts`, or -1 where the text was left out."""


class Row(NamedTuple):
    """One item in the table of items."""

    source: str
    slice: int
    question: int
    responses: list[int]
    label: str
    image: int
    """Place in `images`, or -1."""
    gain: float | None
    """Candidate's figure minus baseline's, positive where the candidate's is better; None if there is none."""
    figures: list[float | None]
    answers: list[list[Answer]]


class Items(NamedTuple):
    """The table of items: texts and images are kept once and named by their place."""

    kind: str
    sides: list[dict[str, Any]]
    slices: list[str]
    texts: list[str]
    images: list[str]
    no_image: str
    """Why an item may have no image."""
    left_out: str
    """What was left out to keep the page usable; empty where nothing was."""
    rows: list[Row]


@dataclass(frozen=True)
class Page:
    """Everything that a report says."""

    title: str
    verdict: str
    synthetic: str
    facts: dict[str, str]
    notes: list[str]
    """What there is to know about the data and the answers."""
    compared: bool
    intervals: Intervals
    table: Sheet
    """The differences, or a run's own figures."""
    seeds: Sheet | None
    remarks: list[str]
    """What the comparison rests on, and what it does not speak of."""
    configs: list[tuple[str, str, str]]
    """Settings that differ: key, baseline's, candidate's."""
    sides: list[tuple[str, str]]
    """Role and name of each run."""
    position: Intervals | None
    position_rows: list[tuple[str, bool, list[list[str]]]]
    """Name, whether it is all items, and per side: share shown first, consistency, coverage."""
    reliability: list[Reliability]
    splits: list[Split]
    sft: Curves
    dpo: list[Curves]
    not_recorded: list[str]
    scored: list[Scored]
    costs: list[Costs]
    records: list[tuple[str, dict[str, str]]]
    items: Items


def gather(candidate: RunFolder, baseline: RunFolder | None, task: str | None, roots: Sequence[Path]) -> Page:
    """Gather what there is to say about a run, or about a run against its baseline.

    Args:
        candidate: the run.
        baseline: what it is compared with, if anything.
        task: which task, if the runs have several.
        roots: content folders, in which the task is looked up to draw its images again.

    Raises:
        HarnessError: if a run is unfinished, or the two cannot be compared.
    """
    folders = [("candidate", candidate)] + ([("baseline", baseline)] if baseline else [])
    results = [load_result(folder, task) for _, folder in folders]
    names = names_of(*(result.run for result in results)) if baseline else [label(results[0].run)]
    sides = [
        Side(role, name, result, folder.read_judgments(result.task.task))
        for (role, folder), name, result in zip(folders, names, results, strict=True)
    ]
    comparison = compare(results[1], results[0]) if baseline else None
    sft, dpo, missing = _trainings(sides)
    return Page(
        title=" against ".join(names),
        verdict=comparison.sentence() if comparison else _headline(sides[0]),
        synthetic=SYNTHETIC if results[0].task.synthetic else "",
        facts=_facts(sides),
        notes=_notes(sides),
        compared=comparison is not None,
        intervals=_differences_drawn(comparison) if comparison else _figures_drawn(sides[0]),
        table=differences(comparison, every_slice=True) if comparison else _figures_sheet(sides[0]),
        seeds=by_seed(comparison) if comparison else None,
        remarks=remarks(comparison) if comparison else [],
        configs=_configs(comparison) if comparison else [],
        sides=[(side.role, side.name) for side in sides],
        position=_position(sides),
        position_rows=_position_rows(sides),
        reliability=[one for side in sides if (one := _reliability(side))],
        splits=[found for side in sides for found in _splits(side)],
        sft=sft,
        dpo=dpo,
        not_recorded=missing,
        scored=[scored for side in sides if (scored := _scored(side))],
        costs=[Costs(side.role, side.name, _costs(side.result.run.stages)) for side in sides],
        records=[(side.name, _record(side.result)) for side in sides],
        items=_items(sides, roots),
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
        said += [Text.from_markup(note).plain for note in notes(side.result)]
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


def _scaled(estimate: Estimate, metric: Metric, role: str, shown: str) -> Mark:
    scale = 100 if metric.percent else 1
    return Mark(role, scale * estimate.value, scale * estimate.low, scale * estimate.high, shown)


def _differences_drawn(comparison: Comparison) -> Intervals:
    first = primary(comparison.candidate.kind)
    lines = []
    for row in comparison.differences:
        mark = _scaled(row.estimate, row.metric, "candidate", difference_text(row))
        lines.append(Line(row.metric.heading, row in comparison.headline, [mark]))
    names = names_of(comparison.candidate.run, comparison.baseline.run)
    better = "left" if first.lower_is_better else "right"
    return Intervals(
        f"{names[0]} minus {names[1]}, with 95 % intervals",
        f"To the {better} of the line at zero, {names[0]} is better.",
        lines,
        0,
        "no difference",
        "points" if first.percent else first.unit,
    )


def _figures_of(result: TaskResult) -> list[tuple[Metric, Estimate]]:
    """Estimate what a run's page lists: headline metrics, then slices."""
    metrics = [METRICS[result.kind][name] for name in HEADLINES[result.kind]]
    metrics += [of_slice(result.kind, name) for name in result.slices]
    found = [(metric, result.estimate(metric)) for metric in metrics]
    return [(metric, estimate) for metric, estimate in found if not math.isnan(estimate.value)]


def _figures_drawn(side: Side) -> Intervals:
    result, first = side.result, primary(side.result.kind)
    lines = []
    for metric, found in _figures_of(result):
        shown = points(found.value, metric)
        if not math.isnan(found.low):
            shown += f" [{points(found.low, metric)}, {points(found.high, metric)}]"
        lines.append(Line(metric.heading, metric.slice is None, [_scaled(found, metric, "candidate", shown)]))
    chance = {"pair": 50.0, "score": 0.0}.get(result.kind)
    if result.kind == "batch":
        chance = result.estimate(METRICS["batch"]["random"]).value
    about = "Lower is better." if first.lower_is_better else ""
    if "consistency" in HEADLINES[result.kind]:
        about += "Consistency: both orders prefer the same response."
    return Intervals("Figures, with 95 % intervals", about, lines, chance, "chance", "%" if first.percent else "")


def _figures_sheet(side: Side) -> Sheet:
    """Make the table of a run's own figures."""
    of = [item.slice for item in side.result.items]
    groups: tuple[list[tuple[Cell, ...]], ...] = ([], [])
    for metric, found in _figures_of(side.result):
        ends = [points(x, metric) for x in (found.low, found.high)]
        shown = "not estimable" if math.isnan(found.low) else f"[{', '.join(ends)}]"
        asked = count(len(of) if metric.slice is None else of.count(metric.slice))
        cells = (text(metric.heading), asked, Cell(found.value, points(found.value, metric)), text(shown))
        groups[metric.slice is not None].append(cells)
    synthetic = "synthetic " if side.result.task.synthetic else ""
    columns = (Column("metric"), Column("items", "count"), Column("figure", "number"), Column("95 %"))
    return Sheet(f"{side.name}, over {synthetic}items", columns, tuple(tuple(group) for group in groups if group))


def _configs(comparison: Comparison) -> list[tuple[str, str, str]]:
    base, cand = comparison.baseline.run, comparison.candidate.run
    return [(key, _setting(base, key), _setting(cand, key)) for key in comparison.config_differences]


def _setting(run: Run, key: str) -> str:
    head, _, tail = key.partition(".")
    value = run.config.get(head)
    if tail:
        value = value.get(tail) if isinstance(value, dict) else None
    said = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return "–" if value is None else said if len(said) <= 160 else said[:159] + "…"


def _position(sides: Sequence[Side]) -> Intervals | None:
    """Draw how often the response shown first wins, over all items and by slice."""
    result = sides[0].result
    if result.kind not in PAIRWISE:
        return None
    lines = []
    for name, metric in _by_slice(METRICS[result.kind]["first"], result.slices):
        found = [(side.role, side.result.estimate(metric)) for side in sides]
        marks = [_scaled(estimate, metric, role, points(estimate.value)) for role, estimate in found]
        if any(not math.isnan(mark.value) for mark in marks):
            lines.append(Line(name, metric.slice is None, marks))
    shown = "Chance draws the orders" if result.protocol.drawn else "Every response is shown first as often as second"
    return Intervals(
        "Share of verdicts for the response shown first",
        f"{shown}, so a judge without position bias is at 50 %.",
        lines,
        50,
        "no bias",
        "%",
    )


def _by_slice(metric: Metric, slices: Sequence[str]) -> Iterator[tuple[str, Metric]]:
    yield "all items", metric
    for name in slices:
        yield name, metric._replace(slice=name)


def _position_rows(sides: Sequence[Side]) -> list[tuple[str, bool, list[list[str]]]]:
    result = sides[0].result
    if result.kind not in PAIRWISE:
        return []
    metrics = [METRICS[result.kind][name] for name in ("first", "consistency", "coverage")]
    rows = []
    for name in (None, *result.slices):
        figures = [
            [points(side.result.estimate(metric._replace(slice=name)).value) for metric in metrics] for side in sides
        ]
        rows.append((name or "all items", name is None, figures))
    return rows


BINS = 20
"""Bins of P(verdict) in [0, 1]; a verdict has mostly one above one half."""


def _reliability(side: Side) -> Reliability | None:
    """Set P(verdict) against how often the verdict is right; items on which people tie are left out."""
    items = {item.item_id: item for item in side.result.items}
    told = [
        (j.p_first if j.reading == "first" else 1 - j.p_first, j.chosen == items[j.item_id].label, j.item_id)
        for j in side.judgments
        if j.p_first is not None and j.chosen is not None and items[j.item_id].label in (0, 1)
    ]
    if side.result.kind not in PAIRWISE or not told:
        return None
    grouped: dict[int, list[tuple[float, bool, str]]] = defaultdict(list)
    for one in told:
        grouped[min(int(one[0] * BINS), BINS - 1)].append(one)
    bins = []
    for _, group in sorted(grouped.items()):
        right = float(np.mean([one[1] for one in group]))
        low, high = _interval_of([one[1] for one in group], [items[one[2]] for one in group])
        bins.append(Bin(len(group), float(np.mean([one[0] for one in group])), right, low, high))
    error = sum(b.judgments * abs(b.right - b.stated) for b in bins) / len(told)
    return Reliability(side.role, side.name, bins, error, float(np.mean([(p - right) ** 2 for p, right, _ in told])))


def _interval_of(right: Sequence[bool], items: Sequence[Item]) -> tuple[float, float]:
    """Return the interval of a share of judgments, which go together where their items share an image."""
    names = [item.cluster_id for item in items]
    if None in names:
        return math.nan, math.nan
    clusters = Clusters.of(names, [item.slice for item in items])
    counts = [np.bincount(clusters.index, weights=weights) for weights in (np.ones(len(right)), right)]
    table = np.asarray(np.stack(counts, -1), float)[:, None, None, None]
    found = single(Sums(table), clusters, "share")
    return found.low, found.high


Info = TypeVar("Info", bound=BaseModel)


def _infos(side: Side, name: str, kind: type[Info]) -> list[tuple[StageRecord, Info]]:
    """Read what the stages called `name` recorded.

    Raises:
        DataError: naming run, stage, field and value.
    """
    found = []
    for stage in side.result.run.stages:
        if stage.stage == name:
            try:
                found.append((stage, kind.model_validate(stage.info)))
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"]))
                raise DataError(
                    f"run {side.result.run.name}, stage {name!r}, field {field!r}: {first['msg']} "
                    f"(got {str(first['input'])[:60]!r}).",
                    "The record was edited, or another stage has this name.",
                ) from None
    return found


def _splits(side: Side) -> list[Split]:
    config = side.result.run.config
    experts = [str(name) for name in (config.get("experts") or {}).get("models", [])]
    rule = str((config.get("confidence") or {}).get("rule", ""))
    return [
        Split(side.role, side.name, rule, experts or list(info.agreement), info)
        for _, info in _infos(side, "split-by-confidence", SplitInfo)
    ]


def _trainings(sides: Sequence[Side]) -> tuple[Curves, list[Curves], list[str]]:
    """Collect the curves of supervised and of preference training, and say which are not recorded."""
    sft, missing = list[Curve](), []
    dpo: dict[str, list[Curve]] = {"loss": [], "margins": [], "accuracies": []}
    for side in sides:
        for stage in ("sft", "dpo"):
            trainings = _infos(side, stage, TrainingInfo)
            for record, info in trainings:
                if info.curve is None:
                    continue
                if stage == "sft":
                    sft.append(Curve(side.role, record.seed, info.curve.step, info.curve.loss))
                else:
                    for name, curves in dpo.items():
                        curves.append(Curve(side.role, record.seed, info.curve.step, getattr(info.curve, name)))
            unknown = [info for _, info in trainings if info.curve is None]
            if unknown:
                ends = ", ".join(f"{info.loss:.4g}" for info in unknown if info.loss is not None)
                last = f"; last losses {ends}" if ends else ""
                missing.append(f"{side.name}: the course of {stage.upper()} is not recorded by this run{last}.")
    titles = {"loss": "DPO: loss", "margins": "DPO: reward margin", "accuracies": "DPO: reward accuracy"}
    drawn = [Curves(titles[name], curves) for name, curves in dpo.items() if any(curve.values for curve in curves)]
    return Curves("SFT: loss", sft), drawn, missing


def _scored(side: Side) -> Scored | None:
    infos = [info for _, info in _infos(side, "score-judgments", ScoredInfo)]
    if not infos:
        return None
    judgments = sum(info.judgments for info in infos)
    counts = {
        name: [
            sum(column) for column in zip(*(info.scores[name] for info in infos if name in info.scores), strict=True)
        ]
        for name in dict.fromkeys(name for info in infos for name in info.scores)
    }
    means = {
        name: sum(info.judgments * info.mean.get(name, 0) for info in infos) / max(1, judgments)
        for name in dict.fromkeys(name for info in infos for name in info.mean)
    }
    return Scored(side.role, side.name, judgments, counts, means)


def _costs(stages: Sequence[StageRecord]) -> list[Cost]:
    grouped: dict[str, list[StageRecord]] = defaultdict(list)
    for stage in stages:
        grouped[stage.stage].append(stage)
    return [
        Cost(
            name,
            len(group),
            sum(stage.cached for stage in group),
            sum(stage.seconds for stage in group),
            max(stage.peak_mb for stage in group),
        )
        for name, group in grouped.items()
    ]


def _record(result: TaskResult) -> dict[str, str]:
    """List what else is known of a run."""
    run, task = result.run, result.task
    return {
        "run": run.name,
        "started": run.started,
        "finished": run.finished or "–",
        "harness": run.revision or "unknown revision",
        "hardware": ", ".join(f"{key} {value}" for key, value in run.hardware.items()) or "–",
        "packages": ", ".join(f"{key} {value}" for key, value in run.packages.items()) or "–",
        "data": f"{task.data}, fingerprint {task.data_fingerprint}",
        "reader": task.reader,
        "judges": ", ".join(f"seed {seed}: {print_}" for seed, print_ in run.checkpoints.items()),
    }


BUDGET = 24_000_000
"""Characters of text in the table of items; beyond it, texts of further seeds are left out and long ones cut."""


class _Texts:
    """Texts kept once, each by its place."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.places = limit, dict[str, int]()

    def place(self, text: str) -> int:
        """Return the place of a text, keeping its ends where it is too long."""
        if self.limit is not None and len(text) > self.limit:
            half = self.limit // 2
            text = f"{text[:half]} [… {len(text) - 2 * half:,} characters left out …] {text[-half:]}"
        return self.places.setdefault(text, len(self.places))


def _items(sides: Sequence[Side], roots: Sequence[Path]) -> Items:
    result, *others = (side.result for side in sides)
    figures = [_figures(side) for side in sides]
    lower = result.kind in ("score", "batch")
    gains = {item.item_id: _gain([found.get(item.item_id) for found in figures], lower) for item in result.items}
    # where the two differ most comes first; alone, where the run is furthest from people
    order = sorted(range(len(result.items)), key=lambda i: (-_weight(gains[result.items[i].item_id], bool(others)), i))
    items = [result.items[i] for i in order]
    shown = list(dict.fromkeys(item.image_hash for item in items if item.image_hash))
    pictures, no_image = thumbnails(result, shown, roots)
    images = {name: place for place, name in enumerate(name for name in shown if name in pictures)}
    texts, first_only, left_out = _room([t for item in items for t in (item.question, *item.responses)], sides)
    answers = [_answers(side, texts, first_only) for side in sides]
    slices = {name: place for place, name in enumerate(result.slices)}
    rows = [
        Row(
            item.source_id,
            slices[item.slice],
            texts.place(item.question),
            [texts.place(response) for response in item.responses],
            _label(item.label, result.kind),
            images.get(item.image_hash or "", -1),
            gains[item.item_id],
            [_number(found.get(item.item_id)) for found in figures],
            [given[item.item_id] for given in answers],
        )
        for item in items
    ]
    heads = [{"role": side.role, "name": side.name, "seeds": side.seeds} for side in sides]
    return Items(
        result.kind,
        heads,
        list(slices),
        list(texts.places),
        [pictures[name] for name in images],
        no_image,
        left_out,
        rows,
    )


def _room(asked: list[str], sides: Sequence[Side]) -> tuple[_Texts, bool, str]:
    """Decide what texts there is room for: all, or those of the first seed, cut to fit."""
    every = {*asked, *(j.text for side in sides for j in side.judgments)}
    if sum(map(len, every)) <= BUDGET:
        return _Texts(None), False, ""
    first = {*asked, *(j.text for side in sides for j in side.judgments if j.seed == side.seeds[0])}
    limit = max(400, BUDGET // len(first)) if sum(map(len, first)) > BUDGET else None
    said = "To keep this page usable, " + (
        "only the first seed's raw answers are in it" if len(every) > len(first) else "raw answers are in it"
    )
    said += f", and texts longer than {limit:,} characters are cut in the middle" if limit else ""
    return _Texts(limit), True, f"{said}; the whole texts are in the runs' judgments files."


def _figures(side: Side) -> dict[str, float]:
    """Return each item's figure, averaged over seeds: its score, or how far it is from people's."""
    result = side.result
    columns = []
    for tally in result.tallies.values():
        if result.kind == "score":
            columns.append(_mean_over_repeats(np.abs(tally["grade"] - tally["human"][:, None])))
        else:
            columns.append(tally["distance" if result.kind == "batch" else "score"])
    ids = next(iter(result.tallies.values())).item_ids
    return dict(zip(ids, _mean_over_repeats(np.array(columns).T), strict=True))


def _mean_over_repeats(values: Any) -> Any:
    """Average along the last axis what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0).sum(-1) / there.sum(-1)


def _gain(figures: list[float | None], lower: bool) -> float | None:
    """Return candidate minus baseline, or, for a run alone, its figure; higher is better for the candidate."""
    known = [float(figure) for figure in figures if figure is not None and not math.isnan(figure)]
    if not known or len(known) < len(figures):
        return None
    return (-1 if lower else 1) * round(known[0] - (known[1] if len(known) > 1 else 0), 6)


def _weight(gain: float | None, compared: bool) -> float:
    if gain is None:
        return -math.inf
    return abs(gain) if compared else -gain


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 4)


def _answers(side: Side, texts: _Texts, first_only: bool) -> Mapping[str, list[Answer]]:
    found: dict[str, list[Answer]] = defaultdict(list)
    labels = {item.item_id: item.label for item in side.result.items}
    for j in side.judgments:
        kept = not first_only or j.seed == side.seeds[0]
        found[j.item_id].append(
            Answer(
                j.seed,
                "".join(_letter(place) for place in j.order),
                j.repeat,
                _said(j),
                _right(j, labels[j.item_id]),
                None if j.p_first is None else round(j.p_first, 4),
                texts.place(j.text) if kept else -1,
            )
        )
    for answers in found.values():
        answers.sort(key=lambda answer: (answer.seed, answer.repeat, answer.order))
    return found


def _letter(place: int) -> str:
    return ascii_uppercase[place] if place < len(ascii_uppercase) else f"({place + 1})"


def _label(value: Label, kind: Kind) -> str:
    """Write a label as the page speaks: a letter, `tie`, a grade or an order."""
    if isinstance(value, tuple):
        return " > ".join(map(_letter, value))
    return _letter(value) if isinstance(value, int) and kind in PAIRWISE else str(value)


def _said(judgment: Judgment) -> str:
    if judgment.chosen is not None:
        return _letter(judgment.chosen)
    if judgment.ranking is not None:
        return " > ".join(map(_letter, judgment.ranking))
    return str(judgment.reading)


def _right(judgment: Judgment, label: Any) -> bool | None:
    if judgment.reading == "tie":
        return bool(label == "tie")
    return None if judgment.chosen is None or isinstance(label, tuple) else bool(judgment.chosen == label)
