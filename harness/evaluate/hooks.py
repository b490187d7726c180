"""What every task shares under lmms-eval: presentations as documents, and their figures.

A task's YAML names functions that its own `hooks.py` makes with `task_hooks`; they serve the
harness and the plain lmms-eval command line alike. lmms-eval's command line cannot say where a
task's data lies, so there two environment variables do: `HARNESS_DATA` (a parquet or JSONL file, a
folder, `embedded` or `hub`) and `HARNESS_PROTOCOL`.
"""

import atexit
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.counting.metrics import METRICS, estimate
from harness.data.benchmark import PICTURES, Benchmark, item_of, read_items, write_benchmark
from harness.data.tables import Row, hub_folder, hub_rows, read_rows
from harness.errors import HarnessError
from harness.protocols import Protocol, find_protocol
from harness.protocols.forms import find_reader, reader_name
from harness.published_judges import VerdictForm
from harness.records import Item, Judgment, Presentation
from harness.records.content import filled
from harness.registry import TaskContent, read_task
from harness.scratch import Scratch
from harness.settings import WorldSettings


class TaskHooks(NamedTuple):
    """A task's content with the functions that its YAML points at."""

    content: TaskContent
    benchmark: Benchmark
    embedded: Callable[[WorldSettings], Iterator[Row]]
    """The rows of its embedded benchmark, in the benchmark's own fields."""
    prompt: Callable[[str, Sequence[str], bool], str]
    """(question, responses shown, whether two are compared) to the words of the benchmark."""
    functions: dict[str, Callable[..., Any]]
    """By the name that the YAML uses."""


