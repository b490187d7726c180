"""Runs: resolve the configuration, train through the stages, ask the tasks, keep the record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import provenance
from harness.config import SECTIONS, RunConfig, assign, differing_keys, parse_assignment, validated
from harness.console import RunConsole
from harness.data.tables import fingerprint
from harness.errors import HarnessError
from harness.judge.checkpoints import resolve
from harness.protocols import find_protocol
from harness.records import Run, RunFolder
from harness.records.run import StageRecord
from harness.registry import Recipe, describe_task, find_tasks, load_profile, results_root
from harness.training.stages import Clock, Stages, Watch, code_hash


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
    """Train and ask, seed by seed."""
    from harness.evaluate import judged as judges
    from harness.evaluate import tasks

    stages = Stages(results_root() / "cache", watch)
    yaml_paths = find_tasks(roots)
    prepared = [tasks.prepare(stages, config, name, yaml_paths[name]) for name in config.tasks]
    for task in prepared:
        folder.write_items(task.name, task.items)
    known = {record.task: record for record in run.tasks}
    run.tasks = [known.get(task.name) or task.record(config) for task in prepared]
    for seed in config.seeds:
        judged = judges.trained(config, recipe.train(stages, config, seed)) if recipe else judges.given(config)
        run.checkpoints[str(seed)] = judged.fingerprint
        for task, record in zip(prepared, run.tasks, strict=True):
            record.prompts[str(seed)] = task.prompt_hash(judged)
            folder.write_run(run)
            name = f"judge {task.name}"
            clock = Clock()
            info = tasks.ask(folder, task, judged, config, seed, watch.begin(name, seed))
            key = f"{judged.fingerprint}-{task.name}-{seed}"
            watch.end(StageRecord(stage=name, seed=seed, key=key, cached=False, info=info, **clock.read()))
