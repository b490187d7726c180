"""What a protocol is: a way to ask a benchmark, to read the answers and to count them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.records import Item, Judgment, Kind, Presentation
from harness.stats.sums import FloatArray


@dataclass(frozen=True)
class Tally:
    """What a protocol counts, one entry per item; NaN marks an item left out of a metric."""

    item_ids: list[str]
    slices: list[str]
    clusters: list[str | None]
    columns: dict[str, FloatArray]
    """Shape [items], or [items, repeats] for grades; `harness.protocols.counting` says what each holds."""

    def __getitem__(self, column: str) -> FloatArray:
        return self.columns[column]

    @cached_property
    def slice_index(self) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
        """The slices' names, sorted, and each item's place among them."""
        names, index = np.unique(np.array(self.slices), return_inverse=True)
        return names, index


@dataclass(frozen=True)
class Protocol:
    """A way to ask, read and count one kind of task."""

    name: str
    kind: Kind
    version: int
    summary: str
    present: Callable[[Sequence[Item], int, int], list[Presentation]]
    """(items, order seed, repeats) to every presentation, in the order they are asked."""
    count: Callable[[Sequence[Item], Sequence[Judgment], int], Tally]
    """(items, judgments of one seed, repeats used) to the tally."""
    reader: str | None = None
    """The reader it fixes; None leaves it to the task."""
    repeats: int = 1
    varies: bool = False
    """Whether `name:K` asks for another number of repeats."""
    generation: dict[str, Any] = field(default_factory=dict)
    """Sampling settings that the protocol fixes; an empty dict is greedy decoding."""
    compares: bool = False
    """Whether two responses are shown at a time, whatever the task's kind."""
    weighs: bool = False
    """Whether P(verdict) is what is asked for, in place of a written answer."""
    scores: bool = False
    """Whether a score of each response shown is what is asked for, which a format of ours does not give."""
    counts_p: bool = False
    """Whether P(verdict) is what is counted, so that a judge must give it."""
    drawn: bool = False
    """Whether it shows each repeat in one order that chance (or a stand-in for it) decides, so that
    judgments made elsewhere may have been given in any."""

    @property
    def spec(self) -> str:
        """The name with its parameter, as `--protocol` takes it."""
        return f"{self.name}:{self.repeats}" if self.varies else self.name

    def presentations(self, items: Sequence[Item], seed: int) -> list[Presentation]:
        """List what is asked, drawn from `seed` before the first question."""
        return self.present(items, seed, self.repeats)

    def tally(self, items: Sequence[Item], judgments: Sequence[Judgment], repeats: int | None = None) -> Tally:
        """Count one seed's judgments; `repeats` uses only the first so many votes."""
        return self.count(items, judgments, repeats or self.repeats)
