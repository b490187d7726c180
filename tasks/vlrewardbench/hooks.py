"""VL-RewardBench: its slices and its prompt; the rest is what every pairwise task does."""

from typing import Any

from harness.errors import DataError
from harness.evaluate.pairwise_task import pairwise_hooks

HUB = "MMInstruction/VL-RewardBench"
SLICES = {
    "wildvision": "general",
    "vlfeedback": "general",
    "hallucination": "hallucination",
    "povid": "hallucination",
    "rlaif": "hallucination",
    "rlhf": "hallucination",
    "mathverse": "reasoning",
    "mmmu": "reasoning",
}
"""Slice by the first word of an id. POVID's ids begin with `hallucination_pair`; published rows
that count them as General are on another split (see the reference rows' audit)."""


def slice_of(row: dict[str, Any]) -> str:
    """Return the slice that an id belongs to; an unknown id is an error, never silently General."""
    word = row["id"].replace("-", "_").split("_")[0].lower()
    if word not in SLICES:
        raise DataError(
            f"id {row['id']!r} belongs to no slice of VL-RewardBench.", "Give the data a `category` column."
        )
    return SLICES[word]


def prompt(question: str, first: str, second: str) -> str:
    """Return the benchmark's own judge prompt, taken from the installed lmms-eval task."""
    from lmms_eval.tasks.vl_rewardbench.utils import get_prompt

    return str(get_prompt({"query": question, "response": [first, second]}, 0))


HOOKS = pairwise_hooks("vlrewardbench", HUB, slice_of, prompt)
docs, doc_to_visual, doc_to_text, doc_to_target, process_results = HOOKS[:5]
accuracy, macro, consistency, coverage, first = (
    HOOKS.aggregate[name] for name in ("accuracy", "macro", "consistency", "coverage", "first")
)
