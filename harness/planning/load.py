"""What a stage will compute: which model works on how many rows of how many tokens."""

from dataclasses import dataclass, replace
from typing import Literal

from harness.settings import AnsweringSection, JudgeSettings, RaySettings, ServerSettings, VllmSettings


@dataclass(frozen=True)
class Place:
    """Which engine writes or scores, and on which GPUs."""

    engine: str = "transformers"
    under_way: int = 0
    """Answers that it keeps going by itself on each GPU; 0 for one that goes batch by batch."""
    gpus: int | None = 1
    """GPUs that work side by side; None for all there are."""
    parts: int = 1
    """GPUs that one copy of the model is spread over."""
    elsewhere: bool = False
    """Whether that is a cluster, of which this machine knows nothing."""


def place_of(section: AnsweringSection) -> Place | None:
    """Tell where a section's work is done; None for a server's, which is no work of ours."""
    engine, holder = section.engine, section.engine.holder
    if isinstance(holder, ServerSettings):
        return None
    place = Place()
    if isinstance(holder, VllmSettings):
        copies = holder.replicas * holder.tensor_parallel if holder.replicas else None
        place = Place("vllm", holder.concurrency, copies, holder.tensor_parallel)
    if isinstance(engine, RaySettings):
        gpus = max(1, round(engine.workers * engine.gpus_per_worker))
        return replace(place, gpus=gpus, elsewhere=engine.address is not None)
    return place


Work = Literal["train", "write", "score"]


@dataclass(frozen=True)
class Load:
    """The computing of one stage. Tokens are of text; an image adds its own, which depend on the model."""

    work: Work
    model: str
    revision: str | None
    precision: str
    """What is computed in: `float32` or `bfloat16`."""
    rows: int
    """Rows trained on, answers written, or texts scored, in all."""
    prompt: int
    """Tokens of text that are read before the answer."""
    answer: int
    """Tokens of an answer on average, or trained on."""
    at_most: int
    """Tokens of the longest answer; a batch is written until its longest one ends."""
    batch: int
    """Rows that a GPU has at once; answers, where several are drawn for a prompt."""
    draws: int = 1
    """Answers to each prompt."""
    longest: int | None = None
    """Tokens of the longest row that is kept, image included; None for what the assumptions make."""
    sees: bool = True
    """Whether an image is part of the row."""
    judge: JudgeSettings | None = None
    """What is trained of the model; None where nothing is."""
    sequences: int = 1
    """Sequences of a row: the chosen and the rejected judgment are two."""
    checkpointing: bool = False
    place: Place = Place()
    """Who writes or scores, and where."""
    section: str = ""
    """Of its settings, where that does not follow from its stage."""


@dataclass(frozen=True)
class Launch:
    """On how many GPUs it is trained, and how these share the model."""

    processes: int = 1
    strategy: str = "none"
    """`none`, `ddp` (a copy each), `fsdp2` or `zero3` (a part each)."""

    @property
    def shards(self) -> int:
        """Parts that weights, gradients and moments are cut into."""
        return self.processes if self.strategy in ("fsdp2", "zero3") else 1
