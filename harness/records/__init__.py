"""The typed records every number is computed from, and the folder that keeps them."""

from harness.records.item import Item, Kind, Label, item_id
from harness.records.judgment import Judgment, Presentation, Reading, shown_hash
from harness.records.run import Run, Status
from harness.records.store import RunFolder

__all__ = [
    "Item",
    "Judgment",
    "Kind",
    "Label",
    "Presentation",
    "Reading",
    "Run",
    "RunFolder",
    "Status",
    "item_id",
    "shown_hash",
]
