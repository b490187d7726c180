"""`harness run`: plan, train, judge, and show what came of it."""

import itertools
import json
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from harness.config import without_secrets
from harness.data.mapping import parse_map
from harness.errors import DISK_FAILS, ExitCode, HarnessError, NotApplicableError, disk_fails
from harness.extras import ASKING, require
from harness.registry import Recipe, content_roots, list_runs, load_recipe, results_root
from harness.settings import SERVER
from harness.verbs.limiting import limits_of, stopping
from harness.verbs.planning import show_run_plan
from harness.verbs.showing import say_verdict, show_task

if TYPE_CHECKING:
    from harness.counting.results import TaskResult


def run(options: Namespace) -> ExitCode:
    """Train, judge and compare."""
    from harness.show.console import RunConsole, libraries_to

    roots = content_roots(options.include_path)
    given = _given(options)
    recipe = load_recipe(given["recipe"], roots) if given.get("recipe") else None
    _require(given)
    plans = _plan(given, options, roots, recipe)
    limits = limits_of(options, *(config for _, config, _, _ in plans))
    if options.dry_run:
        return _dry_run(plans, roots)
    # idle threads that spin starve the ones that work; must be set before torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if options.ray_address:
        os.environ["RAY_ADDRESS"] = options.ray_address
    from harness.engines.meter import metering
    from harness.records import RunFolder
    from harness.run import Resumption, execute

    log = plans[-1][3] / "log.txt"
    if not RunFolder(log.parent).exists():
        RunFolder(log.parent).refuse_foreign()
    with libraries_to(log) as console, metering(limits) as meter:
        _announce(console, plans[-1][1])
        _look_for_room(console, plans, roots)
        for role, config, its_recipe, folder in plans:
            title = f"{role} {config.recipe or config.model}" if role else str(config.recipe or config.model)
            with RunConsole(console, title) as screen, _explained(console, log), stopping(screen.where, options.typed):
                resume = options.resume or options.retry_errors or role == "baseline"
                terms = Resumption(resume, options.retry_errors)
                execute(config, its_recipe, RunFolder(folder), roots, terms, screen, options.first_seed)
        _show(console, plans)
        if meter.requests:
            console.print(f"Asked in this call: {meter.told()}.")
    return ExitCode.OK


def _look_for_room(console: Any, plans: Sequence["Plan"], roots: Sequence[Path]) -> None:
    """Say before the first step that something will not fit; refuse what cannot.

    Raises:
        HarnessError: as `harness.planning.room` has it.
    """
    from harness.evaluate.sieve import foreseen
    from harness.planning.room import check

    for _, config, recipe, folder in plans:
        if recipe:
            for line in check(config, recipe, roots, folder, foreseen(config, roots, results_root() / "cache")):
                console.say(line, style="yellow")


@contextmanager
def _explained(console: Any, log: Path) -> Iterator[None]:
    """Say what a full disk needs; keep the traceback of a mistake of ours in the log, off the screen."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        # whatever a library raises ends the run here, in one line and with a code of its own; nothing goes on
        if _disk_is_full(error):
            fix = "Free some, then --resume: what is done is kept."
            raise HarnessError(f"no space left on the disk of {log.parent}.", fix) from error
        if (failed := _of_the_disk(error)) and failed.errno in DISK_FAILS:
            raise disk_fails(failed) from error
        import traceback

        traceback.print_exc()
        console.print(f"harness: internal error: {type(error).__name__}: {error}. The traceback is in {log}.")
        raise SystemExit(ExitCode.INTERNAL) from error


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """Find the system's error that an exception is, or that a library made it from; None where there is none."""
    if error is None or isinstance(error, OSError):
        return error
    return _of_the_disk(error.__cause__)


def _disk_is_full(error: BaseException) -> bool:
    """Tell a full disk also where a library says so in its own exception."""
    from harness.records.store import DISK_IS_FULL

    if (failed := _of_the_disk(error)) and failed.errno in DISK_IS_FULL:
        return True
    words = ("no space left", "file too large", "file write failed", "quota exceeded")
    return any(word in str(error).lower() for word in words)


Plan = tuple[str, Any, Recipe | None, Path]
"""Role, configuration, recipe and folder of one run."""


