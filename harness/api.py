"""What Python code may build on: finished runs as tables, compared and gated as the commands do.

    import harness

    run = harness.load_run("carevl")                # a run's or a baseline's name, or a folder
    run.judgments().to_pandas()                     # an arrow table, a row an answer
    run.figures()["accuracy"].low                   # of a 95 % interval
    found = harness.compare("distill", "carevl")
    print(found.sentence())
    harness.table(found).to_pandas()                # a row a metric and slice
    harness.gate("distill", "carevl", margin=0.02).verdict
    harness.leaderboard("distill", "carevl").to_pandas()
    with harness.Judge("run:carevl-embedded-vlrewardbench-59387d31") as judge:
        judge.judge("7.png", "what is left?", ["a cup", "a dog"]).best

Files are checked as the commands check them, and what is wrong with them raises `harness.HarnessError`, whose text
names the fix. These names stay; whatever else the package holds may change. Only a judge that is made loads torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparing.comparison import Comparison
from harness.comparing.comparison import compare as _compare
from harness.counting.metrics import HEADLINES, METRICS, of_slice, primary
from harness.counting.results import TaskResult, label, load_result, rank_results
from harness.decide.gate import Ruling, Terms, decide
from harness.errors import HarnessError
from harness.records import RunFolder
from harness.registry import find_run
from harness.stats.intervals import Estimate
from harness.verdicts import Judge

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Comparison", "Estimate", "HarnessError", "Judge", "Ruling", "Run",
    "compare", "gate", "leaderboard", "load_run", "table",
]  # fmt: skip

PLACED = ("pair", "pair-sets")
"""Kinds of task whose label is always the place of a response."""


@dataclass(frozen=True)
class Run:
    """One task of a finished run."""

    result: TaskResult
    """Its records, read and counted."""

    @property
    def name(self) -> str:
        """The run's name."""
        return self.result.run.name

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.result.folder.path

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its configuration, resolved."""
        return self.result.run.config

    @property
    def seeds(self) -> list[int]:
        """The training seeds that were judged."""
        return list(self.result.tallies)

    def figures(self, level: float = 0.95) -> dict[str, Estimate]:
        """Estimate each headline metric and each slice, over seeds, with its interval."""
        kind = self.result.kind
        metrics = [METRICS[kind][name] for name in HEADLINES[kind]]
        metrics += [of_slice(kind, name) for name in self.result.slices]
        return {metric.name: self.result.estimate(metric, level) for metric in metrics}

    def items(self) -> "pa.Table":
        """Give what was asked, a row an item: the fields of `harness.records.Item`."""
        rows = [item.model_dump(mode="json") for item in self.result.items]
        return _arrow([row | {"label": self._label(row["label"])} for row in rows])

    def judgments(self) -> "pa.Table":
        """Give every answer, a row each: the fields of `harness.records.Judgment`, with its item's label and slice.

        `chosen` is the place, in the item's own order, of the preferred response; `right`, of tasks that ask which of
        two is better, whether it is the label's; false without a verdict.
        """
        items = {item.item_id: item for item in self.result.items}
        rows = []
        for judgments in self.result.judgments().values():
            for judgment in judgments:
                item = items[judgment.item_id]
                row = judgment.model_dump(mode="json")
                row |= {"reading": _written(judgment.reading), "chosen": judgment.chosen}
                row |= {"label": self._label(item.label), "slice": item.slice}
                if self.result.kind in PLACED:
                    row["right"] = judgment.chosen == item.label
                rows.append(row)
        return _arrow(rows)

    def _label(self, label: object) -> object:
        """Keep a place or a grade a number; ties and orders are written."""
        return label if self.result.kind in (*PLACED, "score") else _written(label)


def load_run(name: str | Path, task: str | None = None) -> Run:
    """Read a finished run, check its files, and count it.

    Args:
        name: a run's or an accepted baseline's name, or a folder.
        task: which of its tasks; None where it has one.

    Raises:
        HarnessError: if there is no such run, it is unfinished, or its files contradict one another.
    """
    return Run(load_result(RunFolder(find_run(str(name))), task))


def compare(
    baseline: str | Path | Run,
    candidate: str | Path | Run,
    *,
    task: str | None = None,
    level: float = 0.95,
    other_prompts: bool = False,
) -> Comparison:
    """Compare two finished runs on the items they share, as `harness compare` does.

    Args:
        baseline: a run, or what `load_run` takes.
        candidate: likewise.
        task: which of their tasks; None where they have one.
        level: of the intervals.
        other_prompts: whether they may have been asked in different words.

    Raises:
        HarnessError: if they cannot be compared.
    """
    base, cand = (_run(side, task).result for side in (baseline, candidate))
    return _compare(base, cand, level=level, other_prompts=other_prompts)


def gate(
    baseline: str | Path | Run,
    candidate: str | Path | Run,
    *,
    margin: float = 0.02,
    improvement: bool = False,
    metric: str | None = None,
    alpha: float = 0.05,
    task: str | None = None,
) -> Ruling:
    """Judge whether the candidate may take the baseline's place, as `harness gate` does.

    Args:
        baseline: a run, or what `load_run` takes.
        candidate: likewise.
        margin: how much worse is let through, in the metric's own unit: 0.02 is two points of a share.
        improvement: whether it must be better, instead of not worse.
        metric: a headline metric or a slice; None for the task's first.
        alpha: one minus the level of the interval that decides.
        task: which of their tasks; None where they have one.

    Returns:
        The ruling: its `verdict`, exit `code` and `lines`.

    Raises:
        HarnessError: if nothing can be ruled.
    """
    found = compare(baseline, candidate, task=task, level=1 - alpha)
    return decide(found, Terms(margin, improvement, alpha, metric))


def table(comparison: Comparison) -> "pa.Table":
    """Give a comparison's differences, a row a metric and slice; shares as shares, p as it is tested and corrected."""
    return _arrow(
        [
            {
                "metric": difference.metric.name,
                "baseline": difference.baseline,
                "candidate": difference.candidate,
                "difference": difference.estimate.value,
                "low": difference.estimate.low,
                "high": difference.estimate.high,
                "p": difference.estimate.p,
                "adjusted_p": difference.adjusted_p,
                "verdict": difference.verdict,
                "clusters": difference.clusters,
            }
            for difference in comparison.differences
        ]
    )


