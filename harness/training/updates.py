"""How many updates rows take, and how an update's rows are shared out; light, so that a plan may ask too."""

import math

from harness.errors import HarnessError
from harness.settings import OptimisingSection


def accumulation(name: str, settings: OptimisingSection, world: int) -> int:
    """Count the batches that each process adds up before an update; rows per update are `batch_size` throughout.

    Args:
        name: of the settings' section.
        settings: with the rows of an update and of a batch.
        world: processes.

    Raises:
        HarnessError: if the rows of an update cannot be shared out evenly.
    """
    micro = min(settings.micro_batch_size, settings.batch_size)
    if settings.batch_size % (micro * world):
        largest = next((n for n in range(micro, 0, -1) if settings.batch_size % (n * world) == 0), None)
        among = f" x {world} processes" if world > 1 else ""
        raise HarnessError(
            f"{name}.batch_size {settings.batch_size} is no multiple of micro_batch_size {micro}{among}.",
            f"Set {name}.micro_batch_size={largest}."
            if largest
            else f"Set {name}.batch_size to a multiple of {world}.",
        )
    return settings.batch_size // (micro * world)


def updates_for(rows: int, settings: OptimisingSection) -> int:
    """Count the optimiser updates that `rows` rows take."""
    return max(1, math.ceil(rows / settings.batch_size * settings.epochs))
