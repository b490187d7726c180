"""What a training does as one of several processes; in one process it is all the first's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import HarnessError
from harness.settings import TrainingSettings


def world() -> int:
    """Count the processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Tell whether this process is the one that writes."""
    return int(os.environ.get("RANK", 0)) == 0


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world() > 1:
        import torch

        torch.distributed.barrier()


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process through, and the others after it, so that they find what it has prepared."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()


def check_together(trainer: Any, training: TrainingSettings) -> None:
    """Stop before the first update if processes do not see each other or do not share the model as asked.

    On a CPU accelerate drops FSDP and DeepSpeed without a word, and N processes then train N models.

    Raises:
        HarnessError: saying what was asked and what there is.
    """
    from accelerate.utils import DistributedType

    accelerator = trainer.accelerator
    wanted = {"fsdp2": DistributedType.FSDP, "zero3": DistributedType.DEEPSPEED}.get(training.strategy)
    if accelerator.num_processes != world() or world() != training.world:
        raise HarnessError(
            f"{training.world} processes were asked, {world()} started, and each sees {accelerator.num_processes}.",
            "Nothing was trained; say training.strategy=ddp, or see its log for what accelerate makes of this machine.",
        )
    if wanted and accelerator.distributed_type != wanted:
        raise HarnessError(
            f"training.strategy {training.strategy} was asked, and accelerate made {accelerator.distributed_type.value}"
            " of it, as it does on a CPU.",
            "Set training.strategy=ddp, or use GPUs.",
        )
