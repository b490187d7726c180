"""`harness sweep`: run the cells of a sweep, and show what came of them."""

import signal
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ExitCode, HarnessError, NotApplicableError, RunIncompleteError, last_words
from harness.extras import require
from harness.registry import Recipe, content_roots, find_sweep, load_recipe, results_root
from harness.verbs.showing import format_of, show_sheet, write_sheets

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.counting.results import TaskResult
    from harness.records import RunFolder
    from harness.sweep.file import Cell, Sweep
    from harness.sweep.folder import SweepFolder
    from harness.sweep.pool import Job, Place


class Planned(NamedTuple):
    """A cell and the run that it is."""

    cell: "Cell"
    config: "RunConfig"
    recipe: Recipe
    folder: "RunFolder"


def sweep(options: Namespace) -> ExitCode:
    """Run what is owed of a sweep, then show its table."""
    from harness.show.console import Screen
    from harness.sweep.file import read_sweep
    from harness.sweep.folder import SweepFolder

    roots = content_roots(options.include_path)
    asked = read_sweep(find_sweep(options.sweep, roots))
    folder = SweepFolder(asked.name)
    if options.show:
        return _show(asked, folder, options)
    require(f"sweep {asked.name}", "train")
    planned = [_plan(asked, cell, roots) for cell in asked.cells]
    if options.dry_run:
        return _dry_run(asked, planned, roots)
    folder.remember({each.cell.label: each.folder.name for each in planned}, asked.cells)
    # a table for a program stays alone on the standard output
    console = Screen(stderr=format_of(options) != "rich")
    console.say(asked.asks, style="bold")
    failed = _run(planned, folder, options, console)
    shown = _show(asked, folder, options)
    return ExitCode.INCOMPLETE if failed else shown


def _plan(asked: "Sweep", cell: "Cell", roots: Sequence[Path]) -> Planned:
    """Resolve a cell as `harness run` will; a wrong value is told with file and cell, before anything is run."""
    from harness.records import RunFolder
    from harness.resolve import resolve_config

    try:
        recipe = load_recipe(cell.given["recipe"], roots)
        config = resolve_config(dict(cell.given), cell.assignments, roots, recipe)
    except HarnessError as error:
        raise HarnessError(f"{asked.path}, cell {cell.label!r}: {error.problem}", error.fix) from None
    return Planned(cell, config, recipe, RunFolder(results_root() / "runs" / config.run_name()))


def _run(planned: Sequence[Planned], folder: "SweepFolder", options: Namespace, console: Any) -> int:
    """Run every cell that is not finished; return how many failed."""
    from harness.planning.plan import is_complete
    from harness.show.console import seconds
    from harness.sweep.pool import Job, carry_out

    # two cells may be one run: a setting that its recipe does not use sets nothing apart
    owed: dict[str, Planned] = {}
    for each in planned:
        if not is_complete(each.folder.path):
            owed.setdefault(each.folder.name, each)
    included = [f"--include-path={path}" for path in options.include_path]
    jobs = []
    for place, each in enumerate(owed.values()):
        # cells that start side by side begin with other seeds, so that none waits for another's training
        first = f"--first-seed={each.config.seeds[place % min(options.workers, len(each.config.seeds))]}"
        jobs.append(Job(each.cell.label, (*each.cell.command, first, *included), folder.log(each.folder)))
    console.print(f"{len(planned)} cells, {len(jobs)} to run, {min(options.workers, len(jobs))} at a time")
    failed = 0
    # asked to stop, by whatever means, we stop the cells too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            console.status("running"),
            closing(carry_out(jobs, _place(options), options.workers)) as ended,
        ):
            for job, code, took in ended:
                failed += code != 0
                told = seconds(took) if code == 0 else f"failed: {_why(job, code)}"
                console.print(f"  {job.label:<32} {told}", soft_wrap=True)
    except KeyboardInterrupt:
        raise RunIncompleteError("stopped; what is done is kept.", "The same command goes on.") from None
    if failed:
        told = f"{failed} of {len(jobs)} cells failed; the same command goes on with them."
        console.print(told, style="bold")
    return failed


def _place(options: Namespace) -> "Place":
    if options.on == "here" and not options.ray_address:
        from harness.sweep.pool import Here

        return Here(options.workers)
    require("--on ray", "ray")
    from harness.engines.ray_commands import RayCommands

    return RayCommands(options.workers, options.ray_address, options.gpus_per_cell, results_root())


