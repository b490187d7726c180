"""One process of a training, started by torchrun: `python -m harness.training.worker JOB`."""

import importlib
import json
import os
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.records.store import write_atomically
from harness.training.launch import PROGRESS, REPORT
from harness.training.ranks import is_first
from harness.training.stages import Progress, Silent

PATIENCE = timedelta(hours=2)
"""How long processes wait for the one that prepares the rows; one that dies is noticed at once."""


class WrittenProgress:
    """Progress that the driver reads from a file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a", buffering=1)

    def total(self, steps: int, unit: str = "") -> None:
        """Write the total."""
        self.file.write(json.dumps(["total", steps, unit]) + "\n")

    def advance(self, steps: int = 1) -> None:
        """Write the steps."""
        self.file.write(json.dumps(["advance", steps]) + "\n")


def main(job_file: Path) -> None:
    """Carry out the job with the other processes; the first one reports."""
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    first = is_first()
    folder = job_file.parent
    told = json.loads(job_file.read_text())
    module, _, name = told["work"].partition(":")
    progress: Progress = WrittenProgress(folder / PROGRESS) if first else Silent()
    try:
        _meet()
        work = getattr(importlib.import_module(module), name)
        said: dict[str, Any] = {"info": work(work.__annotations__["job"].model_validate(told["job"]), progress)}
    except HarnessError as error:
        said = {"problem": error.problem, "fix": error.fix}
    if first or "problem" in said:
        write_atomically(folder / REPORT, json.dumps(said))
    if "problem" in said:
        # the others may wait for this one
        os._exit(1)


def _end_with_the_driver() -> None:
    """End when the driver has gone: standard input is a pipe that it holds open."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def _meet() -> None:
    """Join the other processes."""
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
