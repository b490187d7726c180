"""Embedded items in MLLM-as-a-Judge's fields: responses to grade, to choose from and to rank.

An answer is worse the more steps it is from the truth: attributes misread, objects miscounted,
cells away. The "people" know the steps. Scenes are the benchmark's own splits; nothing is shared
with training.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from harness.embedded import world
from harness.embedded.data import png
from harness.settings import WorldSettings

GRADES = (5, 3, 2, 1)
"""Grade of an answer by its steps from the truth, 0 to 3."""
SHARES = {"score": 0.4, "pair": 0.4, "batch": 0.2}
"""Items of each kind, as a share of `world.items`."""


class Asked(NamedTuple):
    """A question about a scene, with answers at so many steps from the truth."""

    image: bytes
    kind: str
    question: str
    answers: list[str]


def _asked(settings: WorldSettings, kind: str) -> Iterator[tuple[list[int], Asked]]:
    """Yield questions with one answer for each number of steps that was drawn for it."""
    rng = random.Random(f"{kind} {settings.split} {settings.seed}")
    noise = np.random.default_rng([settings.seed, 4 if settings.split == "test" else 5, list(SHARES).index(kind)])
    owed = max(1, round(settings.items * SHARES[kind]))
    for scene in world.scenes(rng, settings.split):
        question = world.ask(scene, rng.choice(world.KINDS), rng)
        if question is None:
            continue
        steps = _steps(kind, rng)
        claims = [question.right if n == 0 else question.off(n, rng) for n in steps]
        if any(claim is None for claim in claims):
            continue
        answers = [world.say(claim, rng.choice(world.STYLES)) for claim in claims if claim is not None]
        if len(set(answers)) < len(answers):
            continue
        yield steps, Asked(png(scene, noise), question.kind, question.text, answers)
        owed -= 1
        if not owed:
            return


def _steps(kind: str, rng: random.Random) -> list[int]:
    """Draw how far each answer is from the truth; a ranking has no two alike."""
    if kind == "score":
        return [rng.choices(range(4), (4, 3, 2, 1))[0]]
    if kind == "pair":
        return rng.choices(range(3), (3, 3, 1), k=2)
    return rng.sample(range(4), rng.choice((3, 4)))


def _common(asked: Asked, number: int) -> dict[str, Any]:
    about = {"id": number, "instruction": asked.question, "image_path": asked.image}
    return {**about, "original_dataset": f"embedded/{asked.kind}"}


def score_rows(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield single answers with a grade from 1 to 5."""
    for number, (steps, asked) in enumerate(_asked(settings, "score")):
        row = {"score_id": number, "answer": asked.answers[0], "human": GRADES[steps[0]]}
        yield _common(asked, number) | row


def pair_rows(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield two answers with `A`, `B`, or `C` where both are equally far from the truth."""
    for number, (steps, asked) in enumerate(_asked(settings, "pair")):
        label = "C" if steps[0] == steps[1] else "AB"[steps[1] < steps[0]]
        answers = {f"answer{i + 1}": {"answer": text} for i, text in enumerate(asked.answers)}
        yield _common(asked, number) | {"pair_id": number, **answers, "human": label}


def batch_rows(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield three or four answers with their order from best to worst, such as `CDAB`."""
    for number, (steps, asked) in enumerate(_asked(settings, "batch")):
        order = sorted(range(len(steps)), key=lambda place: steps[place])
        label = "".join("ABCD"[place] for place in order)
        yield _common(asked, number) | {"answers": [{"answer": text} for text in asked.answers], "human": label}
