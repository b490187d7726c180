"""Preference pairs for training: what a recipe may see of them, and nothing else."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.data.tables import (
    Field,
    Row,
    checked_rows,
    identifier,
    image_bytes,
    read_columns,
    speech,
    text,
    write_rows,
)

FIELDS = {
    "id": Field(identifier, "a non-empty id"),
    "image": Field(image_bytes, "a readable image"),
    "question": Field(speech, "a non-empty string"),
    "chosen": Field(speech, "a non-empty string"),
    "rejected": Field(speech, "a non-empty string"),
    "caption": Field(speech, "a non-empty string", optional=True),
    "rationale": Field(speech, "a non-empty string", optional=True),
    "slice": Field(text, "a non-empty string", optional=True),
}
"""Any other column of a file, such as one that tells whether the label is right, is dropped here."""

COLUMNS = {name: "image" if name == "image" else "text" for name in FIELDS}
TEXT_COLUMNS = [name for name in COLUMNS if name != "image"]
ALIASES = {"category": "slice"}


def write_preferences(path: Path, rows: Iterable[Row], source: str, folder: Path) -> dict[str, Any]:
    """Check `rows` and write them as a canonical table; return its counts."""
    counts = {"captions": 0}

    def canonical() -> Iterator[Row]:
        for row in checked_rows(rows, FIELDS, source, folder, ALIASES):
            counts["captions"] += row["caption"] is not None
            yield row

    return {"pairs": write_rows(path, canonical(), COLUMNS), **counts, "source": source}


def read_pairs(path: Path) -> list[Row]:
    """Read every pair without its image."""
    return read_columns(path, TEXT_COLUMNS)
