"""What a plan rests on besides settings: `throughput.yaml`, read and checked. A measurement goes into that file."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from harness.bounded_yaml import read_yaml
from harness.errors import unknown

FILE = Path(__file__).parent / "throughput.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gpu(_Part):
    """A card: its name for the driver, memory in GiB, operations and bytes a second."""

    match: str
    memory: float
    peak: float
    bandwidth: float


class Shares(_Part):
    """Shares of the peak (training, reading, scoring) or of the bandwidth (writing) that are reached."""

    training: float
    reading: float
    scoring: float
    writing: float


class Assumed(_Part):
    """What is not known before the data are read; tokens, shares of pairs, sizes of data sets."""

    image: tuple[int, int]
    question: int
    judgment: int
    asked: int
    expert: int
    confirmed: float
    contrasts: float
    pairs: dict[str, int]


class Assumptions(_Part):
    """Everything that a plan takes for granted."""

    measured: str
    """Which speeds were measured, on what, and which are assumed: a part of a sentence."""
    gpus: dict[str, Gpu]
    shares: Shares
    step: dict[str, float]
    reserve: float
    assumed: Assumed

    def gpu(self, name: str) -> Gpu:
        """Look up a card.

        Raises:
            HarnessError: for one that is not in the file.
        """
        if name not in self.gpus:
            raise unknown("GPU", name, self.gpus, "harness/planning/throughput.yaml has them.")
        return self.gpus[name]


@cache
def assumptions() -> Assumptions:
    """Read the file that comes with the harness."""
    return Assumptions.model_validate(read_yaml(FILE))


def recognised(driver_name: str) -> str | None:
    """Find the card that a driver's name speaks of; None for one that the file has not."""
    known: Mapping[str, Gpu] = assumptions().gpus
    return next((name for name, gpu in known.items() if gpu.match in driver_name), None)
