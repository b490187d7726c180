"""What each verb of the command does."""

import errno
import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, ExitCode, HarnessError, NotApplicableError, unknown
from harness.registry import Recipe, content_roots, find_run, list_runs, load_recipe, results_root

if TYPE_CHECKING:
    from harness.results import TaskResult
    from harness.sheet import Sheet


def ls(options: Namespace) -> ExitCode:
    """List tasks, recipes, profiles, runs or baselines."""
    from harness.console import Screen

    roots = content_roots(options.include_path)
    lister = {
        "tasks": _list_tasks,
        "recipes": _list_recipes,
        "profiles": _list_profiles,
        "runs": _list_runs,
        "baselines": _list_baselines,
    }
    Screen().print(lister[options.kind](roots))
    return ExitCode.OK


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _list_tasks(roots: Sequence[Path]) -> Any:
    from harness.registry import find_tasks, group_of, read_task

    table = _table("tasks", "task", "what is asked; source, items", "protocols, the default first")
    table.columns[0].no_wrap = True
    for name, path in sorted(find_tasks(roots).items()):
        if tasks := group_of(path):
            table.add_row(name, f"all of {', '.join(tasks)}", "")
        else:
            task = read_task(path)
            table.add_row(name, f"{task.summary}\n{task.source}\n{task.items} items", ", ".join(task.protocols))
        table.add_section()
    return table


def _list_recipes(roots: Sequence[Path]) -> Any:
    from harness.registry import find_recipes

    table = _table("recipes", "recipe", "what it does", "compared with")
    for name in sorted(find_recipes(roots)):
        recipe = load_recipe(name, roots)
        table.add_row(name, recipe.summary, recipe.baseline or "–")
    return table


def _list_profiles(roots: Sequence[Path]) -> Any:
    from harness.registry import find_profiles, load_profile

    table = _table("profiles", "profile", "what it fixes")
    for name in sorted(find_profiles(roots)):
        table.add_row(name, str(load_profile(name, roots).get("description", "")))
    return table


def _list_runs(roots: Sequence[Path]) -> Any:
    from harness.records import RunFolder

    table = _table(f"runs in {results_root() / 'runs'}", "run", "status", "seeds", "items", "started")
    for path in list_runs():
        try:
            run = RunFolder(path).read_run()
        except DataError as error:
            table.add_row(path.name, f"unreadable: {error.problem}", "", "", "")
            continue
        seeds = ",".join(map(str, run.config.get("seeds", [])))
        table.add_row(run.name, run.status, seeds, str(sum(t.items for t in run.tasks)), run.started)
    return table


def _list_baselines(roots: Sequence[Path]) -> Any:
    from rich.text import Text

    from harness.baselines import fingerprint, history
    from harness.formats import harmless
    from harness.records import RunFolder
    from harness.registry import baselines_root, list_baselines

    table = _table(f"baselines in {baselines_root()}", "baseline", "run", "accepted", "reason")
    for path in list_baselines():
        try:
            run, accepted = RunFolder(path).read_run(), history(path)
        except DataError as error:
            table.add_row(path.name, f"unreadable: {error.problem}", "", "")
            continue
        last = accepted[-1] if accepted else None
        when = last.date if last else "never: copied by hand"
        if last and last.fingerprint != fingerprint(RunFolder(path)):
            when += "; changed since, by hand"
        table.add_row(path.name, Text(harmless(run.name)), when, Text(harmless(last.reason)) if last else "")
    return table


def compare(options: Namespace) -> ExitCode:
    """Compare finished runs with a baseline."""
    from harness.compare import compare_many
    from harness.findings import by_seed, candidates, differences, remarks
    from harness.tables import results_sheets

    baseline, *others = _results(options, options.baseline, *options.candidates)
    found = compare_many(
        baseline, others, options.correct, options.level, options.resamples, options.seed, options.other_prompts
    )
    sheets = results_sheets([*(("candidate", other) for other in others), ("baseline", baseline)])
    if options.format == "csv":
        # tables of unlike columns make no table that a spreadsheet can use
        sheets = []
    for comparison in found:
        table = differences(comparison, every_slice=True, bootstrap=options.bootstrap)
        seeds = by_seed(comparison)
        notes = [comparison.sentence(), *remarks(comparison)]
        if comparison.config_differences:
            notes.append(f"Their configurations differ in: {', '.join(comparison.config_differences)}.")
        sheets += [*([seeds] if seeds and options.format != "csv" else []), replace(table, notes=tuple(notes))]
    if len(found) > 1 and options.format != "csv":
        sheets.append(candidates(found, options.correct))
    _write_sheets(sheets, options)
    return ExitCode.OK


