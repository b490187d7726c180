"""First stages: where pairs come from, and which judge is trained."""

import json
from pathlib import Path
from typing import Any

from harness.config import JudgeSettings, RunConfig, WorldSettings
from harness.data.preferences import read_pairs, write_preferences
from harness.data.tables import hub_rows, read_rows
from harness.training.stages import Artifact, Progress, Stages

PAIRS = "pairs.parquet"
"""File of an artifact that holds preference pairs."""


def open_judge(run: Stages, config: RunConfig) -> Artifact:
    """Open the judge that the configuration starts from."""
    from harness.judge.checkpoints import resolve

    assert config.judge is not None
    return run(base_judge, config.judge.untrained(), resolve(config.judge.model, config.judge.revision).fingerprint)


def open_pairs(run: Stages, config: RunConfig) -> Artifact:
    """Open the preference pairs that the configuration names: embedded, a file, or the hub's."""
    source = config.preferences
    if source == "embedded":
        assert config.world is not None
        # items, split and their like belong to the benchmark and change no pair
        return run(embedded_preferences, config.world.model_copy(update={"items": 1, "split": "test"}))
    if source.startswith("hub:"):
        return run(hub_preferences, source.removeprefix("hub:"))
    return run(file_preferences, Path(source))


def embedded_preferences(out: Path, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Draw preference pairs from the embedded world, labelled by its teacher."""
    from harness.embedded.data import preference_rows

    return write_preferences(out / PAIRS, preference_rows(world), "embedded", Path())


def file_preferences(out: Path, path: Path, *, progress: Progress) -> dict[str, Any]:
    """Read preference pairs from a parquet or JSONL file."""
    return write_preferences(out / PAIRS, read_rows(path), path.name, path.parent)


def hub_preferences(out: Path, spec: str, *, progress: Progress) -> dict[str, Any]:
    """Read preference pairs from the hub data set `NAME[@REVISION]`."""
    rows = ({"id": row.get("id", number), **row} for number, row in enumerate(hub_rows(spec, "train")))
    return write_preferences(out / PAIRS, rows, spec, Path())


def true_preferences(out: Path, pairs: Artifact, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Relabel embedded pairs by the truth; only the `oracle` recipe may call this."""
    import pyarrow.parquet

    from harness.data.preferences import COLUMNS
    from harness.data.tables import write_rows
    from harness.embedded.data import preference_truth

    truth = preference_truth(world)
    rows = pyarrow.parquet.read_table(pairs.path / PAIRS).to_pylist()
    for row in rows:
        row["image"] = row["image"]["bytes"]
        if not truth[row["id"]].label_right:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
            row["rationale"] = truth[row["id"]].rationale
    count = write_rows(out / PAIRS, rows, COLUMNS)
    return {"pairs": count, "relabelled": sum(not t.label_right for t in truth.values())}


def base_judge(out: Path, judge: JudgeSettings, fingerprint: str, *, progress: Progress) -> dict[str, Any]:
    """Name the judge that training starts from; its weights stay where they are."""
    (out / "model.json").write_text(json.dumps({"model": judge.model, "revision": judge.revision}))
    return {"model": judge.model, "fingerprint": fingerprint}


def judge_settings(judge: JudgeSettings, checkpoint: Artifact) -> JudgeSettings:
    """Return `judge` pointing at the checkpoint of an artifact."""
    reference = checkpoint.path / "model.json"
    if reference.exists():
        return judge.model_copy(update=json.loads(reference.read_text()))
    return judge.model_copy(update={"model": str(checkpoint.path), "revision": None})


def random_subset(out: Path, pairs: Artifact, like: Artifact, *, seed: int, progress: Progress) -> dict[str, Any]:
    """Draw as many pairs at random as the high-confidence side of `like` has."""
    import random

    ids = sorted(row["id"] for row in read_pairs(pairs.path / PAIRS))
    high = json.loads((like.path / "split.json").read_text())["high"]
    drawn = random.Random(f"random subset {seed}").sample(ids, len(high))
    (out / "split.json").write_text(json.dumps({"high": drawn}))
    return {"pairs": len(drawn)}