def load_hooks(task: str, path: Path) -> TaskHooks:
    """Load the hooks of a task from its folder's `hooks.py`."""
    spec = importlib.util.spec_from_file_location(f"harness_task_{path.parent.name}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise HarnessError(f"{path} is missing.", "A task has a YAML file and hooks.py; copy tasks/vlrewardbench.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hooks: dict[str, TaskHooks] = getattr(module, "TASKS", {})
    if task not in hooks:
        raise HarnessError(f"{path}: TASKS has no {task!r}.", "Copy tasks/vlrewardbench/hooks.py.")
    return hooks[task]


def open_rows(
    benchmark: Benchmark, data: str, embedded: Callable[[], Iterator[Row]]
) -> tuple[Iterator[Row], str, Path]:
    """Open a benchmark's data: its rows, their name in messages, and where relative image paths start.

    Args:
        benchmark: says where the data lies on the hub, and which file of a folder is the task's.
        data: `embedded`, `hub`, `hub:NAME@REVISION`, a parquet or JSONL file, or a folder.
        embedded: makes the embedded rows.
    """
    if data == "embedded":
        return embedded(), "embedded", Path()
    if data == "hub" or data.startswith("hub:"):
        spec = benchmark.hub if data == "hub" else data.removeprefix("hub:")
        if not benchmark.file:
            return hub_rows(spec, "test", benchmark.part), spec, Path()
        data = str(hub_folder(spec))
    path = data_file(benchmark, Path(data))
    return read_rows(path), path.name, path.parent


def data_file(benchmark: Benchmark, path: Path) -> Path:
    """Return the file that a path means: itself, or the task's file in a folder."""
    if not path.is_dir():
        return path
    if not benchmark.file:
        raise HarnessError(f"{path} is a folder.", f"Name the file of {benchmark.task}.")
    places = [folder / benchmark.file for folder in (path, path / "Benchmark", path / "Dataset" / "Benchmark")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise HarnessError(f"{path} holds no {benchmark.file}.", f"Name the file of {benchmark.task}.")
    return found


def presentation_docs(
    table: Path,
    protocol: Protocol,
    items: Sequence[Item],
    order_seed: int,
    scratch: Path,
    form: VerdictForm | None = None,
) -> Any:
    """Return one document per presentation, in the order they are asked, images included.

    Args:
        table: the canonical benchmark.
        protocol: says which presentations there are.
        items: those asked.
        order_seed: of drawn orders.
        scratch: folder for the documents' Arrow files; it may go when they have been asked.
        form: in which the judge writes its verdict, where that is its own.
    """
    import datasets

    rows = datasets.Dataset.from_parquet(str(table), cache_dir=str(scratch))
    rows = rows.cast_column("image", datasets.Image()).cast_column("images", datasets.List(datasets.Image()))
    place = {item_id: i for i, item_id in enumerate(rows["item_id"])}
    shown = protocol.presentations(items, order_seed)
    by_id = {item.item_id: item for item in items}
    docs = rows.select([place[p.item_id] for p in shown])
    for name, values in (
        ("shown", [[by_id[p.item_id].responses[i] for i in p.order] for p in shown]),
        ("order", [list(p.order) for p in shown]),
        ("repeat", [p.repeat for p in shown]),
        ("protocol", [protocol.spec] * len(shown)),
        ("form", ["" if form is None else form.model_dump_json()] * len(shown)),
    ):
        docs = docs.add_column(name, values)
    return docs


def fill(prompt: str, question: str, shown: Sequence[str]) -> str:
    """Fill a prompt's {question}, {answer}, {first} and {second}, and {answers}, each under its letter."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    listed = "\n\n".join(f"Answer {letter}:\n{text}" for letter, text in zip(letters, shown, strict=False))
    values = {"question": question, "answer": shown[0], "answers": listed, "first": shown[0], "second": shown[-1]}
    # not str.format: a response may itself hold braces
    return re.sub(r"\{(question|answers?|first|second)\}", lambda field: values[field[1]], prompt)


def shown_parts(doc: Row, text: str) -> list[Any]:
    """Return what a document shows with a text: the image before it, then its pieces and images as they are marked."""
    before = [] if doc["image"] is None else [doc["image"]]
    shown = [*before, *filled(text, doc["images"])]
    return [part if isinstance(part, str) else part.convert("RGB") for part in shown]


def presentation_of(doc: Row) -> Presentation:
    """Return the presentation that a document shows."""
    return Presentation(doc["item_id"], tuple(doc["order"]), int(doc["repeat"]))


def task_hooks(
    benchmark: Benchmark,
    yaml_path: Path,
    prompt: Callable[[str, Sequence[str], bool], str],
    embedded: Callable[[WorldSettings], Iterator[Row]],
) -> TaskHooks:
    """Make the hooks of a task.

    Args:
        benchmark: what its file looks like.
        yaml_path: its YAML, whose metadata say kind, protocols and reader.
        prompt: (question, responses shown, whether two are compared) to the benchmark's words.
        embedded: makes its rows of the embedded world.
    """
    content = read_task(yaml_path)

    def protocol_of(spec: str) -> Protocol:
        return find_protocol(spec, content.kind)

    def docs(_: Any) -> Any:
        # the YAML's own data is a placeholder: only a hook may say where data lies
        data = os.environ.get("HARNESS_DATA")
        if not data:
            raise HarnessError(
                f"where is the data of {benchmark.task}?",
                "Set HARNESS_DATA to a parquet or JSONL file, `embedded` or `hub`.",
            )
        default = protocol_of(content.protocols[0])
        protocol = protocol_of(os.environ.get("HARNESS_PROTOCOL", default.spec))
        if protocol.generation != default.generation or protocol.weighs:
            raise HarnessError(
                f"protocol {protocol.spec} asks for other sampling settings than the YAML of {benchmark.task} has.",
                f"Use `harness run --model ...`, or set HARNESS_PROTOCOL={default.spec}.",
            )
        held = Scratch()
        atexit.register(held.close)
        table = held.path / "benchmark.parquet"
        rows, source, folder = open_rows(benchmark, data, lambda: embedded(WorldSettings()))
        write_benchmark(table, rows, source, folder, benchmark)
        shown = presentation_docs(table, protocol, read_items(table), 0, held.path)
        # so that a log tells where its data came from
        return shown.add_column("data", [source] * len(shown))

    def doc_to_visual(doc: Row) -> list[Any]:
        # for models that take the images before all words
        return [part for part in shown_parts(doc, doc_to_text(doc)) if not isinstance(part, str)]

    def doc_to_text(doc: Row) -> str:
        return prompt(doc["query"], doc["shown"], protocol_of(doc["protocol"]).compares)

    def doc_to_messages(doc: Row) -> list[dict[str, Any]]:
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "url": part}
            for part in shown_parts(doc, doc_to_text(doc))
        ]
        return [{"role": "user", "content": content}]

    def doc_to_target(doc: Row) -> str:
        return str(doc["label"])

    def process_results(doc: Row, results: list[str]) -> dict[str, Any]:
        judged = {k: v for k, v in doc.items() if k not in PICTURES} | {"text": results[0]}
        return dict.fromkeys(METRICS[content.kind], judged)

    def aggregation(name: str) -> Callable[[list[Any]], float]:
        def aggregate(results: list[Any]) -> float:
            protocol = protocol_of(results[0]["protocol"])
            items = {r["item_id"]: item_of(r) for r in results}
            form = VerdictForm.model_validate_json(results[0]["form"]) if results[0].get("form") else None
            read = find_reader(reader_name(protocol, content.reader, form), form)
            judgments = [_judgment(r, read) for r in results]
            return estimate(METRICS[content.kind][name], protocol.tally(list(items.values()), judgments))

        return aggregate

    functions: dict[str, Callable[..., Any]] = {
        f.__name__: f for f in (docs, doc_to_visual, doc_to_text, doc_to_messages, doc_to_target, process_results)
    }
    functions |= {name.replace("-", "_"): aggregation(name) for name in METRICS[content.kind]}
    return TaskHooks(
        content, benchmark, embedded, prompt, {f"{benchmark.task}_{name}": f for name, f in functions.items()}
    )


def _judgment(row: Row, read: Callable[[str, int], Any]) -> Judgment:
    return Judgment(
        **presentation_of(row)._asdict(),
        seed=0,
        text=row["text"],
        reading=read(row["text"], len(row["shown"])),
        seconds=0,
    )
