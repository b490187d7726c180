"""Runs: resolve the configuration, train through the stages, ask the tasks, keep the record."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness import provenance
from harness.config import SECTIONS, RunConfig, assign, differing_keys, parse_assignment, validated
from harness.console import RunConsole
from harness.data.tables import fingerprint
from harness.errors import HarnessError, unknown
from harness.judge.checkpoints import resolve
from harness.protocols import find_protocol
from harness.records import Run, RunFolder
from harness.records.run import StageRecord
from harness.registry import Recipe, describe_task, find_tasks, load_profile, results_root
from harness.training.stages import Stages, Watch, code_hash


def resolve_config(
    given: dict[str, Any], assignments: Sequence[str], roots: Sequence[Path], recipe: Recipe | None
) -> RunConfig:
    """Fill a configuration from its profile, the command line and `--set`, in that order.

    Args:
        given: top-level settings from the command line or a record; None values are absent.
        assignments: `section.key=value` texts.
        roots: content folders.
        recipe: decides which sections are kept; None for a given model.
    """
    given = {key: value for key, value in given.items() if value is not None}
    settings = load_profile(given.get("profile", "embedded"), roots)
    settings.pop("description", None)
    for text in assignments:
        assign(settings, *parse_assignment(text))
    for key, value in given.items():
        settings[key] = value
    used = recipe.sections if recipe else {"judging"}
    if settings.get("data", "embedded") == "embedded":
        used = used | {"world"}
    if settings.get("preferences", "embedded") != "embedded" and settings.get("data", "embedded") != "embedded":
        used = used - {"world"}
    validated(settings, f"profile {given.get('profile', 'embedded')}")
    for name in SECTIONS:
        if name in used:
            settings[name] = settings.get(name) or {}
        else:
            settings.pop(name, None)
    if recipe and not recipe.seeded:
        settings["seeds"] = [0]
    if recipe is None or "sft" not in recipe.sections:
        settings.pop("preferences", None)
    settings["fingerprints"] = _fingerprints(validated(settings, "the configuration"), recipe)
    config = validated(settings, "the configuration")
    for task in config.tasks:
        describe_task(task, roots)
    find_protocol(config.protocol)
    if recipe and recipe.embedded_only and config.preferences != "embedded":
        raise HarnessError(f"recipe {recipe.name} knows the truth of the embedded world only.", "Drop --preferences.")
    return config


def _fingerprints(config: RunConfig, recipe: Recipe | None) -> dict[str, str]:
    """Hash what the settings only name: files, models, and the code that will run."""
    files = {"data": config.data, "preferences": config.preferences}
    found = {key: fingerprint(Path(name)) for key, name in files.items() if _is_file(name)}
    if config.judge:
        found["judge"] = resolve(config.judge.model, config.judge.revision).fingerprint
    if config.experts:
        found |= {f"expert {i}": resolve(*_revised(name)).fingerprint for i, name in enumerate(config.experts.models)}
    asking = Path(__file__).parent / "evaluate" / "tasks.py"
    found["code"] = code_hash(*([recipe.path] if recipe else []), asking)[:16]
    return found


def _revised(name: str) -> tuple[str, str | None]:
    name, _, revision = name.partition("@")
    return name, revision or None


def _is_file(source: str | None) -> bool:
    return source is not None and source not in ("embedded", "hub") and not source.startswith("hub:")


class Recorder:
    """Passes stage events on to the screen and into the run's record."""

    def __init__(self, run: Run, folder: RunFolder, watch: Watch) -> None:
        self.run, self.folder, self.watch = run, folder, watch

    def begin(self, stage: str, seed: int | None) -> Any:
        """Open the stage's progress."""
        return self.watch.begin(stage, seed)

    def end(self, record: StageRecord) -> None:
        """Show a stage and keep it, once."""
        self.watch.end(record)
        if record.key not in {known.key for known in self.run.stages}:
            self.run.stages.append(record)
            self.folder.write_run(self.run)


