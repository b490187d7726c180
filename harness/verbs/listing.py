"""`harness ls`: what there is."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError, ExitCode, HarnessError
from harness.registry import content_roots, described_recipe, list_runs, results_root


def ls(options: Namespace) -> ExitCode:
    """List tasks, recipes, profiles, sweeps, preferences, runs or baselines."""
    from harness.show.console import Screen

    if options.kind != "runs" and (options.words or options.format != "lines"):
        raise HarnessError(
            f"Words and --format belong to `harness ls runs`, not to `harness ls {options.kind}`.", "Leave them out."
        )
    roots = content_roots(options.include_path)
    lister: dict[str, Callable[[], Any]] = {
        "tasks": lambda: _list_tasks(roots),
        "recipes": lambda: _list_recipes(roots),
        "profiles": lambda: _list_profiles(roots),
        "sweeps": lambda: _list_sweeps(roots),
        "preferences": lambda: _list_preferences(roots),
        "runs": lambda: _runs(options),
        "baselines": _list_baselines,
    }
    found = lister[options.kind]()
    # lines are left whole, so that a name can be copied
    Screen().print(found, soft_wrap=isinstance(found, str))
    return ExitCode.OK


def plain_table(title: str, *columns: str) -> Any:
    """Begin a table of words."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _list_tasks(roots: Sequence[Path]) -> Any:
    from harness.registry import find_tasks, group_of, read_task

    table = plain_table("tasks", "task", "what is asked; source, items", "protocols, the default first")
    table.columns[0].no_wrap = True
    for name, path in sorted(find_tasks(roots).items()):
        if tasks := group_of(path):
            table.add_row(name, f"all of {', '.join(tasks)}", "")
        else:
            task = read_task(path)
            about = f"{task.summary}\n{task.source}\n{task.items} items; licence: {task.licence or 'not known'}"
            table.add_row(name, about, ", ".join(task.protocols))
        table.add_section()
    return table


def _list_recipes(roots: Sequence[Path]) -> Any:
    from harness.registry import find_recipes

    table = plain_table("recipes", "recipe", "what it does", "compared with")
    for name in sorted(find_recipes(roots)):
        summary, baseline = described_recipe(name, roots)
        table.add_row(name, summary, baseline or "–")
    return table


def _list_profiles(roots: Sequence[Path]) -> Any:
    from harness.registry import find_profiles, load_profile

    table = plain_table("profiles", "profile", "what it fixes")
    for name in sorted(find_profiles(roots)):
        table.add_row(name, str(load_profile(name, roots).get("description", "")))
    return table


def _list_sweeps(roots: Sequence[Path]) -> Any:
    from harness.registry import find_sweeps
    from harness.sweep.file import read_sweep

    table = plain_table("sweeps", "sweep", "what it asks", "cells", "seeds")
    for name, path in sorted(find_sweeps(roots).items()):
        try:
            sweep = read_sweep(path)
        except HarnessError as error:
            table.add_row(name, f"unreadable: {error.problem}", "", "")
            continue
        table.add_row(name, sweep.asks, str(len(sweep.cells)), ",".join(map(str, sweep.file.seeds)))
    return table


def _list_preferences(roots: Sequence[Path]) -> Any:
    from harness.registry import find_preferences, load_preferences

    table = plain_table("preferences", "source", "what it holds; where, licence", "shares questions with")
    table.columns[0].no_wrap = True
    for name in sorted(find_preferences(roots)):
        source = load_preferences(name, roots)
        where = f"{source.hub}@{source.revision}" if source.revision else source.hub
        table.add_row(name, f"{source.summary}\n{where}\nlicence: {source.licence}", ", ".join(source.overlap) or "–")
        table.add_section()
    return table


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
    return "\n".join([f"runs in {where}, newest first", *lines(found)])


def _list_baselines() -> Any:
    from rich.text import Text

    from harness.records import RunFolder
    from harness.records.acceptance import changed, history
    from harness.registry import baselines_root, list_baselines
    from harness.texts import harmless

    table = plain_table(f"baselines in {baselines_root()}", "baseline", "run", "accepted", "reason")
    for path in list_baselines():
        try:
            run, accepted = RunFolder(path).read_run(), history(path)
        except DataError as error:
            table.add_row(path.name, f"unreadable: {error.problem}", "", "")
            continue
        last = accepted[-1] if accepted else None
        when = last.date if last else "never: copied by hand"
        if what := changed(path):
            when += f"; changed since, by hand: {what}"
        table.add_row(path.name, Text(harmless(run.name)), when, Text(harmless(last.reason)) if last else "")
    return table