def power(options: Namespace) -> ExitCode:
    """Say what two runs could have shown, and what would show an effect."""
    from harness.compare import compare as compare_results
    from harness.power import plan

    baseline, candidate = _results(options, options.baseline, options.candidate)
    comparison = compare_results(baseline, candidate, options.level)
    sheet, told = plan(comparison, comparison.find(options.metric), options.effect)
    _write_sheets([replace(sheet, notes=tuple(told))], options)
    return ExitCode.OK


def _write_sheets(sheets: Sequence["Sheet"], options: Namespace, verdicts: bool = True) -> None:
    """Print tables, or write them to -o FILE in one step.

    Args:
        sheets: the tables.
        options: with `format` and `output`.
        verdicts: whether the first note of a table is a verdict, which stands out.
    """
    from harness import formats
    from harness.records.store import write_atomically

    name = _format(options)
    if name == "rich":
        from harness.console import Screen

        console = Screen()
        for sheet in sheets:
            console.print(formats.rich_table(replace(sheet, notes=()), console.width))
            if sheet.notes and verdicts:
                _verdict(console, sheet.notes[0], sheet.notes[1:])
            else:
                _remarks(console, sheet.notes)
        return
    told = formats.TEXTS[name](sheets)
    if options.output is None:
        print(told, end="")
    else:
        write_atomically(options.output, told)


def _format(options: Namespace) -> str:
    """Choose the format that was named, or that the file's name tells."""
    from harness.formats import TEXTS

    name = str(options.format)
    if options.output is None or name != "rich":
        return name
    suffix = str(options.output.suffix).lower().lstrip(".")
    name = {"tex": "latex", "htm": "html"}.get(suffix, suffix)
    if name not in TEXTS:
        raise unknown("format", name, TEXTS, "Say --format.")
    return name


def _results(options: Namespace, *names: str) -> list["TaskResult"]:
    """Read runs by name or folder."""
    from harness.records import RunFolder
    from harness.results import load_result

    return [load_result(RunFolder(find_run(name)), options.task) for name in names]


def report(options: Namespace) -> ExitCode:
    """Write a page about a finished run."""
    from harness.console import Screen
    from harness.records import RunFolder
    from harness.report.model import gather
    from harness.report.page import refuse_foreign, write

    refuse_foreign(options.output)
    candidate = RunFolder(find_run(options.run))
    baseline = RunFolder(find_run(options.baseline)) if options.baseline else None
    page = gather(candidate, baseline, options.task, content_roots(options.include_path))
    write(options.output, page)
    console = Screen()
    console.print(page.verdict, style="bold", markup=False)
    if page.synthetic:
        console.print(f"Synthetic: {page.synthetic}.")
    console.print(
        f"Written: {options.output} ({options.output.stat().st_size / 2**20:.1f} MiB)", markup=False, soft_wrap=True
    )
    return ExitCode.OK


def audit(options: Namespace) -> ExitCode:
    """Find the whole numbers behind published rows."""
    from harness.audit import CATEGORIES, RANDOM_ROWS, chance, explanations, row_of, verdict
    from harness.console import Screen

    if options.task != "vlrewardbench":
        raise unknown("task to audit", options.task, ["vlrewardbench"])
    if options.file:
        return _audit_file(options.file, options.write)
    if len(options.categories) != 3 or not options.overall:
        raise HarnessError(
            "an audit needs three categories and --overall.", "harness audit 63.84 85.71 64.78 --overall 71.92"
        )
    row = row_of(dict(zip(CATEGORIES, options.categories, strict=True)), options.overall, options.macro)
    found = explanations(row)
    console = Screen()
    if found:
        table = _table("splits that explain the row", "split", *CATEGORIES, "overall", "left out", "categories are")
        for e in found:
            cells = [f"{r}/{n}" for r, n in zip(e.right, e.counted, strict=True)]
            overall = f"{sum(e.right)}/{sum(e.counted)}"
            table.add_row(e.name, *cells, overall, str(e.left_out), e.reading)
        console.print(table)
    console.print(f"[bold]{verdict(row, found)}[/bold]")
    if found:
        often = chance(row, found[0].left_out)
        console.print(
            f"Of {RANDOM_ROWS} random rows like it, {100 * often:.0f} % are explained by some split with no more items "
            "left out: the fewer, the more this tells."
        )
    console.print("Splits of the first release (1,250 items); those of the corrected one (1,247) are not published.")
    return ExitCode.OK


