"""A pairwise benchmark in VL-RewardBench's fields, as items and as a canonical table."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.data.tables import (
    Field,
    Row,
    checked_rows,
    identifier,
    image_bytes,
    image_hash,
    read_columns,
    speech,
    text,
    write_rows,
)
from harness.records import Item, item_id


def _responses(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError
    return [speech(part) for part in value]


def _ranking(value: Any) -> list[int]:
    if not isinstance(value, list) or sorted(value) != [0, 1]:
        raise ValueError
    return [int(place) for place in value]


FIELDS = {
    "id": Field(identifier, "a non-empty id"),
    "image": Field(image_bytes, "a readable image"),
    "query": Field(speech, "a non-empty string"),
    "response": Field(_responses, "a list of two non-empty strings"),
    "human_ranking": Field(_ranking, "a ranking: [0, 1] if the first response is better, [1, 0] if the second"),
    "category": Field(text, "a non-empty string", optional=True),
    "query_source": Field(text, "a non-empty string", optional=True),
}
COLUMNS = {
    "item_id": "text",
    "id": "text",
    "image": "image",
    "query": "text",
    "response": "texts",
    "label": "int",
    "slice": "text",
    "image_hash": "text",
}


def write_benchmark(
    path: Path, rows: Iterable[Row], source: str, folder: Path, task: str, slice_of: Callable[[Row], str]
) -> dict[str, Any]:
    """Check `rows`, write the canonical table and return its counts and fingerprint.

    Args:
        path: the parquet file to write.
        rows: rows in VL-RewardBench's fields; `category`, where present, names the slice.
        source: the data's name in messages.
        folder: where relative image paths start.
        task: the benchmark's name, kept in every item id.
        slice_of: the slice of a row without a category.
    """
    digest, counts = hashlib.sha256(), dict[str, int]()

    def canonical() -> Iterator[Row]:
        for row in checked_rows(rows, FIELDS, source, folder):
            query = row["query"]
            item = {
                "item_id": item_id(f"{task}/{row['id']}", query, tuple(row["response"])),
                "id": row["id"],
                "image": row["image"],
                "query": query,
                "response": row["response"],
                "label": row["human_ranking"].index(0),
                "slice": row["category"] or slice_of(row),
                "image_hash": image_hash(row["image"]),
            }
            counts[item["slice"]] = counts.get(item["slice"], 0) + 1
            digest.update(json.dumps([item[k] for k in item if k != "image"]).encode())
            yield item

    items = write_rows(path, canonical(), COLUMNS)
    return {"items": items, "slices": counts, "fingerprint": digest.hexdigest()[:16], "source": source}


def read_items(path: Path) -> list[Item]:
    """Read the items of a canonical table, without their images."""
    return [item_of(row) for row in read_columns(path, [name for name in COLUMNS if name != "image"])]


def item_of(row: Row) -> Item:
    """Make an item of a canonical row."""
    return Item(
        item_id=row["item_id"],
        source_id=row["id"],
        question=row["query"],
        responses=tuple(row["response"]),
        label=row["label"],
        slice=row["slice"],
        cluster_id=row["image_hash"],
        image_hash=row["image_hash"],
    )
