"""Prepares a task's data and asks a judge every presentation of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import RunConfig, server_settings
from harness.counting.metrics import estimate, primary
from harness.data.benchmark import TABLE, read_items, write_benchmark
from harness.engines.engine import REFUSED
from harness.errors import HarnessError, RunIncompleteError
from harness.evaluate.hooks import TaskHooks, data_file, fill, load_hooks, open_rows, presentation_docs
from harness.evaluate.judged import Judged
from harness.protocols import Protocol, find_protocol
from harness.protocols.forms import find_reader, reader_name
from harness.protocols.reading import READERS
from harness.published_judges import VerdictForm
from harness.records import Item, Judgment, Presentation, RunFolder
from harness.records.content import marked
from harness.records.inventory import limited
from harness.records.judgment import PLACEHOLDERS, words_hash
from harness.records.run import TaskRecord
from harness.records.usage import usage_of
from harness.registry import TaskContent
from harness.scratch import scratch
from harness.settings import SERVER, WorldSettings
from harness.training.stages import Artifact, Progress, Stages


def embedded_benchmark(
    out: Path, task: str, hooks: Path, world: WorldSettings, *, progress: Progress
) -> dict[str, Any]:
    """Draw the embedded benchmark in the task's fields."""
    ours = load_hooks(task, hooks)
    return write_benchmark(out / TABLE, ours.embedded(world), "embedded", Path(), ours.benchmark)


def named_benchmark(out: Path, task: str, hooks: Path, data: str, *, progress: Progress) -> dict[str, Any]:
    """Read the benchmark from the hub, `hub` or `hub:NAME[@REVISION]`."""
    ours = load_hooks(task, hooks)
    rows, source, folder = open_rows(ours.benchmark, data, lambda: iter(()))
    return write_benchmark(out / TABLE, rows, source, folder, ours.benchmark)


def file_benchmark(out: Path, task: str, hooks: Path, path: Path, *, progress: Progress) -> dict[str, Any]:
    """Read the benchmark from a parquet or JSONL file in the task's fields."""
    return named_benchmark(out, task, hooks, str(path), progress=progress)


def open_benchmark(run: Stages, config: RunConfig, task: TaskContent) -> Artifact:
    """Open a task's data as the configuration names it."""
    data = config.data[task.name]
    if data == "embedded":
        world = config.world or WorldSettings()
        # how many training pairs there are changes no item
        world = world.model_copy(update={"pairs": 1, "caption_noise": 0})
        return run(embedded_benchmark, task.name, task.hooks, world)
    if data == "hub" or data.startswith("hub:"):
        return run(named_benchmark, task.name, task.hooks, data)
    return run(
        file_benchmark, task.name, task.hooks, data_file(load_hooks(task.name, task.hooks).benchmark, Path(data))
    )


