"""Whether DPO has anything to learn, where that can be known: scored judgments of embedded pairs against the truth."""

from pathlib import Path
from typing import Any

from harness.settings import WorldSettings
from harness.training.lines import read_lines
from harness.training.stages import Artifact, Progress
from harness.training.truth import label_right


def scorer_accuracy(
    out: Path, scored: Artifact, contrasts: Artifact, world: WorldSettings, *, progress: Progress
) -> dict[str, Any]:
    """Report whether DPO has anything to learn: how often scorer, samples, label and contrasts are right.

    Shares, over the sampled pairs: `label` the label; `samples` a sampled judgment; `majority` the verdict of most
    samples of a presentation; `best` the best-scored judgment; over the contrasts whose two verdicts differ: `chosen`.
    """
    right = label_right(world)
    records = read_lines(scored.path / "scored.jsonl")
    label, samples, majority, best = list[bool](), list[bool](), list[float](), list[bool]()
    for record in records:
        votes = [j["for_chosen"] for j in record["judgments"]]
        good = [vote is not None and vote == right[record["id"]] for vote in votes]
        label.append(right[record["id"]])
        samples += good
        majority.append(0.5 if 2 * sum(good) == len(good) else float(2 * sum(good) > len(good)))
        if good:
            best.append(good[max(range(len(good)), key=lambda i: record["judgments"][i]["score"])])
    pairs = read_lines(contrasts.path / "contrasts.jsonl")
    chosen = [pair["chosen_is_label"] == right[pair["id"]] for pair in pairs if pair["verdicts_differ"]]
    shares: dict[str, list[Any]] = {"label": label, "samples": samples, "majority": majority, "best": best}
    shares["chosen"] = chosen
    return {name: round(sum(each) / len(each), 4) if each else None for name, each in shares.items()} | {
        "differing": len(chosen)
    }