def leaderboard(*runs: str | Path | Run, task: str | None = None) -> "pa.Table":
    """Rank finished runs on the items they share, the best first.

    Args:
        runs: at least two, or what `load_run` takes.
        task: which of their tasks; None where they have one.

    Returns:
        A row a run: its first metric with its interval, the best and worst rank that the data allow, and its tie group.

    Raises:
        HarnessError: if they are not of one task, protocol and data.
    """
    results = [_run(run, task).result for run in runs]
    if len({(r.task.task, r.task.protocol, r.task.data_fingerprint) for r in results}) != 1:
        raise HarnessError("the runs are of several tasks, protocols or data.", "Rank those of one at a time.")
    metric = primary(results[0].kind)
    estimates = [result.estimate(metric) for result in results]
    rows = []
    for result, estimate, rank in zip(results, estimates, rank_results(results, metric), strict=True):
        row = {"run": result.run.name, "recipe": label(result.run), metric.name: estimate.value}
        row |= {"low": estimate.low, "high": estimate.high}
        rows.append(row | {"best_rank": rank.low, "worst_rank": rank.high, "ties": rank.group})
    return _arrow(sorted(rows, key=lambda row: row[metric.name], reverse=not metric.lower_is_better))


def _run(run: str | Path | Run, task: str | None) -> Run:
    return run if isinstance(run, Run) else load_run(run, task)


def _written(value: object) -> str:
    """Write a verdict, a grade or an order, so that a column holds one kind of value."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _arrow(rows: list[dict[str, Any]]) -> "pa.Table":
    import pyarrow as pa

    found = pa.Table.from_pylist(rows)
    # what no row has is a text that is not there, and no kind of its own
    kinds = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in found.schema]
    return found.cast(pa.schema(kinds))
