"""The worker for tests: trains several jobs in a row, says who it is, and shards models on a CPU where asked."""

import os
import sys
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from pydantic import BaseModel

from harness.settings import TrainingSettings
from harness.training.dpo import DpoJob
from harness.training.dpo import tune as prefer
from harness.training.reward import RewardJob
from harness.training.reward import tune as score
from harness.training.sft import SftJob
from harness.training.sft import tune as teach
from harness.training.stages import Progress
from harness.training.worker import main


class Jobs(BaseModel):
    """Trainings to carry out one after the other, so that processes start once for all of them."""

    training: TrainingSettings = TrainingSettings()
    sft: list[SftJob] = []
    dpo: list[DpoJob] = []
    reward: list[RewardJob] = []


def one_after_the_other(job: Jobs, progress: Progress) -> dict[str, Any]:
    for training in job.sft:
        teach(training, progress)
    for training in job.dpo:
        prefer(training, progress)
    for training in job.reward:
        score(training, progress)
    return {}


def shard_on_a_cpu() -> None:
    """Let accelerate take the processes for GPUs, as it else drops FSDP without a word."""
    plain = AcceleratorState.__init__

    def as_if_on_gpus(self: AcceleratorState, *arguments: object, **named: object) -> None:
        PartialState(cpu=True)
        # it is made anew many times, and knows by then what it made of this
        if PartialState._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        plain(self, *arguments, **named)

    AcceleratorState.__init__ = as_if_on_gpus


if __name__ == "__main__":
    file = Path(sys.argv[1])
    (file.parent / f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
    if "ACCELERATE_USE_FSDP" in os.environ:
        shard_on_a_cpu()
    main(file)
