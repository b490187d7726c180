"""Omni-RewardBench, answers in text to a picture and a text: better by one named criterion, or a tie."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry
from harness.data.images import image_bytes
from harness.data.tables import Field, identifier, speech
from harness.embedded import judge_items
from harness.evaluate.hooks import fill, task_hooks
from harness.settings import WorldSettings

HERE = Path(__file__).parent
PREFERENCES: dict[str, int | str] = {"response1": 0, "response2": 1, "tie": "tie"}
SLICE = "text and image to text"


def _preference(value: Any) -> int | str:
    return PREFERENCES[value]


def entry(row: dict[str, Any]) -> Entry:
    """Read a row in Omni-RewardBench's fields: the criterion is part of what is asked."""
    question = f"{row['prompt']}\n\nThe one thing that counts: {row['criteria']}"
    return Entry(row["id"], question, (row["response1"], row["response2"]), row["criteria_preference"], SLICE)


def prompt(question: str, shown: Sequence[str], compares: bool) -> str:
    """Ask which of two is better by the criterion, in our words."""
    return fill((HERE / "judge.txt").read_text(encoding="utf-8"), question, shown)


def embedded(world: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield the embedded choices of MLLM-as-a-Judge, ties among them, in these fields."""
    for row in judge_items.pair_rows(world):
        yield {
            "id": str(row["id"]),
            "image": row["image_path"],
            "prompt": row["instruction"],
            "response1": row["answer1"]["answer"],
            "response2": row["answer2"]["answer"],
            "criteria": "how much of the answer is true of the picture.",
            "criteria_preference": {"A": "response1", "B": "response2", "C": "tie"}[row["human"]],
        }


BENCHMARK = Benchmark(
    "omni_rewardbench_ti2t",
    "HongbangYuan/OmniRewardBench",
    {
        "id": Field(identifier, "a non-empty id"),
        "image": Field(image_bytes, "a readable image"),
        "prompt": Field(speech, "a non-empty string"),
        "response1": Field(speech, "a non-empty string"),
        "response2": Field(speech, "a non-empty string"),
        "criteria": Field(speech, "a non-empty string"),
        "criteria_preference": Field(_preference, "response1, response2 or tie"),
    },
    entry,
    keys=("id", "criteria"),
    aliases={"image_path": "image"},
    slices=(SLICE,),
    releases={"released": {"all": 528}},
    part="text_image_to_text",
)
TASKS = {"omni_rewardbench_ti2t": task_hooks(BENCHMARK, HERE / "omni_rewardbench_ti2t.yaml", prompt, embedded)}
globals().update(TASKS["omni_rewardbench_ti2t"].functions)
