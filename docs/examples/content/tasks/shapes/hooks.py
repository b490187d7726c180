"""Shapes: VL-RewardBench's fields, slices of its own, and its own words."""

from pathlib import Path

from harness.data.benchmark import PAIR_FIELDS, Benchmark, Entry
from harness.embedded.data import benchmark_rows
from harness.evaluate.hooks import task_hooks


def entry(row):
    """Read a checked row; a ValueError would say what is wrong with it."""
    label = row["human_ranking"].index(0)
    return Entry(row["id"], row["query"], tuple(row["response"]), label, row["category"] or row["id"].split("-")[0])


def prompt(question, shown, compares):
    """Return the words in which a judge is asked that was not trained here."""
    return (
        f"{question}\n\nAnswer 1: {shown[0]}\nAnswer 2: {shown[1]}\n\n"
        "Which answer is better? End with: Overall Judgment: Answer X is better."
    )


BENCHMARK = Benchmark("shapes", "OWNER/NAME", PAIR_FIELDS, entry)
TASKS = {"shapes": task_hooks(BENCHMARK, Path(__file__).with_name("shapes.yaml"), prompt, benchmark_rows)}
