"""Prepares a task's data and asks a judge every presentation of it."""

import hashlib
import importlib.util
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from harness.config import RunConfig, WorldSettings
from harness.data.benchmark import write_benchmark
from harness.errors import HarnessError, RunIncompleteError
from harness.evaluate.pairwise_task import prepare_benchmark, presentation_docs
from harness.judge.checkpoints import folder_fingerprint
from harness.judge.format import load_format
from harness.metrics import METRICS, estimate
from harness.protocols import PairProtocol
from harness.records import Item, Judgment, RunFolder
from harness.records.run import TaskRecord
from harness.training.stages import Artifact, Progress, Stages

TABLE = "benchmark.parquet"


def load_hooks(yaml_path: Path) -> ModuleType:
    """Load the `hooks.py` beside a task's YAML."""
    path = yaml_path.parent / "hooks.py"
    spec = importlib.util.spec_from_file_location(f"harness_task_{yaml_path.stem}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise HarnessError(f"{path} is missing.", "A task has a YAML file and hooks.py; copy tasks/vlrewardbench.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def embedded_benchmark(out: Path, task: str, hooks: str, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Draw the embedded benchmark in the task's fields."""
    from harness.embedded.data import benchmark_rows

    slice_of = load_hooks(Path(hooks)).slice_of
    return write_benchmark(out / TABLE, benchmark_rows(world), "embedded", Path(), task, slice_of)


def given_benchmark(
    out: Path, task: str, hooks: str, data: str, fingerprint: str | None, *, progress: Progress
) -> dict[str, Any]:
    """Read the benchmark from a file (whose content has `fingerprint`) or from the hub."""
    module = load_hooks(Path(hooks))
    return prepare_benchmark(data, task, module.HUB, module.slice_of, out / TABLE)


def open_benchmark(run: Stages, config: RunConfig, task: str, yaml_path: Path) -> Artifact:
    """Open a task's data as the configuration names it."""
    if config.data == "embedded":
        world = config.world or WorldSettings()
        # how many training pairs there are changes no item
        return run(embedded_benchmark, task, str(yaml_path), world.model_copy(update={"pairs": 1, "caption_noise": 0}))
    return run(given_benchmark, task, str(yaml_path), config.data, config.fingerprints.get("data"))


def limited(items: list[Item], limit: int | None) -> list[Item]:
    """Keep `limit` items, drawn once and for all by their hash, in the order of the data.

    The first items of a benchmark are often all of one source; these are a fair sample, and a
    larger limit only adds to a smaller one.
    """
    if limit is None or limit >= len(items):
        return items
    drawn = sorted(items, key=lambda item: hashlib.sha256(item.item_id.encode()).digest())[:limit]
    kept = {item.item_id for item in drawn}
    return [item for item in items if item.item_id in kept]


def prompt_hash(checkpoint: str, yaml_path: Path) -> str:
    """Hash the words that a judge is asked in: its checkpoint's format, or the benchmark's prompt."""
    folder = Path(checkpoint)
    format_ = load_format(folder) if folder.is_dir() else None
    words = format_.prompt if format_ else load_hooks(yaml_path).prompt("{question}", "{first}", "{second}")
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def task_record(
    task: str, protocol: PairProtocol, benchmark: Artifact, items: list[Item], config: RunConfig
) -> TaskRecord:
    """Describe what a task asked."""
    return TaskRecord(
        task=task,
        protocol=protocol.spec,
        protocol_version=protocol.version,
        data=benchmark.info["source"],
        data_fingerprint=benchmark.info["fingerprint"],
        data_items=benchmark.info["items"],
        items=len(items),
        synthetic=config.data == "embedded",
    )


def ask(
    folder: RunFolder,
    task: str,
    yaml_path: Path,
    benchmark: Artifact,
    items: list[Item],
    protocol: PairProtocol,
    config: RunConfig,
    seed: int,
    open_model: Callable[[], Any],
    progress: Progress,
) -> dict[str, Any]:
    """Ask one judge what is owed of a task, through lmms-eval, and check lmms-eval's own figure.

    Raises:
        RunIncompleteError: if lmms-eval stopped before every presentation was answered.
        AssertionError: if lmms-eval's accuracy is not the one computed from the records.
    """
    folder.mend_judgments(task)
    done = folder.read_judgments(task)
    owed = {(seed, p.item_id, p.swapped, p.repeat) for p in protocol.presentations(items, config.judging.order_seed)}
    missing = owed - {judgment.key for judgment in done}
    if missing:
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            docs = presentation_docs(benchmark.path / TABLE, protocol, items, config.judging.order_seed, Path(scratch))
            recorder = _recorder(folder, task, protocol, config, seed, open_model, progress, done)
            theirs = _simple_evaluate(recorder, task, yaml_path, docs, protocol, config)
        judgments = [j for j in folder.read_judgments(task) if j.seed == seed]
        ours = estimate(METRICS["accuracy"], protocol.tally(items, judgments))
        if not np.isclose(theirs, ours, rtol=0, atol=1e-9, equal_nan=True):
            raise AssertionError(f"lmms-eval counts an accuracy of {theirs}, the records one of {ours}")
    answered = [judgment for judgment in folder.read_judgments(task) if judgment.seed == seed]
    if len(answered) != len(owed):
        raise RunIncompleteError(f"{len(owed) - len(answered)} answers are owed.", "Go on with --resume.")
    tally = protocol.tally(items, answered)
    unparsed = sum(judgment.reading == "unparsed" for judgment in answered)
    return {"answers": len(owed), "unparsed": unparsed, "accuracy": round(estimate(METRICS["accuracy"], tally), 4)}


def _recorder(
    folder: RunFolder,
    task: str,
    protocol: PairProtocol,
    config: RunConfig,
    seed: int,
    open_model: Callable[[], Any],
    progress: Progress,
    done: list[Judgment],
) -> Any:
    from harness.evaluate.recording import RecordingModel

    return RecordingModel(open_model(), folder, task, protocol, seed, config.judging.chunk_size, progress, done)


def _simple_evaluate(
    recorder: Any, task: str, yaml_path: Path, docs: Any, protocol: PairProtocol, config: RunConfig
) -> float:
    """Let lmms-eval ask every document; return the accuracy that it counts."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    generation = {"max_new_tokens": config.judging.max_new_tokens, "do_sample": False, "temperature": 0, "until": []}
    generation |= {key: value for key, value in protocol.generation.items() if key != "max_new_tokens"}
    results = simple_evaluate(
        model=recorder,
        tasks=[{"task": task, "process_docs": lambda _: docs, "generation_kwargs": generation}],
        task_manager=TaskManager(include_path=str(yaml_path.parent), include_defaults=False),
        batch_size=config.judging.batch_size,
        log_samples=False,
        bootstrap_iters=0,
    )
    return float(results["results"][task]["accuracy,none"])


def checkpoint_fingerprint(location: str, model: str | None, arguments: dict[str, Any]) -> str:
    """Fingerprint what was judged: a checkpoint's weights, or a model's name and arguments."""
    if model is None and Path(location).is_dir():
        return folder_fingerprint(Path(location))
    named = json.dumps([model or location, {k: str(v) for k, v in sorted(arguments.items())}])
    return "named:" + hashlib.sha256(named.encode()).hexdigest()[:16]
