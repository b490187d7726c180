"""Runs commands of the harness as Ray tasks, each in a process of its own on whichever machine has room.

The machines share the results folder, and have the harness installed alike.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from harness.engines.ray_engine import start
from harness.settings import RaySettings

PATIENCE = 30
"""Seconds that tasks which are told to stop have for it."""


def _run(command: tuple[str, ...], log: Path, cwd: str, environment: dict[str, str]) -> int:
    """Run one command on a worker; whoever cancels the task stops it."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *command],
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        # Ray's interruption wakes nobody who waits in the kernel
        while (code := process.poll()) is None:
            time.sleep(0.2)
        return code
    finally:
        # what is done is on the disk; SIGINT, which asks more gently, is blocked in whatever Ray starts
        if process.poll() is None:
            process.terminate()
            process.wait()


class RayCommands:
    """A Ray cluster: what its tasks ask for decides how many run at once, and where."""

    def __init__(self, workers: int, address: str | None, gpus: float, results: Path) -> None:
        start(RaySettings(workers=workers, address=address))
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)) // workers) if address is None else 1
        self.task = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(_run)
        threads = os.environ.get("OMP_NUM_THREADS", str(cores))
        self.environment = {"HARNESS_RESULTS": str(results.resolve()), "OMP_NUM_THREADS": threads}
        self.running: list[Any] = []

    def begin(self, job: Any) -> Any:
        """Hand a job to the cluster."""
        reference = self.task.remote(job.command, job.log.resolve(), str(Path.cwd()), self.environment)
        self.running.append(reference)
        return reference

    def ended(self, handle: Any) -> int | None:
        """Return a job's exit code; None while it runs or waits for room. A worker that died counts as killed."""
        ready, _ = ray.wait([handle], timeout=0)
        if not ready:
            return None
        self.running.remove(handle)
        try:
            return int(ray.get(handle))
        except RayError:
            return -9

    def close(self) -> None:
        """Stop what still runs, and leave the cluster."""
        for reference in self.running:
            ray.cancel(reference)
        if self.running:
            # a task that is cancelled stops its process; without it the process would go on alone
            ray.wait(self.running, num_returns=len(self.running), timeout=PATIENCE)
        ray.shutdown()
