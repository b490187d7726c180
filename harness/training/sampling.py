"""Judgments sampled from the tuned judge on low-confidence pairs, in both orders."""

import io
import json
from pathlib import Path
from typing import Any

from harness.config import JudgeSettings, SamplingSettings
from harness.training.confidence import read_split
from harness.training.rows import present
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import Artifact, Progress

SAMPLES = "samples.jsonl"
PAIRS_PER_CHUNK = 64


def sample_judgments(
    out: Path,
    tuned: Artifact,
    pairs: Artifact,
    split: Artifact,
    judge: JudgeSettings,
    settings: SamplingSettings,
    *,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Sample judgments where the experts have most to say: the largest mean margins of the low side.

    Writes one line a presentation: pair id, which answer is the chosen one, and the sampled texts.
    Lines are appended chunk by chunk; after a crash the finished chunks are kept.
    """
    import pyarrow.parquet
    from PIL import Image

    from harness.judge.model import Decoding, Judge, Question

    sides = read_split(split)
    low = sorted(sides["low"], key=lambda name: (-abs(sum(sides["margins"][name])), name))
    low = low[: max(1, round(len(low) * settings.share))][: settings.max_pairs] if low else []
    teller = Judge(judge_settings(judge, tuned), settings.precision)
    format_ = teller.format
    assert format_ is not None, "a tuned judge brings its format"
    shown = present(pairs, format_, low)
    images = pyarrow.parquet.read_table(pairs.path / PAIRS, columns=["image"]).column("image")
    path, size = out / SAMPLES, 2 * PAIRS_PER_CHUNK
    done = _whole_lines(path)
    done -= done % size
    _keep_lines(path, done)
    progress.total(len(shown) * settings.samples, "judgments")
    progress.advance(done * settings.samples)
    decoding = Decoding(settings.max_new_tokens, settings.temperature, settings.top_p, settings.samples)
    for start in range(done, len(shown), size):
        chunk = shown[start : start + size]
        questions = [Question(Image.open(io.BytesIO(images[p.place]["bytes"].as_py())), p.prompt) for p in chunk]
        answers = teller.answer(
            questions, decoding, settings.batch_size, seed, lambda n: progress.advance(n * settings.samples)
        )
        lines = [
            json.dumps({"id": p.pair["id"], "chosen_second": p.chosen_second, "texts": [a.text for a in drawn]})
            for p, drawn in zip(chunk, answers, strict=True)
        ]
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
    path.touch()
    return {"pairs": len(shown) // 2, "judgments": len(shown) * settings.samples}


def _whole_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _keep_lines(path: Path, count: int) -> None:
    if path.exists():
        lines = path.read_bytes().split(b"\n")[:count]
        path.write_bytes(b"".join(line + b"\n" for line in lines))


def read_samples(samples: Artifact) -> list[dict[str, Any]]:
    """Read the sampled judgments, a record per presentation."""
    return [json.loads(line) for line in (samples.path / SAMPLES).read_text(encoding="utf-8").splitlines()]
