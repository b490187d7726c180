"""The machine that a plan is for: its GPUs and their memory, or that it has none."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import HarnessError
from harness.planning.assumptions import Gpu, assumptions, recognised
from harness.provenance import accelerator, hardware


@dataclass(frozen=True)
class Machine:
    """GPUs of one kind, or none."""

    name: str
    """For people."""
    memory: float
    """GiB of each GPU, or of the machine where it has none."""
    gpus: int
    """0 for a machine that computes on its processor."""
    gpu: Gpu | None = None
    """What each GPU can do; None where that is not known."""


class Needs(BaseModel):
    """What a profile says that it needs; no setting, so that it changes no run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: str
    gpus: int = Field(1, ge=1)


def needed(profile: dict[str, Any], name: str) -> Needs | None:
    """Read a profile's `needs: {gpu: NAME, gpus: N}`; None where it has none.

    Raises:
        HarnessError: for another key, or a GPU that `throughput.yaml` has not.
    """
    if "needs" not in profile:
        return None
    try:
        needs = Needs.model_validate(profile["needs"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["needs", *map(str, first["loc"])])
        raise HarnessError(f"profile {name}: {place}: {first['msg']}.", "Write needs: {gpu: h100-80gb}.") from None
    assumptions().gpu(needs.gpu)
    return needs


def wished(gpu: str, gpus: int, memory: float | None) -> Machine:
    """Describe a machine that need not be here.

    Args:
        gpu: its name in `throughput.yaml`.
        gpus: how many.
        memory: GiB of each, in place of the card's own.
    """
    card = assumptions().gpu(gpu)
    return Machine(gpu, memory or card.memory, gpus, card)


def this_machine() -> Machine:
    """Describe the machine that we are on; torch is loaded only where there is an accelerator."""
    if accelerator() is not None:
        import torch

        if torch.cuda.is_available():
            name = torch.cuda.get_device_name()
            known = recognised(name)
            memory = torch.cuda.get_device_properties(0).total_memory / 2**30
            return Machine(name, memory, torch.cuda.device_count(), assumptions().gpus[known] if known else None)
    return Machine("this machine's processor", float(hardware()["memory_gib"]), 0)
