"""VL-RewardBench's task over a few items of the embedded world."""

from pathlib import Path

from harness.data.benchmark import write_benchmark
from harness.embedded.data import benchmark_rows
from harness.evaluate import tasks
from harness.registry import read_task
from harness.settings import WorldSettings
from harness.training.stages import Artifact
from tests.toys import ROOT

CONTENT = read_task(ROOT / "tasks/vlrewardbench/vlrewardbench.yaml")
HOOKS = tasks.load_hooks("vlrewardbench", CONTENT.hooks)


def small_benchmark(folder: Path, items: int) -> Artifact:
    """Write a benchmark of so many items into a folder."""
    rows = benchmark_rows(WorldSettings(items=items))
    info = write_benchmark(folder / tasks.TABLE, rows, "embedded", folder, HOOKS.benchmark)
    return Artifact("benchmark", "key", folder, info)