def _audit_file(path: Path, write: bool) -> ExitCode:
    from harness.audit import audited
    from harness.console import Screen
    from harness.records.published import read_published
    from harness.records.store import write_atomically

    rows = [audited(row) for row in read_published(path)]
    table = _table(str(path), "model", "source", "audit")
    for row in rows:
        table.add_row(row.model, row.source, row.audit or "")
    Screen().print(table)
    if write:
        write_atomically(path, "".join(row.model_dump_json(exclude_none=True) + "\n" for row in rows))
    return ExitCode.OK


def gate(options: Namespace) -> ExitCode:
    """Judge a run by a baseline; the reports are written before the exit code is given."""
    from harness.compare import compare as compare_results
    from harness.formats import harmless
    from harness.gate import Ruling, Terms, decide, no_ruling
    from harness.gate_report import reports
    from harness.records.store import write_atomically

    files = {name: path for name in ("junit", "markdown", "json") if (path := getattr(options, name)) is not None}
    for name, path in files.items():
        if not path.parent.is_dir():
            raise HarnessError(f"--{name} {path}: there is no folder {path.parent}.", "Make it first.")
        if path.exists() and not path.is_file():
            raise HarnessError(f"--{name} {path} is no plain file.", "Name one; it is replaced.")
        # whatever goes wrong from here on, an earlier verdict is not left standing
        path.unlink(missing_ok=True)
    terms = Terms(options.margin, options.require == "improvement", options.alpha, options.metric)

    def write(ruling: Ruling) -> None:
        texts = reports(ruling)
        for name, path in files.items():
            write_atomically(path, texts[name])

    try:
        base, cand = _results(options, options.baseline, options.candidate)
        ruling = decide(compare_results(base, cand, 1 - terms.alpha, other_prompts=options.other_prompts), terms)
    except HarnessError as error:
        write(no_ruling(error, terms))
        raise
    write(ruling)
    try:
        print(*map(harmless, ruling.lines), sep="\n", flush=True)
    except BrokenPipeError:
        # whoever read the output has left; the verdict stands
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    return ruling.code


def baseline(options: Namespace) -> ExitCode:
    """Keep a finished run as a baseline."""
    from harness.baselines import accept
    from harness.console import Screen
    from harness.records import RunFolder
    from harness.registry import baselines_root

    folder = RunFolder(find_run(options.run))
    path, entry = accept(folder, baselines_root(), options.reason, options.name, options.replace_data)
    replaced = f", in place of {entry.replaced}" if entry.replaced else ""
    Screen().print(f"Accepted: {path}{replaced}. Commit it.", soft_wrap=True, markup=False)
    return ExitCode.OK


def score(options: Namespace) -> ExitCode:
    """Read judgments made elsewhere into a run, and print what it says."""
    from harness.console import Screen
    from harness.evaluate.hooks import load_hooks
    from harness.importing.score import score as score_file
    from harness.registry import load_task
    from harness.results import load_result

    task = load_task(options.task, content_roots(options.include_path))
    folder = score_file(
        options.file,
        load_hooks(task.name, task.hooks),
        options.out,
        results_root() / "runs",
        options.data,
        options.protocol,
        options.format,
        options.name,
    )
    console, result = Screen(), load_result(folder)
    info = result.run.stages[0].info
    console.print(
        f"{options.file.name}: {info['format']} format, {info['answers']} answers to {result.task.items} items, "
        f"counted by {result.protocol.spec}, read by the {result.task.reader} reader.",
        soft_wrap=True,
    )
    _show_task(console, [("", result)])
    console.print(f"\nWritten: {folder.path}", soft_wrap=True)
    return ExitCode.OK


