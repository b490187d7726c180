"""Training on several processes: who may, what they are told, how they are watched, and how they end.

The driver starts torchrun on `harness.training.worker` and waits. Cache, lock and rename stay with the driver; the
processes read a job from a file, append their progress to a second, and leave their report in a third. Their
standard input is a pipe that the driver holds: when it closes, for whatever reason, they end.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.engines.meter import meter
from harness.errors import HarnessError, RunIncompleteError, last_words
from harness.provenance import accelerator
from harness.records.store import write_atomically
from harness.settings import TrainingSettings
from harness.training.ranks import world
from harness.training.stages import Progress

FOLDER = "launch"
"""Folder in a stage's own with everything the processes are told and say."""
JOB, PROGRESS, REPORT, LOG = "job.json", "progress.jsonl", "report.json", "training.log"

FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
"""What accelerate reads of an environment to shard a model, as in the fsdp2.yaml that TRL ships."""

ZERO3 = {
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "true",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
}
"""Likewise for DeepSpeed."""

ENVIRONMENT: dict[str, dict[str, str]] = {"ddp": {}, "fsdp2": FSDP2, "zero3": ZERO3}


def refuse_launcher() -> None:
    """Refuse to run stages in a process that a launcher started: they would wait for each other's locks.

    Raises:
        HarnessError: where torchrun, accelerate or mpirun says that there are several processes.
    """
    if world() > 1:
        raise HarnessError(
            f"harness was started {world()} times by a launcher.",
            "Start it once; --set training.strategy=ddp training.processes=N starts the processes of a training.",
        )


def check_launch(training: TrainingSettings) -> None:
    """Refuse what cannot be launched, before anything is computed.

    Raises:
        HarnessError: naming the setting.
    """
    if training.strategy == "none" and training.world > 1:
        raise HarnessError(
            f"training.strategy none trains in one process, and {training.world} are asked.",
            "Set training.strategy to ddp, fsdp2 or zero3.",
        )
    packages = {
        "training.strategy=zero3": ("deepspeed", training.strategy == "zero3"),
        "training.liger=true": ("liger_kernel", training.liger),
        "training.attention=flash_attention_2": ("flash_attn", training.attention == "flash_attention_2"),
    }
    for setting, (package, asked) in packages.items():
        if asked and not importlib.util.find_spec(package):
            raise HarnessError(f"{setting} needs the package {package.replace('_', '-')}.", "Install it, or drop it.")
        if asked and not accelerator():
            raise HarnessError(f"{setting} needs a GPU, and there is none.", "Drop it.")
    if training.report_to not in ("none", "all") and not importlib.util.find_spec(training.report_to):
        raise HarnessError(
            f"training.report_to={training.report_to} needs the package of that name.", "Install it, or drop it."
        )


def launched(
    work: Callable[..., dict[str, Any]], job: BaseModel, out: Path, training: TrainingSettings, progress: Progress
) -> dict[str, Any]:
    """Carry out `work(job, progress)` on every process; return what the first one reports.

    Raises:
        HarnessError: the user's mistake that a process found.
        RunIncompleteError: if a process died; what it had saved is gone on from.
    """
    folder = out / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = {"work": f"{work.__module__}:{work.__qualname__}", "job": job.model_dump(mode="json")}
    (folder / PROGRESS).touch()
    write_atomically(folder / JOB, json.dumps(told))
    try:
        with (folder / LOG).open("wb") as log:
            code = _watch(start(folder / JOB, training, 0, log), folder / PROGRESS, progress)
    finally:
        # other machines see by this that it has ended
        (folder / JOB).unlink(missing_ok=True)
    report = folder / REPORT
    said = json.loads(report.read_text()) if report.exists() else {}
    if "problem" in said:
        raise HarnessError(said["problem"], said["fix"])
    if code or "info" not in said:
        raise RunIncompleteError(
            f"training on {training.world} processes ended with code {code}: {last_words(folder / LOG)}",
            f"Its log is {folder / LOG}; --resume goes on from the last checkpoint.",
        )
    shutil.rmtree(folder)
    return dict(said["info"])


def start(job: Path, training: TrainingSettings, machine: int, log: Any) -> "subprocess.Popen[bytes]":
    """Start this machine's processes of a training.

    Args:
        job: the file that says what is trained.
        training: how many processes, and how they share the model.
        machine: the number of this machine, from 0.
        log: the open file that takes what they print.
    """
    where = ["--standalone"]
    if training.machines > 1:
        where = ["--nnodes", str(training.machines), "--node-rank", str(machine)]
        where += ["--master-addr", training.address, "--master-port", str(training.port)]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(training.processes), *where]
    module = os.environ.get("HARNESS_WORKER", "harness.training.worker")
    environment = os.environ | ENVIRONMENT[training.strategy]
    # torchrun would set it to 1 and say so; torch's own choice is every core for each process
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // training.processes)))
    if not accelerator():
        environment["ACCELERATE_USE_CPU"] = "true"
    return subprocess.Popen(
        [*command, "-m", module, str(job)], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
    )


def _watch(process: "subprocess.Popen[bytes]", lines: Path, progress: Progress) -> int:
    """Pass progress on until the processes end; end them if the driver is stopped."""
    try:
        with lines.open() as file:
            while True:
                ended = process.poll() is not None
                for line in file.readlines():
                    name, *arguments = json.loads(line)
                    getattr(progress, name)(*arguments)
                # what the last checkpoint holds is kept
                meter().check()
                if ended:
                    return int(process.returncode)
                time.sleep(0.1)
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a machine's processes: their input closes, and torchrun is asked to go."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.terminate()
        process.wait()
