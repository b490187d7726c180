"""An item: one question of a benchmark, with its label and its cluster."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["pair", "pair-ties", "score", "batch"]
"""What a task asks: which of two responses is better, the same where people also say *tie*, a grade
for one response, or an order of several."""

Label = Literal["tie"] | int | tuple[int, ...]
"""What people say of an item: which of two responses is better (0, 1, or `tie`), the grade of one
response, or the order of several from best to worst, as places in `Item.responses`."""


Name = Annotated[str, Field(min_length=1, max_length=1000)]
"""What an item or a cluster is called."""


class Item(BaseModel):
    """One question as the benchmark holds it, without the image itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item_id: Name
    """Benchmark id plus a hash of question and responses; the same wherever the item is met."""
    source_id: Name
    """The id in the benchmark's own file."""
    question: str
    responses: tuple[str, ...]
    """One to grade, two to choose from, or several to rank, in the order of the file."""
    label: Label
    slice: Annotated[str, Field(max_length=1000)]
    cluster_id: Name | None
    """Items that share an image are one cluster: the hash of its pixels, or its name where only
    that is known; None where neither is."""
    image_hash: str | None


def item_id(benchmark_id: str, question: str, responses: tuple[str, ...]) -> str:
    """Name an item by its benchmark id and what is asked, so that outputs made elsewhere join.

    The label and the image are left out: a corrected label or a re-encoded image is the same item.
    """
    content = json.dumps([question, *responses], ensure_ascii=False).encode()
    return f"{benchmark_id}#{hashlib.sha256(content).hexdigest()[:10]}"
