"""`harness rm`: runs that are not wanted any more."""

import shutil
import sys
from argparse import Namespace
from pathlib import Path

from harness.errors import ExitCode, HarnessError, unknown
from harness.registry import list_runs, results_root


def rm(options: Namespace) -> ExitCode:
    """Remove runs from results/runs, once somebody has said yes."""
    from harness.records import RunFolder
    from harness.show.console import Screen

    known = {path.name: path for path in list_runs()}
    for name in options.runs:
        if name not in known:
            raise unknown("run", name, known, f"Only runs in {results_root() / 'runs'} are removed.")
        if known[name].is_symlink():
            told = f"{known[name]} is a link to {known[name].resolve()}, whose files are not this folder's to remove."
            raise HarnessError(told, f"Remove the link itself: rm {known[name]}.")
    screen = Screen()
    chosen = [known[name] for name in dict.fromkeys(options.runs)]
    for path in chosen:
        run = RunFolder(path).read_run()
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 2**20
        screen.print(f"  {path.name}  {run.status}, {run.started[:10]}, {size:.1f} MiB", soft_wrap=True)
    if not (options.yes or _agreed(len(chosen))):
        raise HarnessError("nothing was removed.", "Say yes, or --yes.")
    for path in chosen:
        _remove(path)
    cache = "What they trained stays in the cache: harness cache prune --unused."
    screen.print(f"Removed {len(chosen)}. {cache}", soft_wrap=True)
    return ExitCode.OK


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"Remove {'this run' if count == 1 else f'these {count} runs'}? [y/N] ").strip().lower() in (
        "y",
        "yes",
    )


def _remove(path: Path) -> None:
    """Remove a run unless a process works on it; its record goes first, so that what is left is no run."""
    from harness.records import RunFolder

    with RunFolder(path).locked():
        (path / "run.json").unlink(missing_ok=True)
    shutil.rmtree(path)
