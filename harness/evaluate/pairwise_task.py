"""What every pairwise task shares under lmms-eval: presentations as documents, and their figures.

A task's YAML names the hooks that its own `hooks.py` makes with `pairwise_hooks`; they serve the
harness and the plain lmms-eval command line alike. lmms-eval's command line cannot say where a
task's data lies, so there two environment variables do: `HARNESS_DATA` (a parquet or JSONL file,
or `embedded`) and `HARNESS_PROTOCOL`.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.config import WorldSettings
from harness.data.benchmark import item_of, read_items, write_benchmark
from harness.data.tables import Row, hub_rows, read_rows
from harness.errors import HarnessError
from harness.metrics import METRICS, estimate
from harness.protocols import PairProtocol, find_protocol
from harness.records import Item, Judgment


class PairwiseHooks(NamedTuple):
    """The functions that a pairwise task's YAML points at."""

    docs: Callable[[Any], Any]
    doc_to_visual: Callable[[Row], list[Any]]
    doc_to_text: Callable[[Row], str]
    doc_to_target: Callable[[Row], str]
    process_results: Callable[[Row, list[str]], dict[str, Any]]
    aggregate: dict[str, Callable[[list[Any]], float]]
    """Metric name to lmms-eval aggregation."""


def _rows_of(data: str, hub: str) -> tuple[Iterator[Row], str, Path]:
    """Open what HARNESS_DATA names: rows, their name in messages, and where relative paths start."""
    if data == "embedded":
        from harness.embedded.data import benchmark_rows

        return benchmark_rows(WorldSettings()), "embedded", Path()
    if data == "hub":
        return hub_rows(hub, "test"), hub, Path()
    return read_rows(Path(data)), data, Path(data).parent


def presentation_docs(
    table: Path, protocol: PairProtocol, items: Sequence[Item], order_seed: int, scratch: Path
) -> Any:
    """Return one document per presentation, in the order they are asked, images included.

    Args:
        table: the canonical benchmark.
        protocol: says which presentations there are.
        items: those asked.
        order_seed: of drawn orders.
        scratch: folder for the documents' Arrow files; it may go when they have been asked.
    """
    import datasets

    rows = datasets.Dataset.from_parquet(str(table), cache_dir=str(scratch)).cast_column("image", datasets.Image())
    place = {item_id: i for i, item_id in enumerate(rows["item_id"])}
    shown = protocol.presentations(items, order_seed)
    by_id = {item.item_id: item for item in items}
    docs = rows.select([place[p.item_id] for p in shown])
    answers = [by_id[p.item_id].responses[:: -1 if p.swapped else 1] for p in shown]
    for name, values in (
        ("first", [a[0] for a in answers]),
        ("second", [a[1] for a in answers]),
        ("swapped", [p.swapped for p in shown]),
        ("repeat", [p.repeat for p in shown]),
        ("protocol", [protocol.spec] * len(shown)),
    ):
        docs = docs.add_column(name, values)
    return docs


def pairwise_hooks(
    task: str, hub: str, slice_of: Callable[[Row], str], prompt: Callable[[str, str, str], str]
) -> PairwiseHooks:
    """Make the hooks of a pairwise task.

    Args:
        task: the task's name.
        hub: the task's data set on the hub, `NAME@REVISION`.
        slice_of: the slice of a row that has no category.
        prompt: (question, first response, second response) to the benchmark's prompt.
    """

    def docs(_: Any) -> Any:
        # the YAML's own data is a placeholder: only a hook may say where data lies
        data = os.environ.get("HARNESS_DATA")
        if not data:
            raise HarnessError(
                f"where is the data of {task}?", "Set HARNESS_DATA to a parquet or JSONL file, `embedded` or `hub`."
            )
        protocol = find_protocol(os.environ.get("HARNESS_PROTOCOL", "both-orders"))
        if protocol.generation:
            raise HarnessError(
                f"HARNESS_PROTOCOL={protocol.spec} samples, but the task's YAML is greedy.",
                "Use `harness run --model ...`, which sets the protocol's sampling.",
            )
        scratch = Path(tempfile.mkdtemp(prefix="harness-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        table = scratch / "benchmark.parquet"
        rows, source, folder = _rows_of(data, hub)
        write_benchmark(table, rows, source, folder, task, slice_of)
        return presentation_docs(table, protocol, read_items(table), 0, scratch)

    def doc_to_visual(doc: Row) -> list[Any]:
        return [doc["image"].convert("RGB")]

    def doc_to_text(doc: Row) -> str:
        return prompt(doc["query"], doc["first"], doc["second"])

    def doc_to_target(doc: Row) -> str:
        return "2" if doc["label"] != doc["swapped"] else "1"

    def process_results(doc: Row, results: list[str]) -> dict[str, Any]:
        judged = {k: v for k, v in doc.items() if k != "image"}
        return {name: {**judged, "text": results[0]} for name in METRICS}

    def aggregation(name: str) -> Callable[[list[Any]], float]:
        def aggregate(results: list[Any]) -> float:
            protocol = find_protocol(results[0]["protocol"])
            items = {r["item_id"]: item_of(r) for r in results}
            judgments = [_judgment(r, protocol) for r in results]
            return estimate(METRICS[name], protocol.tally(list(items.values()), judgments))

        return aggregate

    return PairwiseHooks(
        docs, doc_to_visual, doc_to_text, doc_to_target, process_results, {name: aggregation(name) for name in METRICS}
    )


def _judgment(row: Row, protocol: PairProtocol) -> Judgment:
    return Judgment(
        item_id=row["item_id"],
        seed=0,
        swapped=row["swapped"],
        repeat=row["repeat"],
        text=row["text"],
        reading=protocol.read(row["text"]),
        seconds=0,
    )
