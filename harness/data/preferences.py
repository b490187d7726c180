"""Preference pairs for training: what a recipe may see of them, and nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.canonical import write_rows
from harness.data.images import image_bytes
from harness.data.tables import JSON_LINES, Field, Row, checked_rows, identifier, parquet_rows, speech, text


def probability(value: Any) -> float:
    """Accept a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError
    return float(value)


FIELDS = {
    "id": Field(identifier, "a non-empty id"),
    "image": Field(image_bytes, "a readable image"),
    "question": Field(speech, "a non-empty string"),
    "chosen": Field(speech, "a non-empty string"),
    "rejected": Field(speech, "a non-empty string"),
    "caption": Field(speech, "a non-empty string", optional=True),
    "rationale": Field(speech, "a non-empty string", optional=True),
    "slice": Field(text, "a non-empty string", optional=True),
    "p_chosen": Field(probability, "a number from 0 to 1", optional=True),
}
"""Any other column of a file, such as one that tells whether the label is right, is dropped here."""

COLUMNS = dict.fromkeys(FIELDS, "text") | {"image": "image", "p_chosen": "float"}
TEXT_COLUMNS = [name for name in COLUMNS if name != "image"]
ALIASES = {"category": "slice"}


def is_source(name: str | None) -> bool:
    """Tell whether `--preferences` names a published source, or `NAME=FOLDER`, and no file, hub data set or world."""
    if name is None or name == "embedded" or name.startswith("hub:"):
        return False
    source, equals, _ = name.partition("=")
    path = Path(name)
    is_path = path.suffix in (".parquet", *JSON_LINES) or "/" in source or path.exists()
    return bool(equals and "/" not in source) or not is_path


def write_preferences(
    path: Path,
    rows: Iterable[Row],
    source: str,
    folder: Path,
    open_image: Callable[[Any, Path], bytes] | None = None,
) -> dict[str, Any]:
    """Check `rows` and write them as a canonical table, as they come; return its counts.

    Args:
        path: the table.
        rows: in the fields of `--preferences`.
        source: what messages call them.
        folder: where relative image paths start.
        open_image: reads an image in another way than from bytes, path or data URL.
    """
    counts = {"captions": 0}

    def canonical() -> Iterator[Row]:
        for row in checked_rows(rows, FIELDS, source, folder, ALIASES, open_image=open_image):
            counts["captions"] += row["caption"] is not None
            yield row

    return {"pairs": write_rows(path, canonical(), COLUMNS), **counts, "source": source}


def stream_pairs(path: Path, columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[Row]:
    """Yield every pair in turn, without its image unless `columns` names it."""
    for row in parquet_rows(path, list(columns)):
        if "image" in row:
            row["image"] = row["image"]["bytes"]
        yield row


def exchanged(pair: Row, rationale: str | None = None) -> Row:
    """Return a pair with the other response preferred.

    Args:
        pair: in the fields of `--preferences`.
        rationale: why the other response is better. The pair's own spoke for the response that was preferred; where
            none is given, the judge learns to quote the response that is preferred now.
    """
    p = pair["p_chosen"]
    sides = {"chosen": pair["rejected"], "rejected": pair["chosen"], "rationale": rationale}
    return {**pair, **sides, "p_chosen": None if p is None else 1 - p}
