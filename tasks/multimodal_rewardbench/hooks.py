"""Multimodal RewardBench: its fields, its categories and its prompt."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry, StrayError
from harness.data.images import image_bytes
from harness.data.tables import Field, identifier, speech, text
from harness.embedded.data import benchmark_rows
from harness.evaluate.hooks import task_hooks
from harness.settings import WorldSettings

CATEGORIES = {
    "open_generation/correctness_task": "correctness",
    "open_generation/preference_task": "preference",
    "knowledge": "knowledge",
    "reasoning": "reasoning",
    "safety": "safety",
    "vqa": "vqa",
}
"""`Category` to the column of the README's table, in its order."""


def _better(value: Any) -> int:
    return {"Output1": 0, "Output2": 1}[value]


def entry(row: dict[str, Any]) -> Entry:
    """Read a row in the benchmark's fields."""
    category = row["Category"]
    if category not in CATEGORIES and not category.startswith("embedded/"):
        raise StrayError(category)
    slice_ = CATEGORIES.get(category, category.removeprefix("embedded/"))
    return Entry(row["ID"], row["Text"], (row["Output1"], row["Output2"]), row["Better"], slice_)


def prompt(question: str, shown: Sequence[str], compares: bool) -> str:
    """Return the benchmark's own judge prompt, taken from the installed lmms-eval task."""
    from lmms_eval.tasks.multimodal_rewardbench.utils import get_judge_prompt

    return str(get_judge_prompt({"Text": question, "Output1": shown[0], "Output2": shown[1]}))


def embedded(world: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield the embedded benchmark of VL-RewardBench in these fields."""
    for row in benchmark_rows(world):
        yield {
            "ID": row["id"],
            "Image": row["image"],
            "Text": row["query"],
            "Output1": row["response"][0],
            "Output2": row["response"][1],
            "Better": f"Output{row['human_ranking'].index(0) + 1}",
            "Category": f"embedded/{row['category']}",
        }


BENCHMARK = Benchmark(
    "multimodal_rewardbench",
    "syhuggingface/multimodal_rewardbench",
    {
        "ID": Field(identifier, "a non-empty id"),
        "Image": Field(image_bytes, "a readable image"),
        "Text": Field(speech, "a non-empty string; the authors' download script fills it in"),
        "Output1": Field(speech, "a non-empty string"),
        "Output2": Field(speech, "a non-empty string"),
        "Better": Field(_better, "Output1 or Output2"),
        "Category": Field(text, "a non-empty string"),
    },
    entry,
    keys=("ID",),
    image="Image",
    slices=tuple(CATEGORIES.values()),
    stray_fix=f"Category is one of {', '.join(CATEGORIES)}.",
)
TASKS = {
    "multimodal_rewardbench": task_hooks(
        BENCHMARK, Path(__file__).with_name("multimodal_rewardbench.yaml"), prompt, embedded
    )
}
globals().update(TASKS["multimodal_rewardbench"].functions)
