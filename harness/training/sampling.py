"""Judgments sampled from the tuned judge on low-confidence pairs, in both orders."""

from contextlib import closing
from pathlib import Path
from typing import Any

from harness.settings import JudgeSettings, SamplingSettings
from harness.training.confidence import read_split
from harness.training.rows import Presented, present
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import ENGINE, Artifact, Progress

SAMPLES = "samples.jsonl"


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
    from harness.data.canonical import open_images
    from harness.data.tables import opened
    from harness.engines.engine import Answer, Decoding, Question, open_engine
    from harness.engines.resumable import write_answers

    sides = read_split(split)
    low = sorted(sides["low"], key=lambda name: (-abs(sum(sides["margins"][name])), name))
    low = low[: max(1, round(len(low) * settings.share))][: settings.max_pairs] if low else []
    image = open_images(pairs.path / PAIRS)
    with closing(open_engine(judge_settings(judge, tuned), settings, out / ENGINE)) as engine:
        format_ = engine.format
        assert format_ is not None, "a tuned judge brings its format"
        shown = present(pairs, format_, low)
        progress.total(len(shown) * settings.samples, "judgments")

        def question(p: Presented) -> Question:
            return Question((opened(image(p.place)), p.prompt))

        def record(p: Presented, drawn: list[Answer]) -> dict[str, Any]:
            return {"id": p.pair["id"], "chosen_second": p.chosen_second, "texts": [a.text for a in drawn]}

        write_answers(
            out / SAMPLES,
            engine,
            shown,
            question,
            record,
            Decoding(settings.max_new_tokens, settings.temperature, settings.top_p, settings.samples),
            seed,
            lambda count: progress.advance(count * settings.samples),
        )
    return {"pairs": len(shown) // 2, "judgments": len(shown) * settings.samples}


def read_samples(samples: Artifact) -> list[dict[str, Any]]:
    """Read the sampled judgments, a record per presentation."""
    from harness.engines.resumable import read_answers

    return read_answers(samples.path / SAMPLES)