def _why(job: "Job", code: int) -> str:
    """Say in one line why a cell's process failed: its own last line, or that of whatever ended it."""
    lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines() if job.log.exists() else []
    ours = [line.removeprefix("harness: ") for line in lines if line.startswith("harness: ")]
    told = ours[-1] if ours else f"killed by signal {-code}." if code < 0 else last_words(job.log)
    return f"{told} ({job.log})"


def _dry_run(asked: "Sweep", planned: Sequence[Planned], roots: Sequence[Path]) -> ExitCode:
    """List cells, runs that are done, and the stages that are owed: those that no earlier cell will have made."""
    from harness.planning.plan import is_complete, stages_of
    from harness.sheets.sheet import Column, sheet_of
    from harness.show.console import Screen

    console = Screen()
    console.say(asked.asks, style="bold")
    rows, known, owed = [], set[str](), 0
    for each in planned:
        done, begun = is_complete(each.folder.path), each.folder.exists()
        steps = () if done else stages_of(each.config, each.recipe, roots, results_root() / "cache", each.folder.path)
        keys = [step.key or f"{each.folder.name} {step.stage} {step.seed}" for step in steps if step.state != "cached"]
        new = [key for key in keys if key not in known]
        known, owed = known | set(new), owed + len(new)
        state = "complete" if done else "unfinished" if begun else "to be made"
        rows.append((each.cell.label, state, str(len(new)), each.folder.name))
    columns = (Column("cell"), Column("state"), Column("stages owed", "count"), Column("run", spare=1))
    show_sheet(console, sheet_of(f"{asked.name}: {len(planned)} cells", columns, rows))
    console.print(f"{owed} stages are owed in all; each cell's are those that no earlier one will have made.")
    return ExitCode.OK


def _show(asked: "Sweep", folder: "SweepFolder", options: Namespace) -> ExitCode:
    """Print the table of the finished cells, and write table, plot and page.

    Raises:
        RunIncompleteError: if none is finished.
    """
    from harness.planning.plan import is_complete
    from harness.show.console import Screen
    from harness.sweep.plot import plot
    from harness.sweep.table import costs, rows, table

    finished = {label: run for label, run in folder.runs(asked.cells).items() if is_complete(run.path)}
    if not finished:
        fix = f"`harness sweep {options.sweep}` runs them; --dry-run says what is owed."
        raise RunIncompleteError(f"no cell of {asked.path} is finished.", fix)
    spent, together = costs(finished)
    sheets, drawings = [], {}
    notes = _notes(asked, list(finished), together)
    tasks = dict.fromkeys(task.task for run in finished.values() for task in run.read_run().tasks)
    for task in tasks:
        results, told = _results(finished, task)
        if not results:
            continue
        found = rows(asked, results)
        sheets.append(table(asked, found, spent, [*told, *notes]))
        name = "plot" if len(tasks) == 1 else f"plot-{task}"
        if (drawn := plot(name, asked, found)) is not None:
            drawings[name] = drawn
    write_sheets(sheets, options, verdicts=False)
    written = folder.write(sheets, drawings)
    if format_of(options) == "rich":
        Screen().print(f"Written: {', '.join(map(str, written))}", soft_wrap=True)
    return ExitCode.OK


def _results(finished: "dict[str, RunFolder]", task: str) -> "tuple[dict[str, TaskResult], list[str]]":
    """Count one task of the finished cells; say which cannot be asked it."""
    from harness.counting.results import load_result

    results, told = {}, []
    for label, run in finished.items():
        try:
            results[label] = load_result(run, task)
        except NotApplicableError as error:
            told.append(f"{label}: {error.problem}")
    return results, told


def _notes(asked: "Sweep", finished: Sequence[str], together: float) -> list[str]:
    """Say what the cells cost together, and which of them are missing."""
    from harness.show.console import seconds

    cells = "All cells" if len(finished) == 1 else f"All {len(finished)} cells"
    told = [
        "Cost: seconds of computing every stage that a cell needs, also where the cache had it; own cost: of those "
        f"that no other cell needs. {cells} together, each stage once: {seconds(together)}."
    ]
    if missing := [cell.label for cell in asked.cells if cell.label not in finished]:
        told.append(f"Missing: {'; '.join(missing)}. `harness sweep` runs them.")
    return told
