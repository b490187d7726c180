"""The verbs about finished runs: compare, diff, power, gate, baseline, leaderboard, report."""

import os
import sys
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import ExitCode, HarnessError, unknown
from harness.registry import content_roots, find_run, list_runs, results_root
from harness.verbs.showing import format_of, read_results, write_sheets, write_text

if TYPE_CHECKING:
    from harness.sheets.sheet import Cell


def compare(options: Namespace) -> ExitCode:
    """Compare finished runs with a baseline."""
    from harness.comparing.comparison import compare_many
    from harness.comparing.fields import comparisons
    from harness.comparing.findings import by_seed, candidates, differ_in, differences, remarks
    from harness.sheets.page import Head
    from harness.show.console import Screen
    from harness.show.tables import results_sheets

    form = format_of(options)
    baseline, *others = read_results(options, options.baseline, *options.candidates)
    found = compare_many(
        baseline, others, options.correct, options.level, options.resamples, options.seed, options.other_prompts
    )
    if form == "json":
        write_text(comparisons(found, options.correct, options.bootstrap), options)
        return ExitCode.OK
    sheets = results_sheets([*(("candidate", other) for other in others), ("baseline", baseline)])
    if form == "csv":
        # tables of unlike columns make no table that a spreadsheet can use
        sheets = []
    for comparison in found:
        table = differences(comparison, every_slice=True, bootstrap=options.bootstrap)
        seeds = by_seed(comparison)
        notes = [comparison.sentence(), *remarks(comparison), *differ_in(comparison.settings)]
        sheets += [*([seeds] if seeds and form != "csv" else []), replace(table, notes=tuple(notes))]
    if len(found) > 1 and form != "csv":
        sheets.append(candidates(found, options.correct))
    names = [comparison.names for comparison in found]
    head = Head(
        f"{', '.join(cand for _, cand in names)} against {names[0][0]}",
        tuple(comparison.sentence() for comparison in found),
        baseline.task.synthetic,
    )
    write_sheets(sheets, options, head=head)
    if form == "csv":
        Screen(stderr=True).print("CSV holds the differences alone; --format json holds all figures.", soft_wrap=True)
    return ExitCode.OK


def diff(options: Namespace) -> ExitCode:
    """Show the settings in which runs differ; they need not be finished."""
    from harness.comparing.apart import settings_apart
    from harness.records import RunFolder
    from harness.sheets.sheet import Column, Sheet, text

    runs = [RunFolder(find_run(name)).read_run() for name in options.runs]
    apart = settings_apart(*runs)
    # run names end in what tells runs of one recipe apart
    columns = (Column("setting"), *(Column(name, short=name.rpartition("-")[2]) for name in options.runs))
    rows = tuple((text(key), *(_told(key, value) for value in values)) for key, values in sorted(apart.items()))
    told = (
        "They have the same settings."
        if not rows
        else f"{len(rows)} setting{'s differ' * (len(rows) > 1) or ' differs'}."
    )
    write_sheets([Sheet("settings that differ", columns, (rows,), (told,))], options, verdicts=False)
    return ExitCode.OK


def _told(key: str, value: Any) -> "Cell":
    """Write the value of a setting; of the hash of the code, as much as tells it from others."""
    from harness.comparing.apart import CODE
    from harness.comparing.findings import setting
    from harness.sheets.sheet import Cell

    shown = setting(value)
    return Cell(shown, shown[:8] if key == CODE else shown)


def power(options: Namespace) -> ExitCode:
    """Say what two runs could have shown, and what would show an effect."""
    from harness.comparing.comparison import compare as compare_results
    from harness.comparing.fields import plan_fields
    from harness.comparing.power import plan

    baseline, candidate = read_results(options, options.baseline, options.candidate)
    comparison = compare_results(baseline, candidate, options.level, other_prompts=True)
    if format_of(options) == "json":
        write_text(plan_fields(comparison, comparison.find(options.metric), options.effect), options)
        return ExitCode.OK
    sheet, told = plan(comparison, comparison.find(options.metric), options.effect)
    write_sheets([replace(sheet, notes=tuple(told))], options)
    return ExitCode.OK


def gate(options: Namespace) -> ExitCode:
    """Judge a run by a baseline; the reports are written before the exit code is given."""
    from harness.comparing.comparison import compare as compare_results
    from harness.decide.gate import Ruling, Terms, decide, no_ruling
    from harness.decide.gate_report import reports
    from harness.records.store import unwritable, write_atomically
    from harness.show.console import Screen
    from harness.texts import harmless

    files = {name: path for name in ("junit", "markdown", "json") if (path := getattr(options, name)) is not None}
    for name, path in files.items():
        try:
            if not path.parent.is_dir():
                raise HarnessError(f"--{name} {path}: there is no folder {path.parent}.", "Make it first.")
            if path.exists() and not path.is_file():
                raise HarnessError(f"--{name} {path} is no plain file.", "Name one; it is replaced.")
            # whatever goes wrong from here on, an earlier verdict is not left standing
            path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error, f"--{name}") from error
    terms = Terms(
        options.margin, options.require == "improvement", options.alpha, options.metric, options.same, options.imported
    )

    def write(ruling: Ruling) -> None:
        texts = reports(ruling)
        for name, path in files.items():
            write_atomically(path, texts[name], f"--{name}")

    try:
        base, cand = read_results(options, options.baseline, options.candidate)
        ruling = decide(compare_results(base, cand, 1 - terms.alpha, other_prompts=options.other_prompts), terms)
    except HarnessError as error:
        write(no_ruling(error, terms))
        raise
    write(ruling)
    try:
        screen, style = Screen(), {ExitCode.OK: "bold green", ExitCode.REGRESSION: "bold red"}
        for place, line in enumerate(ruling.lines):
            colour = None if place else style.get(ruling.code, "bold yellow")
            screen.say(harmless(line), style=colour)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read the output has left; the verdict stands
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    return ruling.code


