"""An item: one question of a benchmark, with its label and its cluster."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.records.content import parts

Kind = Literal["pair", "pair-ties", "pair-sets", "score", "batch", "best"]
"""What a task asks: which of two responses is better, the same where people also say *tie* or where pairs form sets
that are also counted whole, a grade for one response, an order of several, or which of several is right."""

PAIRWISE: tuple[Kind, ...] = ("pair", "pair-ties", "pair-sets")
"""Kinds that show two responses and ask which is better."""

Label = Literal["tie"] | int | tuple[int, ...]
"""What people say of an item: which of two responses is better (0, 1, or `tie`), the grade of one
response, the order of several from best to worst, or those of several that are right, as places in
`Item.responses`."""


Name = Annotated[str, Field(min_length=1, max_length=1000)]
"""What an item or a cluster is called."""


class Item(BaseModel):
    """One question as the benchmark holds it, without the images themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item_id: Name
    """Benchmark id plus a hash of question and responses; the same wherever the item is met."""
    source_id: Name
    """The id in the benchmark's own file."""
    question: str
    """Like a response, it may mark where some of `images` stand (`harness.records.content`)."""
    responses: tuple[str, ...]
    """One to grade, two to choose from, or several to rank, in the order of the file."""
    label: Label
    slice: Annotated[str, Field(max_length=1000)]
    cluster_id: Name | None
    """Items that share an image are one cluster: the hash of its pixels, or its name where only
    that is known; None where neither is. Items that their benchmark groups begin with `GROUP`."""
    image_hash: str | None
    """The image that stands before the question, by the hash of its pixels; None where it has none, or marks its
    images."""
    images: tuple[str, ...] = ()
    """Images that are marked in question and responses, by the hashes of their pixels."""

    @property
    def text_alone(self) -> bool:
        """Whether it is known to have no image: without one, items are one cluster only where their benchmark says."""
        return not (self.image_hash or self.images) and (self.cluster_id or "").startswith(GROUP)


GROUP = "group/"
"""How a cluster begins that the benchmark itself names: items of one prompt, say, whatever their images."""


def item_id(benchmark_id: str, question: str, responses: Sequence[str], images: Sequence[str] = ()) -> str:
    """Name an item by its benchmark id and what is asked, so that outputs made elsewhere join.

    The label and an image before the question are left out: a corrected label is the same item. Images that are marked
    belong to what is said, and are named by their pixels.
    """
    said = [_said(text, images) for text in (question, *responses)]
    content = json.dumps(said, ensure_ascii=False).encode()
    return f"{benchmark_id}#{hashlib.sha256(content).hexdigest()[:10]}"


def _said(text: str, images: Sequence[str]) -> str | list[str | list[str]]:
    if not images:
        return text
    return [[images[part]] if isinstance(part, int) else part for part in parts(text, len(images))]
