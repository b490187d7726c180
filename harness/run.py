"""A run: train through the stages, ask the tasks, keep the record."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import provenance
from harness.config import RunConfig, differing
from harness.errors import HarnessError
from harness.precision import arithmetic, slow_or_inexact
from harness.records import Run, RunFolder
from harness.records.run import StageRecord
from harness.registry import Recipe, load_task, results_root
from harness.scratch import sweep_temporary
from harness.settings import ServerSettings, TrainingSettings
from harness.show.console import RunConsole
from harness.training.launch import refuse_launcher
from harness.training.matching import matched
from harness.training.stages import ENGINE, Clock, Stages, Watch

if TYPE_CHECKING:
    from harness.evaluate.judged import Judged
    from harness.evaluate.tasks import PreparedTask


class Recorder:
    """Passes stage events on to the screen and into the run's record."""

    def __init__(self, run: Run, folder: RunFolder, watch: Watch) -> None:
        self.run, self.folder, self.watch = run, folder, watch

    def begin(self, stage: str, seed: int | None) -> Any:
        """Open the stage's progress."""
        return self.watch.begin(stage, seed)

    def remark(self, line: str) -> None:
        """Say something that a person should know."""
        self.watch.remark(line)

    def end(self, record: StageRecord) -> None:
        """Show a stage and keep it, once."""
        self.watch.end(record)
        if record.key not in {known.key for known in self.run.stages}:
            self.run.stages.append(record)
            self.folder.write_run(self.run)


class Resumption(NamedTuple):
    """What becomes of an unfinished run."""

    resume: bool = False
    """Whether it goes on."""
    retry_errors: bool = False
    """Whether what a server refused is asked again, too."""


def begin(config: RunConfig, folder: RunFolder, resume: bool) -> Run | None:
    """Open the run's folder; return None if the run is already complete.

    Raises:
        HarnessError: if the folder holds another configuration, naming the keys that differ, or
            an unfinished run without `resume`.
    """
    record = config.record()
    if not folder.exists():
        folder.refuse_foreign()
        run = Run(
            name=folder.name,
            status="unfinished",
            config=record,
            packages=provenance.packages(),
            revision=provenance.revision(),
            hardware=provenance.hardware(),
            started=provenance.now(),
        )
        folder.write_config(record)
        folder.write_run(run)
        return run
    run = folder.read_run()
    patience = {f"model_args.{name}" for name in ServerSettings.indifferent} | config.indifferent_paths()
    if apart := [key for key in differing(run.config, record) if key not in patience]:
        raise HarnessError(
            f"{folder.path} holds another run: {', '.join(apart)} differ{'s' if len(apart) == 1 else ''}.",
            "Choose another --out.",
        )
    if run.status == "complete":
        return None
    if not resume:
        raise HarnessError(f"{folder.path} holds this run, unfinished.", "Add --resume to go on with it.")
    return run


def execute(
    config: RunConfig,
    recipe: Recipe | None,
    folder: RunFolder,
    roots: Sequence[Path],
    terms: Resumption,
    console: RunConsole,
    first_seed: int | None = None,
) -> Run:
    """Carry out a run, or find it done; the seed that comes first changes no result."""
    refuse_launcher()
    with folder.locked():
        run = begin(config, folder, terms.resume)
        if run is None:
            run = folder.read_run()
            console.console.print(f"  complete; {sum(t.items for t in run.tasks)} items from the cache")
            return run
        sweep_temporary()
        folder.sweep()
        for line in (*slow_or_inexact(config), *asked_too_early(config)):
            console.console.print(f"  {line}", style="yellow")
        run.arithmetic = arithmetic()
        start = config.seeds.index(first_seed) if first_seed in config.seeds else 0
        seeds = [*config.seeds[start:], *config.seeds[:start]]
        _work(run, config, seeds, recipe, folder, roots, Recorder(run, folder, console), terms.retry_errors)
        shutil.rmtree(folder.path / ENGINE, ignore_errors=True)
        run.status, run.finished = "complete", provenance.now()
        folder.write_run(run)
        return run


def asked_too_early(config: RunConfig) -> list[str]:
    """Say where a judge that learns to reason first is asked for its verdict at once."""
    if config.sft is None or config.sft.rationale == "none" or "logprob" not in config.protocols.values():
        return []
    return [
        "--protocol logprob asks for the verdict at once, and this judge learns to write a rationale before it "
        "(sft.rationale): expect less of it. --protocol reasoned counts P(verdict) after the rationale."
    ]


def _work(
    run: Run,
    config: RunConfig,
    seeds: Sequence[int],
    recipe: Recipe | None,
    folder: RunFolder,
    roots: Sequence[Path],
    watch: Recorder,
    retry_errors: bool,
) -> None:
    """Train and ask, seed by seed."""
    from harness.evaluate import judged as judges
    from harness.evaluate import tasks
    from harness.evaluate.sieve import sieve

    stages = Stages(results_root() / "cache", watch, config.training or TrainingSettings())
    recipe = matched(recipe, config, roots) if recipe else None
    prepared = [tasks.prepare(stages, config, load_task(name, roots)) for name in config.tasks]
    stages.sieve = sieve(stages, config, {task.name: task.benchmark for task in prepared})
    for task in prepared:
        folder.write_items(task.name, task.items)
        folder.write_presentations(task.name, task.protocol.presentations(task.items, config.judging.order_seed))
    run.tasks = [task.record(config) for task in prepared]
    for seed in seeds:
        work = folder.path / ENGINE
        checkpoint = recipe.train(stages, config, seed) if recipe else None
        judged = judges.trained(config, stages.opened(checkpoint), work) if checkpoint else judges.given(config, work)
        _note_judge(run, seed, judged.fingerprint)
        with closing(judged):
            _ask(run, config, folder, prepared, judged, seed, watch, retry_errors)


def _ask(
    run: Run,
    config: RunConfig,
    folder: RunFolder,
    prepared: "Sequence[PreparedTask]",
    judged: "Judged",
    seed: int,
    watch: Recorder,
    retry_errors: bool,
) -> None:
    """Ask one seed's judge every task."""
    from harness.evaluate import tasks

    for task, record in zip(prepared, run.tasks, strict=True):
        record.prompts[str(seed)] = task.prompt_hash(judged)
        record.not_applicable = task.refusal(judged)
        folder.write_run(run)
        if record.not_applicable:
            continue
        name = f"judge {task.name}"
        clock = Clock()
        info = tasks.ask(folder, task, judged, config, seed, watch.begin(name, seed), retry_errors)
        key = f"{judged.fingerprint}-{task.name}-{seed}"
        watch.end(StageRecord(stage=name, seed=seed, key=key, cached=False, info=info, **clock.read()))


def _note_judge(run: Run, seed: int, fingerprint: str) -> None:
    """Keep what is judged; a resumed run must not mix answers of two judges."""
    known = run.checkpoints.setdefault(str(seed), fingerprint)
    if known != fingerprint:
        raise HarnessError(
            f"{run.name} has answers of another judge for seed {seed} ({known}, now {fingerprint}).",
            "Remove its folder, or choose another --out.",
        )
