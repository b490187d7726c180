"""Sets of items: what is in one, and which of its items a limit leaves."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from harness.records.item import GROUP, Item


class Inventory:
    """Counts items by slice and hashes them, labels and images included; their order is part of the hash."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._digest = hashlib.sha256()
        self.counts: dict[str, int] = {}
        for item in items:
            self.add(item)

    def add(self, item: Item) -> None:
        """Count one item."""
        self.counts[item.slice] = self.counts.get(item.slice, 0) + 1
        responses, label = list(item.responses), json.dumps(item.label)
        what = [item.item_id, item.source_id, item.question, responses, label, item.slice, item.image_hash]
        if item.images or str(item.cluster_id).startswith(GROUP):
            what += [list(item.images), item.cluster_id]
        self._digest.update(json.dumps(what).encode())

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any item."""
        return self._digest.hexdigest()[:16]


def limited(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Keep `limit` items, drawn once and for all by their hash, in the order of the data.

    The first items of a benchmark are often all of one source; these are a fair sample, and a
    larger limit only adds to a smaller one.
    """
    if limit is None or limit >= len(items):
        return list(items)
    drawn = sorted(items, key=lambda item: hashlib.sha256(item.item_id.encode()).digest())[:limit]
    kept = {item.item_id for item in drawn}
    return [item for item in items if item.item_id in kept]
