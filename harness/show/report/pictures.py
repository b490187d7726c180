"""Small pictures of a run's images, from whatever holds them on this machine."""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.counting.results import TaskResult
from harness.errors import DataError, HarnessError
from harness.registry import load_task, results_root
from harness.settings import WorldSettings

SIDE = 96
"""Longest side of a thumbnail in pixels; smaller images stay as they are."""
CLOSE, CLOSE_SIDE = 200, 448
"""So many images, the most wanted, may have a longer side, so that one sees what the judges were shown."""
MOST = 4000
"""Images on one page; a thumbnail has about 2 KB, a larger one of a photograph about 20."""


def thumbnails(result: TaskResult, wanted: Sequence[str], roots: Sequence[Path]) -> tuple[dict[str, str], str]:
    """Return thumbnails as data URLs by image hash, and why an item may have none.

    They come from the stage cache, which holds the data as the run read them, else from the
    embedded world, drawn again, or from the data file that the record names. Nothing is fetched.

    Args:
        result: the run's task.
        wanted: image hashes, the most wanted first; those after the first `MOST` are left out.
        roots: content folders, in which the task is looked up.
    """
    if not wanted:
        asked_here = any(stage.stage.endswith("-benchmark") for stage in result.run.stages)
        return {}, "" if asked_here else "The record names no images: the judgments were made elsewhere."
    owed, found, close = set(wanted[:MOST]), dict[str, str](), set(wanted[:CLOSE])
    try:
        for name, data in _images(result, roots):
            if name in owed:
                owed.discard(name)
                found[name] = thumbnail(data, CLOSE_SIDE if name in close else SIDE)
            if not owed:
                break
    except HarnessError as error:
        return found, f"No image: {error.problem}"
    if owed:
        return found, f"No image: {result.task.data} no longer holds it."
    return found, f"To keep this page small, it has {MOST:,} of {len(wanted):,} images." if len(wanted) > MOST else ""


def thumbnail(data: bytes, side: int = SIDE) -> str:
    """Return an image, with sides of at most `side` pixels, as a data URL."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (side, side))
        small = image.convert("RGB")
        small.thumbnail((side, side))
        file = io.BytesIO()
        small.save(file, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _images(result: TaskResult, roots: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield the images of a run's data with their hashes."""
    tables = [
        table
        for stage in result.run.stages
        if stage.stage.endswith("-benchmark")
        for table in (results_root() / "cache" / f"{stage.stage}-{stage.key}").glob("*.parquet")
    ]
    if tables:
        for table in tables:
            yield from _cached(table)
        return
    data = result.run.config.get("data")
    source = data.get(result.task.task) if isinstance(data, dict) else None
    if source is None or source == "hub" or source.startswith("hub:"):
        raise DataError(f"the data are {result.task.data}, and the stage cache holds them no more.")
    yield from _drawn(result, source, roots)


def _cached(table: Path) -> Iterator[tuple[str, bytes]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(table) as file:
        names = [name for name in ("image", "image_hash", "images", "image_hashes") if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=32, columns=names):
            for row in batch.to_pylist():
                if row["image"]:
                    yield row["image_hash"], row["image"]["bytes"]
                for name, image in zip(row.get("image_hashes", ()), row.get("images", ()), strict=True):
                    yield name, image["bytes"]


def _drawn(result: TaskResult, source: str, roots: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    from harness.data.benchmark import entries
    from harness.data.images import image_hash
    from harness.evaluate.hooks import load_hooks, open_rows

    hooks = load_hooks(result.task.task, load_task(result.task.task, roots).hooks)
    world: dict[str, Any] = result.run.config.get("world") or {}
    rows, name, folder = open_rows(hooks.benchmark, source, lambda: hooks.embedded(WorldSettings.model_validate(world)))
    for row, entry in entries(rows, name, folder, hooks.benchmark):
        before = [row[hooks.benchmark.image]] if hooks.benchmark.image else []
        for data in (*before, *entry.images):
            if isinstance(data, bytes):
                yield image_hash(data), data