def _given(options: Namespace) -> dict[str, Any]:
    """Collect the top-level settings from the command line or from a record."""
    if options.config:
        return _from_record(options)
    if options.recipe and options.model:
        raise HarnessError(
            "--recipe and --model were both given.", "Drop one: a recipe trains the judge of its profile."
        )
    if not options.recipe and not options.model:
        raise HarnessError("say what to judge: --recipe R or --model NAME.", "`harness ls recipes` lists the recipes.")
    if not options.tasks:
        raise HarnessError("--tasks is missing.", "Try --tasks vlrewardbench; `harness ls tasks` lists them.")
    return {"recipe": options.recipe, "model": options.model, **_explicit(options)}


def _require(given: dict[str, Any]) -> None:
    """Refuse at once what is not installed, a dry run too: the versions of what computes are part of the plan."""
    if given.get("recipe"):
        require(f"--recipe {given['recipe']}", "train")
    elif given.get("model") == SERVER:
        require(f"--model {SERVER}", "server")
    else:
        require(f"--model {given.get('model')}", "train", ASKING)


def _explicit(options: Namespace) -> dict[str, Any]:
    """Collect what was said on the command line besides the recipe; None where nothing was."""
    try:
        seeds = [int(part) for part in options.seeds.split(",")] if options.seeds else None
    except ValueError:
        raise HarnessError(f"--seeds {options.seeds!r} is no list of numbers.", "Write --seeds 0,1,2.") from None
    tasks = [part.strip() for part in (options.tasks or "").split(",") if part.strip()]
    return {
        "model_args": dict(part.partition("=")[::2] for part in options.model_args.split(",") if part) or None,
        "tasks": tasks or None,
        "profile": options.profile,
        "seeds": seeds,
        "limit": options.limit,
        "protocols": options.protocol,
        "preferences": options.preferences,
        "columns": parse_map(options.map) if options.map else None,
        "data": options.data,
        "prompts": options.prompt_file,
    }


def _from_record(options: Namespace) -> dict[str, Any]:
    """Take a saved configuration; what is said on the command line goes before it."""
    from harness.bounded_yaml import read_yaml

    if options.recipe or options.model:
        raise HarnessError("--config already says what to run.", "Drop --recipe and --model.")
    given = read_yaml(options.config)
    for name in ("fingerprints", "source", "published"):
        given.pop(name, None)
    for name, (word, kinds) in _KINDS.items():
        if not isinstance(given.get(name), (*kinds, NoneType)):
            told = f"{options.config}: setting {name} = {str(given[name])[:60]!r} is no {word}."
            raise HarnessError(told, "Mend the file.")
    _refuse_keys_for_strangers(given, options)
    _refuse_code_of_strangers(given, options)
    given |= {key: value for key, value in _explicit(options).items() if value is not None}
    if "[redacted]" in str(given):
        raise HarnessError(f"{options.config} holds a redacted secret.", "Give all of --model-args again.")
    return given


_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("recipe", "model", "profile", "preferences"), ("text", (str,))),
    **dict.fromkeys(("tasks", "seeds"), ("list", (list,))),
    **dict.fromkeys(("data", "prompts", "protocols"), ("mapping", (dict, str))),
    **dict.fromkeys(("columns", "model_args"), ("mapping", (dict,))),
}
"""What a saved configuration holds at its top."""


def _refuse_keys_for_strangers(given: dict[str, Any], options: Namespace) -> None:
    """Refuse to send the key in the environment to an address that only a file names."""
    if not os.environ.get("OPENAI_API_KEY"):
        return
    said = " ".join([options.model_args, *options.set])
    for path, value in _leaves(given):
        addresses = value if isinstance(value, list) else str(value).split(";")
        if path[-1] == "base_url" and any(str(address) not in said for address in addresses):
            dotted = ".".join(path)
            way = f"--model-args base_url={value}" if path[0] == "model_args" else f"--set {dotted}={value}"
            raise HarnessError(
                f"{options.config} would send your OPENAI_API_KEY to {without_secrets(str(value))}.",
                f"If that is right, say so: {without_secrets(way)}; else unset OPENAI_API_KEY.",
            )


def _refuse_code_of_strangers(given: dict[str, Any], options: Namespace) -> None:
    """Refuse to run a model's own Python because a file alone says so."""
    wanted = (given.get("model_args") or {}).get("trust_remote_code")
    if str(wanted).lower() not in ("none", "false", "0", "") and "trust_remote_code" not in options.model_args:
        raise HarnessError(
            f"{options.config}: model_args.trust_remote_code is {str(wanted)[:9]}: the model's own code would run.",
            "If you have read that, give all of --model-args again, with trust_remote_code=true; else mend the file.",
        )


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path, value


