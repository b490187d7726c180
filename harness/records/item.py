"""An item: one question of a benchmark, with its label and its cluster."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Item(BaseModel):
    """One pairwise question as the benchmark holds it, without the image itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item_id: str
    """Benchmark id plus a hash of question and responses; the same wherever the item is met."""
    source_id: str
    """The id in the benchmark's own file."""
    question: str
    responses: tuple[str, str]
    """Both responses in the order of the file."""
    label: Literal[0, 1]
    """Which response is better: the first (0) or the second (1) of the file."""
    slice: str
    cluster_id: str
    """Hash of the image's pixels: items that share an image are one cluster."""
    image_hash: str


def item_id(benchmark_id: str, question: str, responses: tuple[str, ...]) -> str:
    """Name an item by its benchmark id and what is asked, so that outputs made elsewhere join.

    The label and the image are left out: a corrected label or a re-encoded image is the same item.
    """
    content = json.dumps([question, *responses], ensure_ascii=False).encode()
    return f"{benchmark_id}#{hashlib.sha256(content).hexdigest()[:10]}"
