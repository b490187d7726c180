"""Reads rows as a benchmark's file, with an image that every row may name."""

import json
import runpy
from pathlib import Path
from typing import Any

from PIL import Image

from harness.data.benchmark import Benchmark, read_items, write_benchmark
from harness.data.tables import read_rows
from harness.protocols.reading import READERS
from harness.records import Item, Judgment
from tests.toys import ROOT


def hooks_of(task: str) -> dict[str, Any]:
    """Run a task's hooks."""
    return runpy.run_path(str(ROOT / f"tasks/{task}/hooks.py"))


def draw(folder: Path, *names: str) -> None:
    """Draw images, each another one."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), sum(map(ord, name)) % 256, 7)).save(folder / name)


def load(folder: Path, benchmark: Benchmark, *rows: dict[str, Any]) -> tuple[list[Item], dict[str, Any]]:
    """Write rows as a file, and read them as items, with what is said of the whole."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    info = write_benchmark(folder / "out.parquet", read_rows(path), path.name, folder, benchmark)
    return read_items(folder / "out.parquet"), info


def answer(item: Item, order: tuple[int, ...], text: str, reader: str) -> Judgment:
    """Let a judge say something."""
    return Judgment(
        item_id=item.item_id, seed=0, order=order, text=text, reading=READERS[reader](text, len(order)), seconds=0
    )