def leaderboard(options: Namespace) -> ExitCode:
    """Set finished runs side by side."""
    from rich.progress import track

    from harness.console import Screen
    from harness.counted import Cache
    from harness.formats import harmless
    from harness.leaderboard import collect, published, published_sheet
    from harness.leaderboard import leaderboard as draw_up
    from harness.records import RunFolder
    from harness.registry import expand_tasks, find_tasks, published_root

    roots = content_roots(options.include_path)
    known = find_tasks(roots)
    tasks = expand_tasks([options.task], roots) if options.task in known else [options.task] if options.task else []
    # a run named twice is one run
    paths = list(dict.fromkeys(find_run(name).resolve() for name in options.runs)) or list_runs()
    cache = Cache(results_root() / "cache/counted")
    errors = Screen(stderr=True)
    shown = track(paths, "counting", console=errors, transient=True, disable=not errors.is_terminal)
    found, left_out = collect(map(RunFolder, shown), tasks, bool(options.runs), cache)
    sheets = draw_up(found, cache)
    if options.published:
        for task, runs in found.items():
            if rows := published(published_root(), task):
                synthetic = any(counted.result.task.synthetic for counted in runs)
                sheets.append(published_sheet(task, rows, synthetic))
    told = f"Left out: {' '.join(left_out)}"
    if not sheets:
        if options.task and options.task not in known:
            raise unknown("task", options.task, known, "`harness ls tasks` describes them.")
        what = f"no finished run has the task {options.task}." if options.task else "there is no finished run."
        fix = "`harness ls runs` lists what there is; --published shows what others printed."
        raise HarnessError(f"{what} {told}" if left_out else what, fix)
    if left_out:
        sheets[0] = replace(sheets[0], notes=(*sheets[0].notes, told))
    _write_sheets(sheets, options, verdicts=False)
    if _format(options) == "csv":
        # a table of values has no place for them
        for note in (note for sheet in sheets for note in sheet.notes):
            errors.print(harmless(note), markup=False, soft_wrap=True)
    return ExitCode.OK


def run(options: Namespace) -> ExitCode:
    """Train, judge and compare."""
    from harness.console import RunConsole, libraries_to

    roots = content_roots(options.include_path)
    given = _given(options)
    recipe = load_recipe(given["recipe"], roots) if given.get("recipe") else None
    plans = _plan(given, options, roots, recipe)
    if options.dry_run:
        return _dry_run(plans)
    # idle threads that spin starve the ones that work; must be set before torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from harness.records import RunFolder
    from harness.run import execute

    log = plans[-1][3] / "log.txt"
    if not RunFolder(log.parent).exists():
        RunFolder(log.parent).refuse_foreign()
    with libraries_to(log) as console:
        _announce(console, plans[-1][1])
        for role, config, its_recipe, folder in plans:
            title = f"{role} {config.recipe or config.model}" if role else str(config.recipe or config.model)
            with RunConsole(console, title) as screen, _explained(console, log):
                execute(config, its_recipe, RunFolder(folder), roots, options.resume or role == "baseline", screen)
        _show(console, plans)
    return ExitCode.OK


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
        import traceback

        traceback.print_exc()
        console.print(f"harness: internal error: {type(error).__name__}: {error}. The traceback is in {log}.")
        raise SystemExit(ExitCode.INTERNAL) from error


