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
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress, Stages


def embedded_truth(out: Path, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Write down of each pair whether its label is right."""
    right = label_right(world)
    (out / "truth.json").write_text(json.dumps(right))
    return {"pairs": len(right), "right": round(sum(right.values()) / len(right), 4)}


def label_right(world: WorldSettings) -> dict[str, bool]:
    """Tell of each pair whether its label is right."""
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