def _plan(given: dict[str, Any], options: Namespace, roots: Sequence[Path], recipe: Recipe | None) -> list[Plan]:
    """Resolve the run and, before it, its baseline."""
    from harness.resolve import resolve_config

    config = resolve_config(given, options.set, roots, recipe)
    name = options.baseline or (recipe.baseline if recipe else None)
    plans: list[Plan] = []
    if name and name != "none":
        baseline = load_recipe(name, roots)
        theirs = {key: value for key, value in given.items() if key not in ("model", "model_args")} | {"recipe": name}
        base_config = resolve_config(theirs, options.set, roots, baseline)
        plans.append(("baseline", base_config, baseline, _folder(base_config, None)))
    plans.append(("candidate" if plans else "", config, recipe, _folder(config, options.out)))
    return plans


def _folder(config: Any, out: Path | None) -> Path:
    return out or results_root() / "runs" / config.run_name()


def _announce(console: Any, config: Any) -> None:
    for line in _overlap(config):
        console.say(line, style="bold")
    if set(config.data.values()) == {"embedded"}:
        from rich.text import Text

        told = Text("Embedded synthetic world, not the published benchmark.", "bold")
        told.append(" For a real judge: --profile qwen2.5-vl-7b, or --preferences FILE --data FILE.", "not bold")
        console.print(told)
    else:
        named = set(config.data.values())
        data_told = (
            named.pop() if len(named) == 1 else ", ".join(f"{task} {data}" for task, data in config.data.items())
        )
        console.print(f"Data: {data_told}", soft_wrap=True)
        if config.judge and config.judge.model.startswith("embedded:"):
            console.print("The judge is the embedded one: tiny, and near chance on anything but its own world.")


def _overlap(config: Any) -> Iterator[str]:
    """Warn of a benchmark that shares questions with what the judge is trained on."""
    for task in config.tasks if config.source else ():
        if task in config.source.overlap:
            told = {
                "drop": "its pairs that are items there, by image and question, are dropped.",
                "report": "its pairs that are items there are counted, and trained on; claim nothing there.",
                "off": "nothing is looked for (contamination.pairs=off); claim nothing there.",
            }[config.contamination.pairs if config.contamination else "off"]
            yield f"{config.preferences} shares questions with {task}: {told}"


FIRST_ROWS = 16
"""Rows of a local file that `--dry-run` checks, images included."""


