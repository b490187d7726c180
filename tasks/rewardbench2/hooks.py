"""RewardBench 2: which of several responses to a text is right, in the fields of its data set on the hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry, StrayError
from harness.data.tables import Field, identifier, speech, text
from harness.embedded import text_items
from harness.evaluate.hooks import fill, task_hooks
from harness.protocols.asking import TIES

HERE = Path(__file__).parent
SUBSETS = ("Factuality", "Precise IF", "Math", "Safety", "Focus", TIES)
"""The subsets, as the paper's tables order them."""
EMBEDDED = ("general", "hallucination", "reasoning")


def entry(row: dict[str, Any]) -> Entry:
    """Read a row in RewardBench 2's fields; the right responses come first."""
    subset, name = row["subset"], row["id"]
    if subset not in (*SUBSETS, *EMBEDDED):
        raise StrayError(subset)
    responses = (*row["chosen"], *row["rejected"])
    if len(set(responses)) < len(responses) and subset != TIES:
        raise ValueError("a response stands there twice")
    cluster = name
    if subset == TIES:
        kind, _, key = name.partition(":")
        if kind not in ("ref", "tied") or not key:
            raise ValueError(f"{name[:60]!r} is neither ref:K nor tied:K, as the ids of {TIES} are")
        cluster = f"{TIES}:{key}"
    return Entry(name, row["prompt"], responses, tuple(range(len(row["chosen"]))), subset, cluster=cluster)


def _responses(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError
    return [speech(one) for one in value]


def prompt(question: str, shown: Sequence[str], compares: bool) -> str:
    """Ask for the better of two, the best of several, or a rating of one; in our words."""
    name = "pair" if compares else "rate" if len(shown) == 1 else "pick"
    return fill((HERE / f"{name}.txt").read_text(encoding="utf-8"), question, shown)


BENCHMARK = Benchmark(
    "rewardbench2",
    "allenai/reward-bench-2",
    {
        "id": Field(identifier, "a non-empty id"),
        "prompt": Field(speech, "a non-empty string"),
        "chosen": Field(_responses, "a list of non-empty strings"),
        "rejected": Field(_responses, "a list of non-empty strings"),
        "subset": Field(text, "a non-empty string"),
    },
    entry,
    image=None,
    slices=(*SUBSETS, *EMBEDDED),
    releases={"released": {"Factuality": 475, "Precise IF": 160, "Math": 183, "Safety": 450, "Focus": 495, TIES: 102}},
    stray_fix=f"subset is one of {', '.join(SUBSETS)}.",
)
TASKS = {"rewardbench2": task_hooks(BENCHMARK, HERE / "rewardbench2.yaml", prompt, text_items.rows)}
globals().update(TASKS["rewardbench2"].functions)
