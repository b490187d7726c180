"""One task of one finished run, read and counted."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from harness.counting.checks import Evidence, seeds_of
from harness.counting.metrics import Metric, sums
from harness.errors import HarnessError, NotApplicableError, RunIncompleteError
from harness.protocols import Protocol, Tally, find_protocol
from harness.records import Item, Judgment, Kind, Run, RunFolder
from harness.records.acceptance import refuse_changed
from harness.records.run import TaskRecord
from harness.stats.intervals import Estimate, single, unknown_error
from harness.stats.ranking import Rank, rank
from harness.stats.sums import Clusters, Sums


@dataclass(frozen=True)
class TaskResult:
    """One task of one run, counted: a tally per seed."""

    run: Run
    task: TaskRecord
    protocol: Protocol
    items: list[Item]
    tallies: dict[int, Tally]
    folder: RunFolder
    unshown: int = 0
    """Judgments that do not say what was shown, as older records do not; known where they were read just now."""

    @property
    def kind(self) -> Kind:
        """What the task asks."""
        return self.task.kind

    @property
    def slices(self) -> list[str]:
        """The slices in the order they are printed."""
        return self.task.slices

    @cached_property
    def clusters(self) -> Clusters | None:
        """The clusters of the items; None where an item has none, so that no interval can be told."""
        if self.unclustered:
            return None
        return Clusters.of([item.cluster_id for item in self.items], [item.slice for item in self.items])

    def sums(self, metric: Metric) -> Sums:
        """Add up what a metric needs of each cluster; of all items together where clusters are not known."""
        clusters = self.clusters or Clusters(np.zeros(len(self.items), np.intp), np.zeros(1, np.intp))
        return sums(metric, list(self.tallies.values()), clusters)

    def estimate(self, metric: Metric, level: float = 0.95) -> Estimate:
        """Estimate a metric over this run's seeds, with its interval."""
        added = self.sums(metric)
        if self.clusters is None:
            return unknown_error(float(added.per_seed.mean()))
        return single(added, self.clusters, metric.scale, level)

    def restricted(self, item_ids: set[str]) -> "TaskResult":
        """Keep only some items, in the order of their ids, so that two runs are in one order."""
        kept = (i for i, item in enumerate(self.items) if item.item_id in item_ids)
        order = sorted(kept, key=lambda i: self.items[i].item_id)
        tallies = {seed: _rows(tally, order) for seed, tally in self.tallies.items()}
        return replace(self, items=[self.items[i] for i in order], tallies=tallies)

    def judgments(self) -> dict[int, list[Judgment]]:
        """Read the judgments again, by seed: they are many, and only few figures need them."""
        return _by_seed(self.folder.read_judgments(self.task.task))

    @property
    def unclustered(self) -> int:
        """Count the items of which no image is known, so that no interval can be estimated."""
        return sum(item.cluster_id is None for item in self.items)


def _rows(tally: Tally, order: list[int]) -> Tally:
    return Tally(
        [tally.item_ids[i] for i in order],
        [tally.slices[i] for i in order],
        [tally.clusters[i] for i in order],
        {name: values[order] for name, values in tally.columns.items()},
    )


def load_result(folder: RunFolder, task: str | None = None) -> TaskResult:
    """Read, check and count one task of a run: the one place where files become figures.

    Raises:
        RunIncompleteError: if judgments are missing or doubled.
        DataError: if a file contradicts itself or another, as `harness.counting.checks` says.
        HarnessError: if the run has several tasks and none is named.
    """
    refuse_changed(folder.path)
    run = folder.read_run()
    names = [record.task for record in run.tasks]
    if task is None and len(names) > 1:
        raise HarnessError(f"run {run.name} has the tasks {', '.join(names)}.", "Choose one with --task.")
    finish = f"harness run --config {folder.path}/config.yaml --out {folder.path} --baseline none --resume"
    if run.status != "complete" or not names:
        raise RunIncompleteError(f"run {run.name} is {run.status}.", f"Finish it: {finish}")
    record = next((r for r in run.tasks if r.task == (task or names[0])), None)
    if record is None:
        raise HarnessError(f"run {run.name} has no task {task!r}.", f"It has {', '.join(names)}.")
    if record.not_applicable:
        raise NotApplicableError(f"{run.name} has no answers to {record.task}: {record.not_applicable}.")
    items, judgments = folder.read_items(record.task), folder.read_judgments(record.task)
    protocol, seeds = find_protocol(record.protocol, record.kind), seeds_of(run, folder)
    Evidence(folder, run, record, protocol, seeds, items, judgments).check()
    given = _by_seed(judgments)
    tallies = {seed: protocol.tally(items, given[seed]) for seed in seeds}
    unshown = sum(judgment.shown is None for judgment in judgments)
    return TaskResult(run, record, protocol, items, tallies, folder, unshown)


def _by_seed(judgments: Sequence[Judgment]) -> dict[int, list[Judgment]]:
    grouped: dict[int, list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        grouped[judgment.seed].append(judgment)
    return grouped


def label(run: Run) -> str:
    """Name a run as tables do: its recipe or model."""
    return str(run.config.get("recipe") or run.config.get("model"))


def slices_of(results: Sequence[TaskResult]) -> list[str]:
    """List every slice that any of the results has, in the order of the first that has it."""
    return list(dict.fromkeys(name for result in results for name in result.slices))


def rank_results(results: Sequence[TaskResult], metric: Metric) -> list[Rank]:
    """Rank runs by a metric on the items they share, with intervals and tie groups.

    Raises:
        ValueError: if they share no item, or an item has no cluster.
    """
    shared = set.intersection(*({item.item_id for item in result.items} for result in results))
    kept = [result.restricted(shared) for result in results]
    clusters = Clusters.of([item.cluster_id for item in kept[0].items], [item.slice for item in kept[0].items])
    return rank([sums(metric, list(one.tallies.values()), clusters) for one in kept], clusters, metric.lower_is_better)
