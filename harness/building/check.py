"""Measures the embedded models on dev scenes: `python -m harness.building check`."""

import io
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.embedded import world
from harness.embedded.data import benchmark_rows
from harness.engines.engine import Answer, Decoding, Question
from harness.engines.transformers_engine import TransformersEngine
from harness.protocols.reading import read_strict
from harness.settings import ExpertSettings, JudgeSettings, WorldSettings
from harness.training.experts import Expert
from harness.training.stages import Silent


def answers_right(judge: TransformersEngine, kind: str, count: int) -> float:
    """Return the share of questions of one kind that the judge answers word for word."""
    rng, noise = random.Random(f"check {kind}"), np.random.default_rng(17)
    asked: list[Question] = []
    wanted: list[str] = []
    for scene in world.scenes(rng, "dev"):
        if question := world.ask(scene, kind, rng):
            asked.append(Question((world.picture(scene, noise), question.text)))
            wanted.append(question.right.plain)
        if len(asked) == count:
            break
    given = judge.answer(asked, Decoding(48))
    return float(np.mean([drawn[0].text == right for drawn, right in zip(given, wanted, strict=True)]))


def untrained_judging(judge: TransformersEngine, count: int) -> dict[str, float]:
    """Judge dev items in both orders without any training.

    Returns:
        `coverage`, the share of readable verdicts; `accuracy`, unparsed being wrong; and `forced`,
        the share of readable answers whose likelier verdict token is right.
    """
    assert judge.format is not None, "the embedded judge brings its format"
    rows = list(itertools.islice(benchmark_rows(WorldSettings(split="dev")), count))
    asked, right = [], []
    for row, swapped in itertools.product(rows, (False, True)):
        first, second = row["response"][:: -1 if swapped else 1]
        words = judge.format.ask(row["query"], first, second)
        asked.append(Question((Image.open(io.BytesIO(row["image"])), words)))
        right.append("first" if (row["human_ranking"] == [0, 1]) != swapped else "second")
    given: list[Answer] = [drawn[0] for drawn in judge.answer(asked, Decoding(48))]
    readings = [read_strict(answer.text) for answer in given]
    sure = [(a.p_first, r) for a, r in zip(given, right, strict=True) if a.p_first is not None]
    return {
        "coverage": float(np.mean([reading != "unparsed" for reading in readings])),
        "accuracy": float(np.mean([a == b for a, b in zip(readings, right, strict=True)])),
        "forced": float(np.mean([(p > 0.5) == (r == "first") for p, r in sure])),
    }


def expert_accuracy(name: str, count: int) -> float:
    """Return the share of dev items whose right response the expert scores higher, from the caption."""
    rng = random.Random("check experts")
    texts = []
    for scene in itertools.islice(world.scenes(rng, "dev"), count):
        question = None
        while question is None:
            question = world.ask(scene, rng.choice(world.KINDS), rng)
        caption = world.noisy_caption(scene, rng, 0.05)
        pair = (question.right, rng.choice(question.wrong))
        texts += [(caption, question.text, world.say(claim, rng.choice(world.STYLES))) for claim in pair]
    expert = Expert(name, ExpertSettings(precision="float32"), Path())
    scores = np.array(expert.score(texts, Silent().advance)).reshape(-1, 2)
    return float((scores[:, 0] > scores[:, 1]).mean())


def check(count: int = 1000) -> dict[str, Any]:
    """Measure judge and experts."""
    judge = TransformersEngine(JudgeSettings(), "float32", 256)
    found: dict[str, Any] = {kind: answers_right(judge, kind, count) for kind in world.KINDS}
    found |= {f"untrained {name}": value for name, value in untrained_judging(judge, count).items()}
    for i in range(3):
        found[f"expert {i}"] = expert_accuracy(f"embedded:expert-{i}", 2 * count)
    return {name: round(value, 3) for name, value in found.items()}