@dataclass(frozen=True)
class PreparedTask:
    """A task with its data and the items that will be asked."""

    content: TaskContent
    hooks: TaskHooks
    benchmark: Artifact
    items: list[Item]
    protocol: Protocol
    prompt_text: str | None
    """A user's prompt in place of the task's own."""
    form: VerdictForm | None = None
    """How a published judge writes its verdict; None leaves the reader to protocol and task."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.content.name

    @property
    def reader(self) -> str:
        """The reader of its answers, by name."""
        return reader_name(self.protocol, self.content.reader, self.form)

    def record(self, config: RunConfig) -> TaskRecord:
        """Describe what is asked, for the run's record."""
        info = self.benchmark.info
        return TaskRecord(
            task=self.name,
            kind=self.content.kind,
            protocol=self.protocol.spec,
            protocol_version=self.protocol.version,
            reader=self.reader,
            data=info["source"],
            release=info["release"],
            data_fingerprint=info["fingerprint"],
            data_items=info["items"],
            data_slices=info["slices"],
            items=len(self.items),
            slices=[name for name in info["slices"] if name in {item.slice for item in self.items}],
            synthetic=config.data[self.name] == "embedded",
        )

    def prompt(self, question: str, shown: Sequence[str]) -> str:
        """Write what a model that brings no words of its own is asked."""
        if self.prompt_text is None:
            return self.hooks.prompt(question, shown, self.protocol.compares)
        return fill(self.prompt_text, question, shown)

    def prompt_hash(self, judged: Judged) -> str:
        """Hash the words that a judge is asked in: its own, or the benchmark's."""
        shown = len(self.protocol.present(self.items[:1], 0, 1)[0].order)
        return words_hash(judged.own_prompt or self.prompt("{question}", PLACEHOLDERS[:shown]))

    def refusal(self, judged: Judged) -> str | None:
        """Say why a judge cannot be asked this task; None if it can.

        Raises:
            HarnessError: if the protocol needs P(verdict) of a model that gives none.
        """
        self._need_probabilities(judged.weighs)
        if judged.sees == "one" and any(item.image_hash is None for item in self.items):
            return "the judge reads one image, before the question, and these items have others, or none"
        if judged.sees == "questions" and any(marked(r, len(i.images)) for i in self.items for r in i.responses):
            return "the judge reads no images in responses"
        if judged.scores:
            graded = self.content.kind == "score" and self.reader != "reward"
            return "the judge's rewards are on a scale of their own, and grades are asked for" if graded else None
        if self.reader == "reward":
            return "the judge gives no reward to a single response"
        if judged.own_prompt and self.protocol.scores:
            return "the judge's format gives no scores"
        if judged.own_prompt and not self.protocol.compares:
            return "the judge's format only compares two responses"
        return None

    def refuse_unweighed(self, model: Any) -> None:
        """Refuse a loaded model that gives no P(verdict), if the protocol needs it.

        Raises:
            HarnessError: likewise.
        """
        engine = getattr(model, "engine", None)
        weighs = getattr(engine, "weighs", True)
        self._need_probabilities(weighs if self.protocol.weighs else getattr(engine, "tells_p", weighs))

    def _need_probabilities(self, given: bool) -> None:
        if self.protocol.counts_p and not given:
            raise HarnessError(
                f"protocol {self.protocol.spec} needs P(verdict), which this model does not give.",
                "Judge a checkpoint with --model harness_judge, a server that is vLLM, or choose --protocol "
                "both-orders.",
            )

    def owed(self, config: RunConfig, seed: int) -> set[tuple[int, Presentation]]:
        """List the keys of every judgment that one seed's judge has to give."""
        return {(seed, p) for p in self.protocol.presentations(self.items, config.judging.order_seed)}


def prepare(run: Stages, config: RunConfig, task: TaskContent) -> PreparedTask:
    """Open a task's data and draw the items that will be asked."""
    benchmark = run.opened(open_benchmark(run, config, task))
    items = limited(read_items(benchmark.path / TABLE), config.limit)
    # a published judge's file of words holds no prompt of the task's
    prompt = None if config.published else config.prompts.get(task.name)
    return PreparedTask(
        task,
        load_hooks(task.name, task.hooks),
        benchmark,
        items,
        find_protocol(config.protocols[task.name], task.kind),
        None if prompt is None else Path(prompt).read_text(encoding="utf-8"),
        config.published.verdict if config.published else None,
    )


