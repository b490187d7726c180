"""How fast judges are asked, side by side in one run: writes benchmarks/judging.md.

    .venv/bin/python benchmarks/judging.py --write     # ten minutes on two cores; --items 12: a look

The judge is the embedded one, in its own words, on dev items of the embedded world. Rounds are interleaved and the
best of each counts. Where vLLM's environment is built, it is timed too. With `--checkpoint` another judge is asked,
which is what a machine with a GPU is for; lmms-eval's own path is then `llava_hf` too, if the class fits.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tabulate import tabulate

# as `harness run` sets it: idle threads that spin starve the ones that work
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from harness.config import RunConfig
from harness.data.benchmark import TABLE, read_items, write_benchmark
from harness.data.tables import Row
from harness.embedded.data import benchmark_rows
from harness.engines.engine import open_engine
from harness.engines.vllm_servers import interpreter, vllm_version
from harness.errors import HarnessError
from harness.evaluate import tasks
from harness.evaluate.engine_model import EngineModel
from harness.evaluate.hooks import load_hooks, presentation_docs
from harness.evaluate.judged import Judged
from harness.judge.checkpoints import resolve
from harness.judge.format import EMBEDDED
from harness.precision import resolved
from harness.protocols import find_protocol
from harness.provenance import hardware, packages, revision
from harness.records import RunFolder
from harness.registry import read_task
from harness.settings import JudgeSettings, JudgingSettings, VllmSettings, WorldSettings
from harness.training.stages import Artifact, Silent

ROOT = Path(__file__).parent.parent
CONTENT = read_task(ROOT / "tasks/vlrewardbench/vlrewardbench.yaml")
HOOKS = load_hooks("vlrewardbench", CONTENT.hooks)
TOKENS = 48
"""Longest answer; the embedded judge needs some fifteen."""


def dev_rows(items: int) -> Iterable[Row]:
    """Draw dev items of the embedded world."""
    return benchmark_rows(WorldSettings(items=items, split="dev"))


def prepared(scratch: Path, rows: Iterable[Row], protocol: str) -> tasks.PreparedTask:
    """Prepare items under a protocol."""
    info = write_benchmark(scratch / TABLE, rows, "dev", scratch, HOOKS.benchmark)
    found = read_items(scratch / TABLE)
    return tasks.PreparedTask(
        CONTENT, HOOKS, Artifact("benchmark", "key", scratch, info), found, find_protocol(protocol), EMBEDDED.prompt
    )


def asked(task: tasks.PreparedTask, model: Any, weighs: bool, tokens: int = TOKENS) -> float:
    """Return the seconds of asking a whole task through the harness: recorded, read, counted."""
    config = RunConfig(model="toy", tasks=["vlrewardbench"], judging=JudgingSettings(max_new_tokens=tokens))
    with tempfile.TemporaryDirectory() as folder:
        judged = Judged("benchmark", None, weighs, lambda: model)
        started = time.perf_counter()
        tasks.ask(RunFolder(Path(folder)), task, judged, config, 0, Silent())
        return time.perf_counter() - started


def asked_plainly(task: tasks.PreparedTask, model: Any) -> float:
    """Return the seconds of lmms-eval's own path for the same requests."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    generation = {"max_new_tokens": TOKENS, "do_sample": False, "temperature": 0, "until": []}
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        docs = presentation_docs(task.benchmark.path / TABLE, task.protocol, task.items, 0, Path(scratch))
        simple_evaluate(
            model=model,
            tasks=[
                {
                    "task": task.name,
                    "process_docs": lambda _: docs,
                    "doc_to_text": lambda doc: task.prompt(doc["query"], doc["shown"]),
                    "generation_kwargs": generation | task.protocol.generation,
                }
            ],
            task_manager=TaskManager(include_path=str(task.content.path.parent), include_defaults=False),
            batch_size=1,
            log_samples=False,
            bootstrap_iters=0,
        )
        return time.perf_counter() - started


