"""First stages: where pairs come from, and which judge is trained."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.data.mapping import mapped
from harness.data.preferences import stream_pairs, write_preferences
from harness.data.published import image_opener, source_files, source_pairs
from harness.data.tables import Row, hub_rows, hub_snapshot, read_rows
from harness.settings import JudgeSettings, PreferenceSource, WorldSettings
from harness.training.stages import Artifact, Progress, Stages

PAIRS = "pairs.parquet"
"""File of an artifact that holds preference pairs."""


def open_judge(run: Stages, config: RunConfig) -> Artifact:
    """Open the judge that the configuration starts from."""
    from harness.judge.checkpoints import resolve

    assert config.judge is not None
    return run(base_judge, config.judge.untrained(), resolve(config.judge.model, config.judge.revision).fingerprint)


def open_pairs(run: Stages, config: RunConfig) -> Artifact:
    """Open the preference pairs that the configuration names, without those that the run's sieve holds back."""
    return run.sieve(_named_pairs(run, config))


def _named_pairs(run: Stages, config: RunConfig) -> Artifact:
    """Open the embedded pairs, a published source's, the hub's, or a file's."""
    source = config.preferences
    if source == "embedded":
        assert config.world is not None
        return run(embedded_preferences, config.world.of_pairs())
    if config.source is not None:
        files = source_files(config.source, Path(config.source.folder)) if config.source.folder else None
        return run(source_preferences, files, config.source, source.partition("=")[0])
    columns = [f"{field}={column}" for field, column in sorted((config.columns or {}).items())]
    if source.startswith("hub:"):
        return run(hub_preferences, source.removeprefix("hub:"), columns)
    return run(file_preferences, Path(source), columns)


def embedded_preferences(out: Path, world: WorldSettings, *, progress: Progress) -> dict[str, Any]:
    """Draw preference pairs from the embedded world, labelled by its teacher."""
    from harness.embedded.data import preference_rows

    return write_preferences(out / PAIRS, preference_rows(world), "embedded", Path())


def file_preferences(out: Path, path: Path, columns: list[str], *, progress: Progress) -> dict[str, Any]:
    """Read preference pairs from a parquet or JSONL file, whose `columns` are `FIELD=COLUMN`."""
    return write_preferences(out / PAIRS, _renamed(read_rows(path), columns, path.name), path.name, path.parent)


def hub_preferences(out: Path, spec: str, columns: list[str], *, progress: Progress) -> dict[str, Any]:
    """Read preference pairs from the hub data set `NAME[@REVISION]`."""
    rows = ({"id": row.get("id", number), **row} for number, row in enumerate(hub_rows(spec, "train")))
    return write_preferences(out / PAIRS, _renamed(rows, columns, spec), spec, Path())


def _renamed(rows: Iterator[Row], columns: list[str], source: str) -> Iterator[Row]:
    return mapped(rows, dict(text.partition("=")[::2] for text in columns), source)


def source_preferences(
    out: Path, files: list[Path] | None, source: PreferenceSource, name: str, *, progress: Progress
) -> dict[str, Any]:
    """Read the pairs of a published source, from local files or the hub; say which commit that was."""
    revision = None
    if files is None:
        folder = hub_snapshot(source.hub, source.revision, [*source.files, *source.archives])
        files, revision = source_files(source, folder), folder.name
    left_out = Counter[str]()
    rows = (row for file in files for row in read_rows(file))
    with ExitStack() as stack:
        open_image = image_opener(source, files[0].parent, stack)
        made = source_pairs(source, name, rows, left_out)
        info = write_preferences(out / PAIRS, made, name, files[0].parent, open_image)
    about = {"hub": source.hub, "revision": revision, "licence": source.licence, "overlap": source.overlap}
    return info | {"left_out": dict(left_out), **about}


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

    ids = sorted(row["id"] for row in stream_pairs(pairs.path / PAIRS, ["id"]))
    high = json.loads((like.path / "split.json").read_text())["high"]
    drawn = random.Random(f"random subset {seed}").sample(ids, len(high))
    (out / "split.json").write_text(json.dumps({"high": drawn}))
    return {"pairs": len(drawn)}


def every_pair(out: Path, pairs: Artifact, *, progress: Progress) -> dict[str, Any]:
    """Put every pair on the low side of a split, with margins of 0: no expert was asked."""
    ids = [row["id"] for row in stream_pairs(pairs.path / PAIRS, ["id"])]
    split = {"high": [], "low": ids, "margins": {name: [0.0] for name in ids}}
    (out / "split.json").write_text(json.dumps(split))
    return {"pairs": len(ids), "kept": 0}
