"""`harness ls`: what there is."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DataError, ExitCode, HarnessError
from harness.registry import content_roots, described_recipe, list_runs, results_root
from harness.verbs.showing import show_sheet

if TYPE_CHECKING:
    from harness.sheets.sheet import Sheet


def ls(options: Namespace) -> ExitCode:
    """List tasks, recipes, profiles, sweeps, preferences, judges, runs or baselines."""
    from harness.show.console import Screen

    if options.kind != "runs" and (options.words or options.format != "lines"):
        raise HarnessError(
            f"Words and --format belong to `harness ls runs`, not to `harness ls {options.kind}`.", "Leave them out."
        )
    roots = content_roots(options.include_path)
    lister: dict[str, Callable[[], Sheet | str]] = {
        "tasks": lambda: _list_tasks(roots),
        "recipes": lambda: _list_recipes(roots),
        "profiles": lambda: _list_profiles(roots),
        "sweeps": lambda: _list_sweeps(roots),
        "preferences": lambda: _list_preferences(roots),
        "judges": lambda: _list_judges(roots),
        "runs": lambda: _runs(options),
        "baselines": _list_baselines,
    }
    found = lister[options.kind]()
    if isinstance(found, str):
        # lines are left whole, so that a name can be copied
        Screen().print(found, soft_wrap=True)
    else:
        show_sheet(Screen(), found)
    return ExitCode.OK


def _list_tasks(roots: Sequence[Path]) -> "Sheet":
    from harness.registry import find_tasks, group_of, read_task
    from harness.sheets.sheet import Column, sheet_of

    groups = []
    for name, path in sorted(find_tasks(roots).items()):
        if tasks := group_of(path):
            groups.append([(name, f"all of {', '.join(tasks)}", "")])
        else:
            task = read_task(path)
            about = (task.source, f"{task.items} items; licence: {task.licence or 'not known'}")
            groups.append([(name, task.summary, ", ".join(task.protocols)), *(("", line, "") for line in about)])
    columns = (Column("task"), Column("what is asked; source, items"), Column("protocols, the default first"))
    return sheet_of("tasks", columns, *groups)


def _list_recipes(roots: Sequence[Path]) -> "Sheet":
    from harness.registry import find_recipes
    from harness.sheets.sheet import Column, sheet_of

    described = [(name, *described_recipe(name, roots)) for name in sorted(find_recipes(roots))]
    rows = [(name, summary, baseline or "–") for name, summary, baseline in described]
    return sheet_of("recipes", (Column("recipe"), Column("what it does"), Column("compared with")), rows)


def _list_profiles(roots: Sequence[Path]) -> "Sheet":
    from harness.registry import find_profiles, load_profile
    from harness.sheets.sheet import Column, sheet_of

    names = sorted(find_profiles(roots))
    rows = [(name, str(load_profile(name, roots).get("description", ""))) for name in names]
    return sheet_of("profiles", (Column("profile"), Column("what it fixes")), rows)


def _list_sweeps(roots: Sequence[Path]) -> "Sheet":
    from harness.registry import find_sweeps
    from harness.sheets.sheet import Column, sheet_of
    from harness.sweep.file import read_sweep

    rows = []
    for name, path in sorted(find_sweeps(roots).items()):
        try:
            sweep = read_sweep(path)
        except HarnessError as error:
            rows.append((name, f"unreadable: {error.problem}", "", ""))
            continue
        rows.append((name, sweep.asks, str(len(sweep.cells)), ",".join(map(str, sweep.file.seeds))))
    columns = (Column("sweep"), Column("what it asks"), Column("cells", "count"), Column("seeds"))
    return sheet_of("sweeps", columns, rows)


def _list_preferences(roots: Sequence[Path]) -> "Sheet":
    from harness.registry import find_preferences, load_preferences
    from harness.sheets.sheet import Column, sheet_of

    groups = []
    for name in sorted(find_preferences(roots)):
        source = load_preferences(name, roots)
        # of a commit, as much as tells it from others
        where = f"{source.hub}@{source.revision[:12]}" if source.revision else source.hub
        about = (where, f"licence: {source.licence}")
        groups.append([(name, source.summary, ", ".join(source.overlap) or "–"), *(("", line, "") for line in about)])
    columns = (Column("source"), Column("what it holds; where, licence"), Column("shares questions with"))
    return sheet_of("preferences", columns, *groups)


def _list_judges(roots: Sequence[Path]) -> "Sheet":
    from harness.registry import find_judges, load_judge
    from harness.sheets.sheet import Column, sheet_of

    known = {name: load_judge(name, roots) for name in find_judges(roots)}
    groups = []
    for name, judge in sorted(known.items(), key=lambda one: (one[1].cannot is not None, one[0])):
        if judge.cannot:
            needs = f"cannot be run: {judge.cannot}"
        elif judge.words:
            needs = "needs its authors' words, saved once: a run says how"
        else:
            needs = "needs nothing besides its weights"
        where = f"{judge.hub}@{judge.revision[:12]}" if judge.revision else judge.hub
        about = (where, f"{judge.parameters} parameters; licence: {judge.licence}", needs)
        first = (f"judge:{name}", judge.summary, "rewards" if judge.head or judge.scores else "words")
        groups.append([first, *(("", line, "") for line in about)])
    columns = (Column("judge"), Column("what it is; where, size, licence, needs"), Column("answers in"))
    return sheet_of("judges", columns, *groups)


def _runs(options: Namespace) -> str:
    from rich.progress import track

    from harness.counting.cache import Cache
    from harness.show.console import Screen
    from harness.show.runs import fields, lines, listed

    paths, where, errors = list_runs(), results_root() / "runs", Screen(stderr=True)
    shown = track(paths, "counting", console=errors, transient=True, disable=not errors.is_terminal)
    found = list(listed(shown, options.words, Cache(results_root() / "cache/counted")))
    if options.format == "json":
        return fields(found).rstrip()
    if not paths:
        return (
            f"There is no run in {where.resolve()}.\nRuns are looked for in results/runs of the folder that you are "
            "in, or of the one that HARNESS_RESULTS names."
        )
    if not found:
        return f"None of the {len(paths)} runs in {where} has {' and '.join(options.words)} in its name or status."
    screen = Screen()
    told = lines(found, screen.width if screen.is_terminal else None)
    return "\n".join([f"runs in {where}, newest first", *told])


def _list_baselines() -> "Sheet":
    from harness.records import RunFolder
    from harness.records.acceptance import changed, history
    from harness.registry import baselines_root, list_baselines
    from harness.sheets.sheet import Column, sheet_of

    rows = []
    for path in list_baselines():
        try:
            run, accepted = RunFolder(path).read_run(), history(path)
        except DataError as error:
            rows.append((path.name, f"unreadable: {error.problem}", "", ""))
            continue
        last = accepted[-1] if accepted else None
        # the day; accepted.json has the second
        when = last.date[:10] if last else "never: copied by hand"
        if what := changed(path):
            when += f"; changed since, by hand: {what}"
        rows.append((path.name, run.name, when, last.reason if last else ""))
    columns = (Column("baseline"), Column("run"), Column("accepted"), Column("reason"))
    return sheet_of(f"baselines in {baselines_root()}", columns, *([row] for row in rows))