def _look_at_data(plans: Sequence[Plan], roots: Sequence[Path]) -> Iterator[str]:
    """Check the first rows of every local file, and say of what comes from the hub that it was not looked at.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    from harness.data.benchmark import entries
    from harness.data.tables import read_rows
    from harness.evaluate.hooks import data_file, load_hooks
    from harness.registry import load_task

    for line in dict.fromkeys(_look_at_preferences(config) for _, config, _, _ in plans):
        if line:
            yield line
    for name, source in dict.fromkeys(pair for _, config, _, _ in plans for pair in config.data.items()):
        if source == "embedded":
            continue
        if source == "hub" or source.startswith("hub:"):
            yield f"{name}: {source} is not looked at by --dry-run."
            continue
        benchmark = load_hooks(name, load_task(name, roots).hooks).benchmark
        path = data_file(benchmark, Path(source))
        rows = itertools.islice(read_rows(path), FIRST_ROWS)
        found = len(list(entries(rows, path.name, path.parent, benchmark)))
        yield f"{name}: the first {found} rows of {path} are well formed; the run checks the others."


def _look_at_preferences(config: Any) -> str:
    """Check the first rows of the training pairs, where they are a local file; say nothing of the embedded ones."""
    from harness.data.mapping import mapped
    from harness.data.preferences import ALIASES, FIELDS
    from harness.data.tables import checked_rows, read_rows

    source = config.preferences
    if source == "embedded":
        return ""
    if config.source or source.startswith("hub:"):
        return f"preferences: {source} is not looked at by --dry-run."
    path = Path(source)
    rows = mapped(itertools.islice(read_rows(path), FIRST_ROWS), config.columns or {}, path.name)
    found = len(list(checked_rows(rows, FIELDS, path.name, path.parent, ALIASES)))
    return f"preferences: the first {found} rows of {path} are well formed; the run checks the others."


def _dry_run(plans: list[Plan], roots: Sequence[Path]) -> ExitCode:
    from harness.records import RunFolder
    from harness.show.console import Screen

    console = Screen()
    _announce(console, plans[-1][1])
    for line in _look_at_data(plans, roots):
        console.say(line)
    for role, config, recipe, path in plans:
        folder = RunFolder(path)
        state = folder.read_run().status if folder.exists() else "to be made"
        console.print(f"\n{role or 'run'} {config.recipe or config.model}", style="bold", end="")
        console.print(f": {state}\n  {path}", soft_wrap=True)
        for key, value in config.record().items():
            console.print(f"  {key}: {json.dumps(value)}", soft_wrap=True)
        if recipe:
            show_run_plan(console, config, recipe, roots, path)
    return ExitCode.OK


def _show(console: Any, plans: list[Plan]) -> None:
    """Print tables and verdict for each task of the finished runs."""
    from harness.comparing.comparison import compare as compare_results
    from harness.comparing.findings import differences, remarks
    from harness.counting.results import load_result
    from harness.records import RunFolder
    from harness.sheets.formats import rich_table
    from harness.show.printed import beside

    role, config, _, path = plans[-1]
    for task in config.tasks:
        try:
            candidate = load_result(RunFolder(path), task)
        except NotApplicableError as error:
            console.print(f"\n{task}: not applicable. {error}")
            continue
        rows = [(role, candidate)]
        comparison = None
        if len(plans) == 2:
            try:
                baseline = load_result(RunFolder(plans[0][3]), task)
            except NotApplicableError as error:
                console.print(f"\n{task}: the baseline cannot be asked it. {error}")
            else:
                comparison = compare_results(baseline, candidate, other_prompts=True)
                rows.append(("baseline", baseline))
        rows += [("", result) for result in _neighbours([result for _, result in rows])]
        console.print()
        show_task(console, rows)
        if comparison:
            console.print(rich_table(differences(comparison), console.width))
            say_verdict(console, comparison.sentence(), remarks(comparison))
        for line in beside(config.published, task, candidate.task.synthetic) if config.published else ():
            console.print(line, soft_wrap=True)
    console.print("\nWritten:")
    for _, _, _, folder in plans:
        console.print(f"  {folder}", soft_wrap=True)
    runs = results_root() / "runs"
    names = [folder.name if folder.parent == runs else str(folder) for _, _, _, folder in plans]
    if len(plans) == 2:
        console.print(f"Again, without asking anything: harness compare {' '.join(names)}", soft_wrap=True)
    console.print(f"As a page: harness report {' '.join(names)}", soft_wrap=True)
    if (recipe := plans[-1][2]) and recipe.trains:
        console.print(
            f"The judge, about responses of your own: harness judge run:{names[-1]} FILE -o OUT", soft_wrap=True
        )


def _neighbours(shown: Sequence["TaskResult"]) -> list["TaskResult"]:
    """Find finished zero-shot and random-subset runs on the same footing as the candidate's."""
    from harness.counting.results import label, load_result
    from harness.records import RunFolder

    candidate = shown[0]
    found: dict[str, TaskResult] = {}
    for path in list_runs():
        try:
            run = RunFolder(path).read_run()
            name, keys = label(run), NEIGHBOURS.get(label(run))
            if keys is None or name in found or name in {label(result.run) for result in shown}:
                continue
            if all(_at(run.config, key) == _at(candidate.run.config, key) for key in (*FOOTING, *keys)):
                result = load_result(RunFolder(path), candidate.task.task)
                if result.task.data_fingerprint == candidate.task.data_fingerprint:
                    found[name] = result
        except HarnessError:
            # another run's damage is no concern of this one's table
            continue
    return list(found.values())


FOOTING = ("limit", "protocols", "data", "prompts", "judging", "judge", "fingerprints.judge", "fingerprints.data")


_DATA = ("preferences", "fingerprints.preferences", "columns", "source", "world")
_TRAINED = ("seeds", *_DATA, "captions", "experts", "confidence", "sft")


NEIGHBOURS = {"zero-shot": (), "random-subset": _TRAINED}
"""Recipes shown beside a comparison, and what they must share with the candidate besides `FOOTING`."""


def _at(config: dict[str, Any], key: str) -> Any:
    head, _, tail = key.partition(".")
    value = config.get(head)
    return value.get(tail) if tail and isinstance(value, dict) else value