def ask(
    folder: RunFolder,
    task: PreparedTask,
    judged: Judged,
    config: RunConfig,
    seed: int,
    progress: Progress,
    retry_errors: bool = False,
) -> dict[str, Any]:
    """Ask one judge what is owed of a task, through lmms-eval, and check lmms-eval's own figure.

    What failed is owed, but for what a server refused for good, unless `retry_errors`.

    Raises:
        RunIncompleteError: if lmms-eval stopped before every presentation was answered, or answers failed.
        AssertionError: if lmms-eval's figure is not the one computed from the records.
    """
    folder.mend_judgments(task.name)
    kept = folder.read_judgments(task.name)
    done = [j for j in kept if j.reading != "error" or (str(j.error).startswith(REFUSED) and not retry_errors)]
    owed = task.owed(config, seed)
    counted = None
    if owed - {judgment.key for judgment in done}:
        counted = _simple_evaluate(folder, task, judged, config, seed, progress, done)
    answered = [judgment for judgment in folder.read_judgments(task.name) if judgment.seed == seed]
    if len(answered) != len(owed):
        raise RunIncompleteError(f"{len(owed) - len(answered)} answers are owed.", "Go on with --resume.")
    if failed := [judgment for judgment in answered if judgment.reading == "error"]:
        raise _failed(failed, len(owed))
    if task.protocol.counts_p and any(judgment.read and judgment.p_first is None for judgment in answered):
        raise HarnessError(
            f"protocol {task.protocol.spec} counts P(verdict), which some of the answers came without.",
            "The answers are kept: choose --protocol both-orders under another --out.",
        )
    metric = primary(task.content.kind)
    figure = estimate(metric, task.protocol.tally(task.items, answered))
    # P(verdict) is in the records only
    if counted is not None and not task.protocol.counts_p and not np.isclose(counted, figure, 0, 1e-9, equal_nan=True):
        raise AssertionError(f"lmms-eval counts a {metric.name} of {counted}, the records one of {figure}")
    info: dict[str, Any] = {"answers": len(owed), "unparsed": sum(not judgment.read for judgment in answered)}
    if "official" in task.content.protocols and task.content.kind == "pair" and not task.form:
        # answers on which the published pattern and the strict reader differ
        info["readers_differ"] = sum(READERS["official"](j.text, 2) != READERS["strict"](j.text, 2) for j in answered)
    return info | {metric.name: round(figure, 4), "usage": _usage(answered, config)}


def _usage(answered: Sequence[Judgment], config: RunConfig) -> dict[str, Any]:
    """Sum up what one seed's answers took; what they cost, where a server has prices and tells its tokens."""
    took: dict[str, Any] = usage_of(answered, len({judgment.item_id for judgment in answered}))
    tokens = [took[name] for name in ("prompt_tokens", "completion_tokens")]
    server = server_settings(config.model_args) if config.model == SERVER else None
    if server and server.priced and None not in tokens:
        took["cost"] = round(server.price(*tokens), 6)
    return took


def _failed(failed: Sequence[Judgment], owed: int) -> RunIncompleteError:
    """Say how many answers failed, why, and of which items."""
    why, times = Counter(judgment.error for judgment in failed).most_common(1)[0]
    names = list(dict.fromkeys(judgment.item_id for judgment in failed))
    which = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    told = f"{len(failed)} of {owed} answers failed ({times} times: {why}), of {which}."
    if all(str(judgment.error).startswith(REFUSED) for judgment in failed):
        return RunIncompleteError(told, "--retry-errors asks them again; to go without, leave the items out of --data.")
    return RunIncompleteError(told, "--resume asks only what is owed.")


def _simple_evaluate(
    folder: RunFolder,
    task: PreparedTask,
    judged: Judged,
    config: RunConfig,
    seed: int,
    progress: Progress,
    done: list[Judgment],
) -> float:
    """Let lmms-eval ask every presentation; return the figure that it counts."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    from harness.evaluate.recording import RecordingModel

    chunk = config.judging.chunk_size
    model = judged.model()
    task.refuse_unweighed(model)
    recorder = RecordingModel(
        model, folder, task.name, find_reader(task.reader, task.form), seed, chunk, progress, done
    )
    generation: dict[str, Any] = {"max_new_tokens": 2048, "do_sample": False, "temperature": 0, "until": []}
    generation |= task.protocol.generation
    if config.judging.max_new_tokens:
        generation["max_new_tokens"] = config.judging.max_new_tokens
    if task.protocol.weighs:
        generation["weigh_verdict"] = True
    with scratch() as folder_of_docs:
        table = task.benchmark.path / TABLE
        docs = presentation_docs(table, task.protocol, task.items, config.judging.order_seed, folder_of_docs, task.form)
        asked = {
            "task": task.name,
            "process_docs": lambda _: docs,
            "doc_to_text": lambda doc: task.prompt(doc["query"], doc["shown"]),
            "generation_kwargs": generation,
        }
        results = simple_evaluate(
            model=recorder,
            tasks=[asked],
            task_manager=TaskManager(include_path=str(task.content.path.parent), include_defaults=False),
            batch_size=config.judging.batch_size,
            log_samples=False,
            bootstrap_iters=0,
        )
    return float(results["results"][task.name][f"{primary(task.content.kind).name},none"])