def best(rounds: int, ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Time each way `rounds` times, in turn; return the best of each."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(way())
    return {name: min(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", default="embedded:judge")
    parser.add_argument("--write", action="store_true", help="write benchmarks/judging.md")
    options = parser.parse_args()
    import torch
    from lmms_eval.models import get_model

    # llava_hf imports a reader of videos, and none are shown here
    sys.modules.setdefault("decord", SimpleNamespace(VideoReader=None, cpu=None))  # type: ignore[arg-type]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    judge = JudgeSettings(model=options.checkpoint)
    settings = JudgingSettings(precision=resolved("auto"))
    with contextlib.ExitStack() as open_, tempfile.TemporaryDirectory() as work:

        def task(protocol: str, items: int) -> tasks.PreparedTask:
            folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
            return prepared(folder, dev_rows(items), protocol)

        where = {"pretrained": resolve(options.checkpoint).location, "device": device, "device_map": device}
        plain = get_model("llava_hf", force_simple=True)(**where, dtype=settings.precision)
        # lmms-eval unloads a model that it has asked once
        plain.clean = lambda: None
        ours = EngineModel(open_.enter_context(contextlib.closing(open_engine(judge, settings, Path(work)))))
        nine, both, weighed = (task(name, options.items) for name in ("official:9", "both-orders", "logprob"))
        ways = {
            "K = 9 (`official:9`), `transformers`": lambda: asked(nine, ours, True),
            "K = 9, lmms-eval's `llava_hf`, asked nine times": lambda: asked_plainly(nine, plain),
            "`both-orders`, `transformers`": lambda: asked(both, ours, True),
            "`both-orders`, lmms-eval's `llava_hf`": lambda: asked_plainly(both, plain),
            "`both-orders`, `llava_hf` through the harness": lambda: asked(both, plain, False),
            "`logprob`, `transformers`": lambda: asked(weighed, ours, True),
        }
        seconds = best(options.rounds, ways)
        version = ""
        try:
            version = vllm_version(interpreter(VllmSettings()))
        except HarnessError as error:
            print(f"vLLM is not timed: {error}")
        else:
            started = time.perf_counter()
            child = settings.model_copy(update={"engine": VllmSettings()})
            served = EngineModel(open_.enter_context(contextlib.closing(open_engine(judge, child, Path(work)))))
            seconds |= {f"`vllm`, starting ({version})": time.perf_counter() - started}
            seconds |= best(
                options.rounds,
                {
                    "K = 9, `vllm`": lambda: asked(nine, served, True),
                    "`both-orders`, `vllm`": lambda: asked(both, served, True),
                    "`logprob`, `vllm`": lambda: asked(weighed, served, True),
                },
            )
    text = report(seconds, options)
    print(text)
    if options.write:
        (ROOT / "benchmarks/judging.md").write_text(text, encoding="utf-8")


def report(seconds: dict[str, float], options: argparse.Namespace) -> str:
    """Write the page."""
    rows = [
        [name, f"{taken:.1f}", "–" if "starting" in name else f"{options.items / taken:.1f}"]
        for name, taken in seconds.items()
    ]
    names = list(seconds)
    faster = seconds[names[1]] / seconds[names[0]]
    over = seconds[names[4]] / seconds[names[3]] - 1
    machine = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in hardware().items())
    known = packages()
    versions = ", ".join(f"{name} {known[name]}" for name in ("torch", "transformers", "lmms-eval"))
    return f"""# How fast judges are asked

`benchmarks/judging.py --items {options.items} --rounds {options.rounds} --checkpoint {options.checkpoint}`: items a
second, loading apart, best of {options.rounds} interleaved rounds. Everything that a run does is in it: recording,
reading and counting.

{tabulate(rows, ["what", "seconds", "items/s"], tablefmt="github")}

- Nine sampled judgments an item: **{faster:.1f} times** the speed of lmms-eval's own path (goal: 3 or more).
- What the harness adds to lmms-eval for the same requests to the same model: **{100 * over:+.1f} %** (goal: at most 5).

Revision {revision()}; {machine}; {versions}.
"""


if __name__ == "__main__":
    main()
