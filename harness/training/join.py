"""Makes this machine one of several that train together: `python -m harness.training.join --machine 1`.

The command `harness run` goes on the first machine alone, with `training.machines` and `training.address` set. On each
other machine this waits in the same results folder for what the first one trains, starts its own processes of it, and
waits for the next; Ctrl-C ends it.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

from harness.registry import results_root
from harness.settings import TrainingSettings
from harness.training.launch import FOLDER, JOB, end, start

PAUSE = 1.0
"""Seconds between two looks."""


def join(cache: Path, machine: int) -> None:
    """Take part in every training that begins or is under way in `cache`.

    Args:
        cache: the folder of finished and unfinished stages, shared with the first machine.
        machine: the number of this machine, from 1.
    """
    served = None
    while True:
        newest = _newest_job(cache)
        if newest and newest != served:
            _take_part(*newest, machine)
            served = newest
        time.sleep(PAUSE)


def _newest_job(cache: Path) -> tuple[Path, int] | None:
    """Find the training that began last, with when it did; an older one was left by a driver that was killed."""
    found = []
    for job in cache.glob(f"*.part/{FOLDER}/{JOB}"):
        try:
            found.append((job, job.stat().st_mtime_ns))
        except FileNotFoundError:  # it has ended just now
            continue
    return max(found, key=lambda one: one[1], default=None)


def _take_part(job: Path, written: int, machine: int) -> None:
    training = TrainingSettings.model_validate(json.loads(job.read_text())["job"]["training"])
    name = job.parent.parent.name.removesuffix(".part")
    if machine >= training.machines:
        print(f"{name}: trained on {training.machines} machines, and this is number {machine}", flush=True)
        return
    print(f"{name}: {training.processes} processes of {training.world}", flush=True)
    with TemporaryFile() as log:
        process = start(job, training, machine, log)
        try:
            while process.poll() is None and (job, written) == _newest_job(job.parent.parent.parent):
                time.sleep(PAUSE)
        finally:
            end(process)
        if process.returncode:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
    print(f"{name}: ended with code {process.returncode}", flush=True)


def main() -> None:
    """Read the arguments and join in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", type=int, required=True, help="number of this machine; the first one is 0")
    try:
        join(results_root() / "cache", parser.parse_args().machine)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
