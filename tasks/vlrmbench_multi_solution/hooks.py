"""VLRMBench's multi_solution: which of two ways to solve a problem with pictures is right."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry
from harness.data.images import some_images
from harness.data.tables import Field, Row, identifier, speech, text
from harness.embedded.data import benchmark_rows
from harness.evaluate.hooks import fill, task_hooks
from harness.records.content import mark
from harness.settings import WorldSettings

HERE = Path(__file__).parent


def prepare(row: Row, folder: Path) -> Row | None:
    """Leave out the rows that the authors' script leaves out: those with `error_info`."""
    return None if row.get("error_info") else row


def _steps(value: Any) -> str:
    """Join the steps of a list: given as a list to one response only, its brackets would tell which is right."""
    return speech("\n".join(map(speech, value)) if isinstance(value, list) else value)


def entry(row: dict[str, Any]) -> Entry:
    """Read a row in VLRMBench's fields; the pictures come before the question."""
    images = tuple(row["image"])
    question = "".join(f"{mark(place)}\n" for place in range(len(images))) + row["question"]
    responses = (row["step_list"], row["reasoning_error"])
    if responses[0] == responses[1]:
        raise ValueError("step_list and reasoning_error are the same")
    return Entry(row["id"], question, responses, 0, row["category"], images, row["id"])


def prompt(question: str, shown: Sequence[str], compares: bool) -> str:
    """Ask for a score of each response, in our words."""
    return fill((HERE / "judge.txt").read_text(encoding="utf-8"), question, shown)


def embedded(world: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield the embedded benchmark of VL-RewardBench in these fields."""
    for row in benchmark_rows(world):
        better, worse = (row["response"][row["human_ranking"].index(rank)] for rank in (0, 1))
        yield {
            "id": row["id"],
            "image": [row["image"]],
            "question": row["query"],
            "step_list": [better],
            "reasoning_error": worse,
            "category": f"embedded/{row['category']}",
        }


BENCHMARK = Benchmark(
    "vlrmbench_multi_solution",
    "Winston-Yuan/VLRMBench",
    {
        "id": Field(identifier, "a non-empty id"),
        "image": Field(some_images, "a list of one to three readable images"),
        "question": Field(speech, "a non-empty string"),
        "step_list": Field(_steps, "the right steps: a list of non-empty strings, or a string"),
        "reasoning_error": Field(_steps, "the wrong steps: a list of non-empty strings, or a string"),
        "category": Field(text, "a non-empty string"),
    },
    entry,
    keys=("id", "question", "reasoning_error"),
    image=None,
    image_lists=("image",),
    prepare=prepare,
    file="multi_solution.jsonl",
)
TASKS = {"vlrmbench_multi_solution": task_hooks(BENCHMARK, HERE / "vlrmbench_multi_solution.yaml", prompt, embedded)}
globals().update(TASKS["vlrmbench_multi_solution"].functions)
