"""Runs the cells of a sweep, some at a time, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.provenance import accelerators

PATIENCE = 30
"""Seconds that a process which is told to stop has for it."""


@dataclass(frozen=True)
class Job:
    """A command of the harness, and the file for what it prints."""

    label: str
    command: tuple[str, ...]
    log: Path


class Place(Protocol):
    """Where jobs run."""

    def begin(self, job: Job) -> Any:
        """Start a job; return a handle of it."""

    def ended(self, handle: Any) -> int | None:
        """Return a job's exit code; None while it runs."""

    def close(self) -> None:
        """Stop what still runs."""


def carry_out(jobs: Sequence[Job], place: Place, workers: int) -> Generator[tuple[Job, int, float], None, None]:
    """Run jobs in their order, `workers` at a time; yield each with its exit code and its seconds as it ends.

    One that fails is a code like any other. Whoever stops listening stops what runs.
    """
    waiting, running = list(jobs), list[tuple[Job, Any, float]]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                running.append((job, place.begin(job), time.monotonic()))
            for each in list(running):
                job, handle, began = each
                if (code := place.ended(handle)) is not None:
                    running.remove(each)
                    yield job, code, time.monotonic() - began
            time.sleep(0.1)
    finally:
        place.close()


class Here:
    """This machine: its cores and its GPUs are divided among the workers."""

    def __init__(self, workers: int) -> None:
        threads = max(1, len(os.sched_getaffinity(0)) // workers)
        self.environment = {"OMP_NUM_THREADS": str(threads)} | dict(os.environ)
        gpus = accelerators()
        # where there are fewer than workers, several work on one
        self.shares = [gpus[worker::workers] or gpus[worker % max(1, len(gpus)) :][:1] for worker in range(workers)]
        self.running: dict[subprocess.Popen[bytes], list[str]] = {}

    def begin(self, job: Job) -> subprocess.Popen[bytes]:
        """Start a job's process, in a session of its own: Ctrl-C is for us to pass on."""
        gpus = self.shares.pop(0)
        with job.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", *job.command],
                env=self.environment | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[process] = gpus
        return process

    def ended(self, handle: subprocess.Popen[bytes]) -> int | None:
        """Return a process's exit code, and have its GPUs back; None while it runs."""
        if (code := handle.poll()) is not None:
            self.shares.append(self.running.pop(handle))
        return code

    def close(self) -> None:
        """Stop what still runs: as Ctrl-C does, so that it keeps what it has; by force what does not listen."""
        for process in self.running:
            os.killpg(process.pid, signal.SIGINT)
        for process in self.running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
