"""What the embedded world knows of its own labels: for ceilings, and for figures about a method; never for a method."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.data.canonical import write_rows
from harness.data.preferences import COLUMNS, exchanged, stream_pairs
from harness.data.tables import Row
from harness.settings import WorldSettings
from harness.training.lines import read_lines
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress, Stages


def embedded_truth(out: Path, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Write down of each pair whether its label is right."""
    right = _label_right(world)
    (out / "truth.json").write_text(json.dumps(right))
    return {"pairs": len(right), "right": round(sum(right.values()) / len(right), 4)}


def _label_right(world: WorldSettings) -> dict[str, bool]:
    from harness.embedded.data import preference_truth

    return {name: truth.label_right for name, truth in preference_truth(world).items()}


def read_truth(truth: Artifact) -> dict[str, bool]:
    """Read of each pair whether its label is right."""
    content: dict[str, bool] = json.loads((truth.path / "truth.json").read_text())
    return content


def true_preferences(out: Path, pairs: Artifact, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Relabel embedded pairs by the truth; only the `oracle` recipe may call this."""
    from harness.embedded.data import preference_truth

    truth = preference_truth(world)

    def relabelled() -> Iterator[Row]:
        for row in stream_pairs(pairs.path / PAIRS, list(COLUMNS)):
            told = truth[row["id"]]
            yield row if told.label_right else exchanged(row, told.rationale)

    count = write_rows(out / PAIRS, relabelled(), COLUMNS)
    return {"pairs": count, "relabelled": sum(not t.label_right for t in truth.values())}


def report(run: Stages, config: RunConfig, stage: Callable[..., dict[str, Any]], *inputs: Artifact) -> None:
    """Run a stage that sets `inputs` beside the truth, where the pairs are the embedded world's."""
    if config.preferences == "embedded":
        assert config.world is not None
        run(stage, *inputs, config.world.of_pairs())


def scorer_accuracy(
    out: Path, scored: Artifact, contrasts: Artifact, world: WorldSettings, *, progress: Progress
) -> dict[str, Any]:
    """Report whether DPO has anything to learn: how often scorer, samples, label and contrasts are right.

    Shares, over the sampled pairs: `label` the label; `samples` a sampled judgment; `majority` the verdict of most
    samples of a presentation; `best` the best-scored judgment; over the contrasts whose two verdicts differ: `chosen`.
    """
    right = _label_right(world)
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
