"""The embedded preference pairs and benchmark items, drawn from a world seed.

The truth of a preference label is written apart, by `preference_truth`; only the `oracle` recipe
and the figures about the expert filter read it.
"""

import io
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from harness.embedded import teacher, world
from harness.settings import WorldSettings

SLICE_SHARES: dict[world.Slice, float] = {"general": 183, "hallucination": 749, "reasoning": 318}
"""VL-RewardBench's own counts; the embedded benchmark has the same shares."""


def preference_rows(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield pairs labelled by the teacher, in the fields of `--preferences`."""
    for row, _ in _pairs(settings):
        yield row


class Truth(NamedTuple):
    """What is true of a labelled pair."""

    label_right: bool
    rationale: str
    """The right claim, in plain words."""


def preference_truth(settings: WorldSettings) -> dict[str, Truth]:
    """Tell for each pair whether the teacher's label is right, and what is."""
    return {row["id"]: truth for row, truth in _pairs(settings, drawn=False)}


def _pairs(settings: WorldSettings, drawn: bool = True) -> Iterator[tuple[dict[str, Any], Truth]]:
    """Yield pairs with what is true of them; without their images unless they are `drawn`."""
    rng = random.Random(f"pairs {settings.seed}")
    noise = np.random.default_rng([settings.seed, 1])
    source = world.scenes(rng, "train")
    telling = world.Telling(settings.caption_places, settings.caption_sizes, settings.caption_counts)
    for number in range(settings.pairs):
        scene = next(source)
        question, right, wrong = _question(scene, _slice(rng), rng)
        slip = teacher.prefers_wrong(right, wrong, rng)
        claim = question.wrong[0] if slip else question.right
        seen = world.misseen(scene, rng, settings.caption_noise)
        # drawn apart, so that how much is told changes no scene, answer or slip
        words = random.Random(f"caption {settings.seed} {number}")
        caption = world.told(seen, telling, words) if words.random() < settings.captioned else None
        chosen, rejected = (wrong, right) if slip else (right, wrong)
        yield (
            {
                "id": f"pair-{number:05d}",
                "image": png(scene, noise) if drawn else b"",
                "question": question.text,
                "chosen": chosen,
                "rejected": rejected,
                "caption": caption,
                "rationale": claim.plain,
                "slice": world.SLICE_OF_KIND[question.kind],
                "p_chosen": teacher.p_chosen(chosen, rejected),
            },
            Truth(not slip, question.right.plain),
        )


def benchmark_rows(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield benchmark items in VL-RewardBench's fields; an image serves one to three of them."""
    rng = random.Random(f"benchmark {settings.split} {settings.seed}")
    noise = np.random.default_rng([settings.seed, 2 if settings.split == "test" else 3])
    source, seen = world.scenes(rng, settings.split), set[world.Scene]()
    shares = slice_shares(settings.reasoning_share)
    owed = _quota(settings.items, shares)
    number = 0
    while any(owed.values()):
        scene = next(source)
        if scene in seen:
            continue
        seen.add(scene)
        image, asked = png(scene, noise), set[str]()
        for _ in range(rng.choice((1, 2, 3))):
            slice_ = _slice(rng, shares)
            question, right, wrong = _question(scene, slice_, rng)
            if not owed[slice_] or question.text in asked:
                continue
            asked.add(question.text)
            owed[slice_] -= 1
            right_first = rng.random() < 0.5
            yield {
                "id": f"{slice_}-{number:05d}",
                "image": image,
                "query": question.text,
                "response": [right, wrong] if right_first else [wrong, right],
                "human_ranking": [0, 1] if right_first else [1, 0],
                "category": slice_,
                "query_source": f"embedded/{question.kind}",
            }
            number += 1


def _question(scene: world.Scene, slice_: world.Slice, rng: random.Random) -> tuple[world.Question, str, str]:
    """Draw a question of a slice with one right and one wrong response, each in some style."""
    kinds = [kind for kind, belongs in world.SLICE_OF_KIND.items() if belongs == slice_]
    question = None
    while question is None:
        question = world.ask(scene, rng.choice(kinds), rng)
    question = question._replace(wrong=[rng.choice(question.wrong)])
    right, wrong = (world.say(claim, rng.choice(world.STYLES)) for claim in (question.right, question.wrong[0]))
    return question, right, wrong


def slice_shares(reasoning: float | None) -> dict[world.Slice, float]:
    """Return the benchmark's shares by slice, with `reasoning` (0-1) in place of VL-RewardBench's own."""
    if reasoning is None:
        return dict(SLICE_SHARES)
    others = sum(share for name, share in SLICE_SHARES.items() if name != "reasoning")
    return {
        name: reasoning if name == "reasoning" else (1 - reasoning) * share / others
        for name, share in SLICE_SHARES.items()
    }


def _slice(rng: random.Random, shares: Mapping[world.Slice, float] = SLICE_SHARES) -> world.Slice:
    return rng.choices(list(shares), list(shares.values()))[0]


def _quota(items: int, shares: Mapping[world.Slice, float]) -> dict[world.Slice, int]:
    total = sum(shares.values())
    quota = {name: int(items * share // total) for name, share in shares.items()}
    quota["hallucination"] += items - sum(quota.values())
    return quota


def png(scene: world.Scene, noise: np.random.Generator) -> bytes:
    """Render a scene and encode it."""
    file = io.BytesIO()
    world.picture(scene, noise).save(file, "PNG")
    return file.getvalue()