def begin(config: RunConfig, folder: RunFolder, resume: bool) -> Run | None:
    """Open the run's folder; return None if the run is already complete.

    Raises:
        HarnessError: if the folder holds another configuration, naming the keys that differ, or
            an unfinished run without `resume`.
    """
    record = config.record()
    if not folder.exists():
        if folder.path.is_dir() and any(p.name not in (".lock", "log.txt") for p in folder.path.iterdir()):
            raise HarnessError(f"{folder.path} is not empty and holds no run.", "Choose another --out.")
        run = Run(
            name=folder.name,
            status="running",
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
    if differing := differing_keys(run.config, record):
        raise HarnessError(
            f"{folder.path} holds another run: {', '.join(differing)} differ{'s' if len(differing) == 1 else ''}.",
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
    resume: bool,
    console: RunConsole,
) -> Run:
    """Carry out a run, or find it done."""
    with folder.locked():
        run = begin(config, folder, resume)
        if run is None:
            run = folder.read_run()
            console.console.print(f"  complete; {sum(t.items for t in run.tasks)} items from the cache")
            return run
        _work(run, config, recipe, folder, roots, Recorder(run, folder, console))
        run.status, run.finished = "complete", provenance.now()
        folder.write_run(run)
        return run


def _work(
    run: Run, config: RunConfig, recipe: Recipe | None, folder: RunFolder, roots: Sequence[Path], watch: Recorder
) -> None:
    import resource
    import time

    from harness.data.benchmark import read_items
    from harness.evaluate import tasks
    from harness.training.sources import judge_settings

    stages = Stages(results_root() / "cache", watch)
    protocol = find_protocol(config.protocol)
    yaml_paths = find_tasks(roots)
    prepared = {}
    for task in config.tasks:
        benchmark = tasks.open_benchmark(stages, config, task, yaml_paths[task])
        items = tasks.limited(read_items(benchmark.path / tasks.TABLE), config.limit)
        folder.write_items(task, items)
        record = tasks.task_record(task, protocol, benchmark, items, config)
        if task not in {t.task for t in run.tasks}:
            run.tasks.append(record)
        prepared[task] = (benchmark, items)
    for seed in config.seeds:
        if recipe is not None and config.judge is not None:
            judge = judge_settings(config.judge, recipe.train(stages, config, seed))
            location, model = judge.model, None
        else:
            location, model, judge = str(config.model), config.model, None
        resolved = location
        if judge is not None:
            resolved = resolve(judge.model, judge.revision).location
        run.checkpoints[str(seed)] = tasks.checkpoint_fingerprint(resolved, model, config.model_args)
        for task in config.tasks:
            benchmark, items = prepared[task]
            next(t for t in run.tasks if t.task == task).prompts[str(seed)] = tasks.prompt_hash(
                resolved, yaml_paths[task]
            )
            folder.write_run(run)
            started = time.monotonic()
            progress = watch.begin(f"judge {task}", seed)
            info = tasks.ask(
                folder,
                task,
                yaml_paths[task],
                benchmark,
                items,
                protocol,
                config,
                seed,
                partial(_open_model, config, judge),
                progress,
            )
            watch.end(
                StageRecord(
                    stage=f"judge {task}",
                    seed=seed,
                    key=f"{run.checkpoints[str(seed)]}-{task}-{seed}",
                    cached=False,
                    seconds=round(time.monotonic() - started, 3),
                    peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
                    info=info,
                )
            )


def _open_model(config: RunConfig, judge: Any) -> Any:
    """Load what is judged: a checkpoint of ours, or any lmms-eval model by name."""
    if judge is None:
        from lmms_eval.models import get_model, list_available_models

        name = str(config.model)
        if name not in (known := list_available_models(include_aliases=True)):
            raise unknown("lmms-eval model", name, known)
        arguments = ",".join(f"{key}={value}" for key, value in config.model_args.items())
        return get_model(name).create_from_arg_string(arguments, {"batch_size": config.judging.batch_size})
    from harness.evaluate.judge_model import HarnessJudge

    return HarnessJudge(
        pretrained=judge.model,
        revision=judge.revision,
        dtype=config.judging.dtype,
        batch_size=config.judging.batch_size,
        max_new_tokens=config.judging.max_new_tokens,
        max_pixels=judge.max_pixels,
        trust_remote_code=judge.trust_remote_code,
    )
