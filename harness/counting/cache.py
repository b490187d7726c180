"""Counted results, kept by content: what this very code counted from these very files is not counted again.

An entry's name is the hash of the run's files and of the code that counts, so that one that is found is never
stale: another byte in either has another name. A damaged entry is counted anew.

| file under `results/cache/counted/` | what |
| --- | --- |
| `<hash>.npz` | one task of one run: the tallies' columns, seeds first, and its figures with their intervals |
| `<hash>.json` | the ranks of a set of runs by one metric |
"""

import contextlib
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy

from harness.counting.metrics import METRICS, Metric, of_slice
from harness.counting.results import TaskResult, load_result, rank_results
from harness.protocols import Tally, find_protocol
from harness.records import Item, Run, RunFolder
from harness.records.acceptance import refuse_changed
from harness.records.run import TaskRecord
from harness.scratch import abandoned, part_of
from harness.stats.ranking import Rank
from harness.stats.sums import FloatArray

COUNTING = ("records/*.py", "protocols/*.py", "stats/*.py", "counting/*.py")
"""The code that decides what an entry holds."""


class Figure(NamedTuple):
    """A metric's value and the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Counted:
    """One task of one run, with its figures."""

    result: TaskResult
    figures: dict[Metric, Figure]
    key: str
    """The hash of what it was counted from."""


def metrics_of(record: TaskRecord) -> list[Metric]:
    """List what is counted of a task: its metrics, then the first one within each slice."""
    return [*METRICS[record.kind].values(), *(of_slice(record.kind, name) for name in record.slices)]


class Cache:
    """Counts runs, each only once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: dict[str, list[Item]] = {}
        """Items by the hash of their file: runs on the same data share them."""

    def count(self, folder: RunFolder, run: Run, task: str) -> Counted:
        """Count one task of a run.

        Raises:
            HarnessError: as `load_result` does.
        """
        refuse_changed(folder.path)
        presentations = folder.path / f"presentations-{task}.jsonl"
        paths = [folder.path / "run.json", folder.items_path(task), presentations, folder.judgments_path(task)]
        if run.status != "complete" or not all(path.exists() for path in paths):
            return self._anew(folder, task, "")
        hashes = [_hash(path) for path in paths]
        key = _digest(code(), task, *hashes)
        path = self.folder / f"{key}.npz"
        with _damage_is_absence(), np.load(path, allow_pickle=False) as entry:
            record = next(record for record in run.tasks if record.task == task)
            if hashes[1] not in self.items:
                self.items[hashes[1]] = folder.read_items(task)
            return _from_arrays(
                {name: entry[name] for name in entry.files}, folder, run, record, self.items[hashes[1]], key
            )
        found = self._anew(folder, task, key)
        file = io.BytesIO()
        np.savez_compressed(file, **_to_arrays(found))
        self._keep(path, file.getvalue())
        return found

    def ranks(self, runs: Sequence[Counted], metric: Metric) -> list[Rank]:
        """Rank runs by a metric, as `rank_results` does."""
        path = self.folder / f"{_digest('ranks', repr(metric), *(run.key for run in runs))}.json"
        with _damage_is_absence():
            return [Rank(int(low), int(high), str(group)) for low, high, group in json.loads(path.read_bytes())]
        found = rank_results([run.result for run in runs], metric)
        self._keep(path, json.dumps(found).encode())
        return found

    @staticmethod
    def _anew(folder: RunFolder, task: str, key: str) -> Counted:
        result = load_result(folder, task)
        estimates = {metric: result.estimate(metric) for metric in metrics_of(result.task)}
        return Counted(result, {metric: Figure(e.value, e.low, e.high) for metric, e in estimates.items()}, key)

    def _keep(self, path: Path, content: bytes) -> None:
        """Write an entry in one step; where nothing can be written, the next call counts again."""
        part = part_of(path)
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in filter(abandoned, self.folder.glob("*.part")):
                left.unlink()
            try:
                part.write_bytes(content)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)


def _to_arrays(counted: Counted) -> dict[str, FloatArray]:
    tallies = list(counted.result.tallies.values())
    columns = {f"column {name}": np.stack([tally[name] for tally in tallies]) for name in tallies[0].columns}
    seeds = np.array(list(counted.result.tallies), float)
    return {"seeds": seeds, "figures": np.array(list(counted.figures.values())), **columns}


def _from_arrays(
    arrays: dict[str, FloatArray], folder: RunFolder, run: Run, record: TaskRecord, items: list[Item], key: str
) -> Counted:
    ids, slices = [item.item_id for item in items], [item.slice for item in items]
    clusters = [item.cluster_id for item in items]
    columns = {name.removeprefix("column "): array for name, array in arrays.items() if name.startswith("column ")}
    tallies = {
        int(seed): Tally(ids, slices, clusters, {name: array[i] for name, array in columns.items()})
        for i, seed in enumerate(arrays["seeds"])
    }
    protocol = find_protocol(record.protocol, record.kind)
    figures = {m: Figure(*map(float, row)) for m, row in zip(metrics_of(record), arrays["figures"], strict=True)}
    return Counted(TaskResult(run, record, protocol, items, tallies, folder), figures, key)


@contextlib.contextmanager
def _damage_is_absence() -> Iterator[None]:
    """Go on to counting where an entry is missing, torn or damaged."""
    with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        yield


@cache
def code() -> str:
    """Hash the code that counts, and the versions of what it computes with."""
    package = Path(__file__).parent.parent
    paths = sorted(path for pattern in COUNTING for path in package.glob(pattern))
    return _digest(np.__version__, scipy.__version__, *(_hash(path) for path in paths))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