def _disk_is_full(error: BaseException) -> bool:
    """Tell a full disk also where a library says so in its own exception."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    words = ("no space left", "file too large", "file write failed", "quota exceeded")
    return any(word in str(error).lower() for word in words)


Plan = tuple[str, Any, Recipe | None, Path]
"""Role, configuration, recipe and folder of one run."""


def _given(options: Namespace) -> dict[str, Any]:
    """Collect the top-level settings from the command line or from a record."""
    if options.config:
        return _from_record(options)
    if (options.recipe is None) == (options.model is None):
        raise HarnessError("say what to judge: --recipe R or --model NAME.", "`harness ls recipes` lists the recipes.")
    if not options.tasks:
        raise HarnessError("--tasks is missing.", "Try --tasks vlrewardbench; `harness ls tasks` lists them.")
    return {"recipe": options.recipe, "model": options.model, **_explicit(options)}


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
        "data": options.data,
        "prompts": options.prompt_file,
    }


def _from_record(options: Namespace) -> dict[str, Any]:
    """Take a saved configuration; what is said on the command line goes before it."""
    from harness.config import read_yaml

    if options.recipe or options.model:
        raise HarnessError("--config already says what to run.", "Drop --recipe and --model.")
    given = read_yaml(options.config)
    given.pop("fingerprints", None)
    given |= {key: value for key, value in _explicit(options).items() if value is not None}
    if "[redacted]" in str(given):
        raise HarnessError(f"{options.config} holds a redacted secret.", "Give all of --model-args again.")
    return given


def _plan(given: dict[str, Any], options: Namespace, roots: Sequence[Path], recipe: Recipe | None) -> list[Plan]:
    """Resolve the run and, before it, its baseline."""
    from harness.run import resolve_config

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
    if set(config.data.values()) == {"embedded"}:
        console.print(
            "[bold]Embedded synthetic world, not the published benchmark.[/bold] "
            "For a real judge: --profile qwen2.5-vl-7b, or --preferences FILE --data FILE."
        )
    else:
        named = set(config.data.values())
        told = named.pop() if len(named) == 1 else ", ".join(f"{task} {data}" for task, data in config.data.items())
        console.print(f"Data: {told}", soft_wrap=True)
        if config.judge and config.judge.model.startswith("embedded:"):
            console.print("The judge is the embedded one: tiny, and near chance on anything but its own world.")


def _dry_run(plans: list[Plan]) -> ExitCode:
    from harness.console import Screen
    from harness.records import RunFolder

    console = Screen()
    _announce(console, plans[-1][1])
    for role, config, _, path in plans:
        folder = RunFolder(path)
        state = folder.read_run().status if folder.exists() else "to be made"
        console.print(f"\n[bold]{role or 'run'} {config.recipe or config.model}[/bold]: {state}\n  {path}")
        for key, value in config.record().items():
            console.print(f"  {key}: {json.dumps(value)}", markup=False, soft_wrap=True)
    return ExitCode.OK


def _show(console: Any, plans: list[Plan]) -> None:
    """Print tables and verdict for each task of the finished runs."""
    from harness.compare import compare as compare_results
    from harness.findings import differences, remarks
    from harness.formats import rich_table
    from harness.records import RunFolder
    from harness.results import load_result

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
            baseline = load_result(RunFolder(plans[0][3]), task)
            comparison = compare_results(baseline, candidate)
            rows.append(("baseline", baseline))
        rows += [("", result) for result in _neighbours([result for _, result in rows])]
        console.print()
        _show_task(console, rows)
        if comparison:
            console.print(rich_table(differences(comparison), console.width))
            _verdict(console, comparison.sentence(), remarks(comparison))
    console.print("\nWritten:")
    for _, _, _, folder in plans:
        console.print(f"  {folder}", soft_wrap=True)
    if len(plans) == 2:
        console.print(
            f"Again, without asking anything: harness compare {plans[0][3].name} {plans[1][3].name}", soft_wrap=True
        )


def _show_task(console: Any, rows: list[tuple[str, "TaskResult"]]) -> None:
    """Print the figures of a run's task, beside other runs', and what there is to know about them."""
    from harness.formats import rich_table
    from harness.tables import notes, results_sheets, vote_curve

    _, result = rows[0]
    for sheet in results_sheets(rows):
        console.print(rich_table(sheet, console.width))
    for note in notes(result):
        console.print(note)
    if (curve := vote_curve(result)) is not None:
        console.print(rich_table(curve, console.width))


def _verdict(console: Any, sentence: str, remarks: Sequence[str]) -> None:
    """Print the verdict, and below it what it rests on."""
    from harness.formats import isolated

    console.print(f"\n{isolated(sentence)}", style="bold", markup=False)
    _remarks(console, remarks)


def _remarks(console: Any, remarks: Sequence[str]) -> None:
    from harness.formats import isolated

    for remark in remarks:
        console.print(isolated(remark), markup=False)


def _neighbours(shown: Sequence["TaskResult"]) -> list["TaskResult"]:
    """Find finished zero-shot and random-subset runs on the same footing as the candidate's."""
    from harness.records import RunFolder
    from harness.results import label, load_result

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
_TRAINED = ("seeds", "preferences", "fingerprints.preferences", "world", "captions", "experts", "confidence", "sft")
NEIGHBOURS = {"zero-shot": (), "random-subset": _TRAINED}
"""Recipes shown beside a comparison, and what they must share with the candidate besides `FOOTING`."""


def _at(config: dict[str, Any], key: str) -> Any:
    head, _, tail = key.partition(".")
    value = config.get(head)
    return value.get(tail) if tail and isinstance(value, dict) else value