def baseline(options: Namespace) -> ExitCode:
    """Keep a finished run as a baseline, or check those that are kept."""
    from harness.decide.baselines import accept, check
    from harness.records import RunFolder
    from harness.registry import baselines_root, list_baselines
    from harness.show.console import Screen

    if options.action == "check":
        anew = check(list_baselines(), options.since)
        said = Screen()
        for line in [*anew, f"All {len(list_baselines())} baselines in {baselines_root()} are what was accepted."]:
            said.say(line)
        return ExitCode.OK
    folder = RunFolder(find_run(options.run))
    path, entry = accept(folder, baselines_root(), options.reason, options.name, options.replace_data)
    replaced = f", in place of {entry.replaced}" if entry.replaced else ""
    Screen().print(f"Accepted: {path}{replaced}. Commit it.", soft_wrap=True)
    return ExitCode.OK


def leaderboard(options: Namespace) -> ExitCode:
    """Set finished runs side by side."""
    from rich.progress import track

    from harness.counting.cache import Cache
    from harness.counting.results import label
    from harness.records import RunFolder
    from harness.registry import expand_tasks, find_tasks, published_root
    from harness.sheets.page import Head
    from harness.show.console import Screen
    from harness.show.leaderboard import collect, published, published_sheet
    from harness.show.leaderboard import leaderboard as draw_up
    from harness.show.leaderboard_fields import fields
    from harness.show.report.record import link_to
    from harness.texts import harmless

    roots = content_roots(options.include_path)
    known = find_tasks(roots)
    tasks = expand_tasks([options.task], roots) if options.task in known else [options.task] if options.task else []
    # a run named twice is one run
    paths = list(dict.fromkeys(find_run(name).resolve() for name in options.runs)) or list_runs()
    cache = Cache(results_root() / "cache/counted")
    errors = Screen(stderr=True)
    shown = track(paths, "counting", console=errors, transient=True, disable=not errors.is_terminal)
    found, left_out = collect(map(RunFolder, shown), tasks, bool(options.runs), cache)
    printed = {task: published(published_root(), task) for task in (found if options.published else ())}
    if format_of(options) == "json" and (any(found.values()) or any(printed.values())):
        write_text(fields(found, printed, left_out, cache), options)
        return ExitCode.OK
    beside = options.output.parent if options.output else None
    sheets = draw_up(found, cache, lambda counted: link_to(counted.result.folder, beside) if beside else "")
    for task, rows in printed.items():
        if rows:
            synthetic = any(counted.result.task.synthetic for counted in found[task])
            named = [run for run in (counted.result.run for counted in found[task]) if run.config.get("published")]
            asked = {str(run.config["published"].get("printed")): label(run) for run in named}
            sheets.append(published_sheet(task, rows, synthetic, asked))
    told = f"Left out: {' '.join(left_out)}"
    if not sheets:
        if options.task and options.task not in known:
            raise unknown("task", options.task, known, "`harness ls tasks` describes them.")
        of_task = f" of the task {options.task}" if options.task else ""
        what = f"there is no finished run{of_task} in {results_root() / 'runs'}."
        fix = "`harness ls runs` lists what there is; --published shows what others printed."
        raise HarnessError(f"{what} {told}" if left_out else what, fix)
    if left_out:
        sheets[0] = replace(sheets[0], notes=(*sheets[0].notes, told))
    synthetic = any(counted.result.task.synthetic for runs in found.values() for counted in runs)
    write_sheets(sheets, options, verdicts=False, head=Head("Leaderboard", synthetic=synthetic))
    if format_of(options) == "csv":
        # a table of values has no place for them
        for note in (note for sheet in sheets for note in sheet.notes):
            errors.print(harmless(note), soft_wrap=True)
    return ExitCode.OK


def report(options: Namespace) -> ExitCode:
    """Write a page about a finished run."""
    from harness.records import RunFolder
    from harness.sheets.folding import folded
    from harness.show.console import Screen
    from harness.show.report.gather import gather
    from harness.show.report.page import refuse_foreign, write
    from harness.texts import harmless

    if len(options.runs) > 2:
        raise HarnessError(f"{len(options.runs)} runs are named.", "A report is of one run, or of BASE and CAND.")
    refuse_foreign(options.output)
    *baseline, candidate = [RunFolder(find_run(name)) for name in options.runs]
    page = gather(
        candidate,
        next(iter(baseline), None),
        options.task,
        content_roots(options.include_path),
        options.output.parent,
    )
    write(options.output, page)
    console = Screen()
    console.print(folded(harmless(page.verdict), console.width), style="bold")
    if page.synthetic:
        console.print(folded(harmless(f"Synthetic: {page.synthetic}."), console.width))
    console.print(f"Written: {options.output} ({options.output.stat().st_size / 2**20:.1f} MiB)", soft_wrap=True)
    return ExitCode.OK
