"""What a run's record says of training pairs that the benchmark holds too, in words."""

from typing import NamedTuple

from harness.records import Run
from harness.records.run import TaskRecord


class Contamination(NamedTuple):
    """What there is to say of one task of a run."""

    short: str
    """For a cell: `none`, `3 dropped`, `3 trained on`, `not checked`, or `–` where nothing was trained."""
    sentence: str
    """For a note; empty where there is nothing to note."""


def contamination_of(run: Run, task: TaskRecord) -> Contamination:
    """Read what a run's check found of one of its tasks.

    Runs from before there was a check are not checked, and nor are those under `contamination.pairs=off`; of the
    embedded world it is known that no scene is in two splits.
    """
    config = run.config
    if not (config.get("sft") or config.get("contamination")):
        return Contamination("–", "")
    found = next((stage.info for stage in run.stages if stage.stage == "contamination"), None)
    counts = (found or {}).get("by_task", {}).get(task.task)
    if counts is None:
        if task.synthetic and config.get("preferences") == "embedded":
            return Contamination("none", "")
        return Contamination(
            "not checked",
            f"Whether the training pairs hold items of {task.task} was not checked: claim nothing of unseen questions.",
        )
    if not counts["both"]:
        return Contamination("none", "")
    dropped = any(stage.stage == "without-contaminated" for stage in run.stages)
    done = "were left out" if dropped else "were trained on all the same: these figures flatter"
    return Contamination(
        f"{counts['both']:,} {'dropped' if dropped else 'trained on'}",
        f"{counts['both']:,} training pairs are items of {task.task}, {_known_by(counts)}, and {done}.",
    )


def _known_by(counts: dict[str, int]) -> str:
    """Say what the pairs that are items were known by; older records know of images alone."""
    texts = counts.get("texts", 0)
    if not texts:
        return "by image and question"
    told = "by question and both responses"
    return told if texts == counts["both"] else f"by image and question or {told}"
