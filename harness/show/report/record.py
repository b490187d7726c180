"""What else is known of a run: where it lies, how it is repeated, and the names by which its judges are asked."""

import os
import shlex
from pathlib import Path
from urllib.parse import quote

from harness.errors import HarnessError
from harness.records import RunFolder
from harness.registry import find_run, results_root
from harness.show.report.model import Record, Side


def record_of(side: Side, beside: Path | None) -> Record:
    """List what is known.

    Args:
        side: the run.
        beside: folder in which the page will lie, from which the run's folder is linked; None for no link.
    """
    run, task, folder = side.result.run, side.result.task, side.result.folder
    called = _called(folder)
    facts = {
        "run": run.name,
        "started": run.started,
        "finished": run.finished or "–",
        "harness": run.revision or "unknown revision",
        "hardware": ", ".join(f"{key} {value}" for key, value in run.hardware.items()) or "–",
        "data": f"{task.data}, fingerprint {task.data_fingerprint}",
        "reader": task.reader,
    }
    judges = [(f"run:{called}:{seed}" if run.config.get("recipe") else f"seed {seed}", print_)
              for seed, print_ in run.checkpoints.items()]  # fmt: skip
    link = link_to(folder, beside) if beside else ""
    return Record(side.name, facts, str(folder.path), link, judges, _again(folder), dict(run.packages))


def link_to(folder: RunFolder, beside: Path) -> str:
    """Write the address of a run's folder from a page that lies in the folder `beside`."""
    return quote(os.path.relpath(folder.path.resolve(), beside.resolve())) + "/"


def _called(folder: RunFolder) -> str:
    """Return the name by which commands find a run; its path where that is no name."""
    try:
        found = find_run(folder.name).resolve() == folder.path.resolve()
    except HarnessError:
        found = False
    return folder.name if found else str(folder.path)


def _again(folder: RunFolder) -> str:
    """Write the command that repeats a run beside it."""
    config = folder.path / "config.yaml"
    if not config.exists():
        return ""
    again = results_root() / "runs" / f"{folder.name}-again"
    return shlex.join(["harness", "run", "--config", str(config), "--baseline", "none", "--out", str(again)])
