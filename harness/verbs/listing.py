"""`harness ls`: what there is."""

from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, ExitCode, HarnessError
from harness.registry import content_roots, described_recipe, list_runs, results_root

if TYPE_CHECKING:
    from harness.records import Run


def ls(options: Namespace) -> ExitCode:
    """List tasks, recipes, profiles, sweeps, preferences, runs or baselines."""
    from harness.show.console import Screen

    roots = content_roots(options.include_path)
    lister = {
        "tasks": _list_tasks,
        "recipes": _list_recipes,
        "profiles": _list_profiles,
        "sweeps": _list_sweeps,
        "preferences": _list_preferences,
        "runs": _list_runs,
        "baselines": _list_baselines,
    }
    found = lister[options.kind](roots)
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
            table.add_row(name, f"{task.summary}\n{task.source}\n{task.items} items", ", ".join(task.protocols))
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


def _list_runs(roots: Sequence[Path]) -> str:
    from harness.records import RunFolder

    rows: list[tuple[str, ...]] = [("run", "status", "seeds x items", "tokens", "age")]
    if not (paths := list_runs()):
        where = (results_root() / "runs").resolve()
        return (
            f"There is no run in {where}.\nRuns are looked for in results/runs of the folder that you are in, or of "
            "the one that HARNESS_RESULTS names."
        )
    for path in paths:
        try:
            run = RunFolder(path).read_run()
        except DataError as error:
            rows.append((path.name, f"unreadable: {error.problem}", "", "", ""))
            continue
        asked = f"{len(run.config.get('seeds') or run.checkpoints)} x {sum(task.items for task in run.tasks)}"
        rows.append((path.name, run.status, asked, _tokens(run), _age(run.started)))
    if not any(row[3] for row in rows[1:]):
        rows = [(*row[:3], row[4]) for row in rows]
    readable = [row for row in rows if not row[1].startswith("unreadable")]
    widths = [max(map(len, column)) for column in zip(*readable, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"runs in {results_root() / 'runs'}, newest first", *lines])


def _tokens(run: "Run") -> str:
    """Say how many tokens its judging read and wrote, in thousands or millions; nothing where it is not known."""
    took = [stage.info.get("usage") for stage in run.stages if stage.stage.startswith("judge ")]
    counts = [use.get(name) for use in took if isinstance(use, dict) for name in ("prompt_tokens", "completion_tokens")]
    known = [count for count in counts if isinstance(count, int)]
    if not known or len(known) < len(counts):
        return ""
    total = sum(known)
    return f"{total / 1e6:.1f} M" if total >= 1e6 else f"{total / 1e3:.0f} k" if total >= 1e4 else f"{total:,}"


def _age(started: str) -> str:
    """Say how long ago something was, roughly; nothing of a time that cannot be read."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "now"


def _list_baselines(roots: Sequence[Path]) -> Any:
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
