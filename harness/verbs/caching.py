"""The verb about the stage cache: what lies there, whether it is whole, and what may go."""

import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from harness.errors import ExitCode, HarnessError
from harness.registry import list_baselines, list_runs, results_root
from harness.verbs.showing import show_sheet

if TYPE_CHECKING:
    from harness.training.cache import Entry


def cache(options: Namespace) -> ExitCode:
    """List, check or prune the cache."""
    from harness.records import RunFolder
    from harness.show.console import Screen
    from harness.training.cache import entries

    found = entries(results_root() / "cache", map(RunFolder, [*list_runs(), *list_baselines()]))
    return {"ls": _list, "check": _check, "prune": _prune}[options.action](found, options, Screen())


def _list(found: "list[Entry]", options: Namespace, screen: Any) -> ExitCode:
    """Show the cache by stage, or each artifact."""
    from harness.sheets.sheet import Column, sheet_of

    now, title, rows = time.time(), f"{results_root() / 'cache'}: {_size(found)}", list[tuple[str, ...]]()
    if options.every:
        columns = [Column("artifact"), Column("size", "count"), Column("last used"), Column("runs that name it")]
        for entry in found:
            state = " (stopped)" if entry.unfinished else ""
            rows.append((entry.path.name + state, _size([entry]), _ago(now, entry), ", ".join(entry.runs) or "none"))
    else:
        counted = ("artifacts", "size", "named by no run")
        columns = [Column("stage"), *(Column(name, "count") for name in counted), Column("last used", spare=1)]
        for stage in sorted({entry.stage for entry in found}):
            own = [entry for entry in found if entry.stage == stage]
            latest = max(own, key=lambda entry: entry.used)
            free = _size([entry for entry in own if not entry.runs])
            rows.append((stage, str(len(own)), _size(own), free, _ago(now, latest)))
    show_sheet(screen, sheet_of(title, columns, rows))
    return ExitCode.OK


def _check(found: "list[Entry]", options: Namespace, screen: Any) -> ExitCode:
    """Hold every artifact against its hashes."""
    from rich.progress import track

    whole = [entry for entry in found if not entry.unfinished and not entry.locked()]
    damaged = {}
    for entry in track(whole, "hashing", console=screen, transient=True, disable=not screen.is_terminal):
        if why := entry.damage():
            damaged[entry.path.name] = why
    for name, why in damaged.items():
        screen.print(f"{name}: {why}.", soft_wrap=True)
    if damaged:
        told = f"{len(damaged)} of {len(whole)} artifacts are damaged; a run that needs one computes it again."
        screen.print(told)
        return ExitCode.INCOMPLETE
    screen.print(f"All {len(whole)} artifacts are what was written ({_size(whole)}).")
    return ExitCode.OK


def _prune(found: "list[Entry]", options: Namespace, screen: Any) -> ExitCode:
    """Remove what is chosen."""
    from harness.training.cache import prunable

    if options.days is None and options.gib is None and not options.unused:
        raise HarnessError("what may go?", "Say --unused, --older-than DAYS or --down-to GIB; --dry-run shows it.")
    chosen = prunable(found, time.time(), options.days, options.gib, options.used_too)
    busy = [entry for entry in chosen if entry.locked()]
    gone = [entry for entry in chosen if entry not in busy]
    for entry in gone:
        if not options.dry_run:
            entry.remove()
        screen.print(f"  {entry.path.name}  {_size([entry])}", soft_wrap=True)
    verb = "would go" if options.dry_run else "removed"
    screen.print(f"{len(gone)} artifacts {verb}, {_size(gone)}; {_size([e for e in found if e not in gone])} stay.")
    if busy:
        screen.print(f"Left alone, as a process works on them: {', '.join(e.path.name for e in busy)}.")
    return ExitCode.OK


def _size(found: "list[Entry]") -> str:
    size = sum(entry.size for entry in found)
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _ago(now: float, entry: "Entry") -> str:
    hours = (now - entry.used) / 3600
    return f"{hours / 24:.0f} days ago" if hours >= 48 else f"{hours:.0f} h ago"
