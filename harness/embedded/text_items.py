"""Embedded items in RewardBench 2's fields: text alone, a scene told in words in place of its picture.

Of four responses one is right, each in some manner of speaking; the subset `Ties` has two rows for a scene, one whose
question has a single right answer and one that asks for anything of the scene, where several are right.
"""

import random
from collections.abc import Iterator
from typing import Any

from harness.embedded import world
from harness.settings import WorldSettings

RESPONSES = 4
SETS = 0.1
"""Sets of ties, as a share of `world.items`; each is two rows of them."""


def rows(settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield `world.items` items, the sets of ties last."""
    rng = random.Random(f"best {settings.split} {settings.seed}")
    scenes = world.scenes(rng, settings.split)
    sets = max(1, round(settings.items * SETS))
    number = 0
    while number < settings.items - 2 * sets:
        scene = next(scenes)
        question = world.ask(scene, rng.choice(world.KINDS), rng)
        if question is None:
            continue
        claims = list(dict.fromkeys(question.wrong))
        if len(claims) < RESPONSES - 1:
            continue
        wrong = [world.say(claim, rng.choice(world.STYLES)) for claim in rng.sample(claims, RESPONSES - 1)]
        right = world.say(question.right, rng.choice(world.STYLES))
        slice_ = world.SLICE_OF_KIND[question.kind]
        yield _row(f"{slice_}-{number:05d}", scene, question.text, [right], wrong, slice_)
        number += 1
    for key in range(sets):
        yield from _set(key, rng, scenes)


def _set(key: int, rng: random.Random, scenes: Iterator[world.Scene]) -> Iterator[dict[str, Any]]:
    """Draw a row with one right response and one with several, of a scene of two or three things."""
    scene = next(scene for scene in scenes if len(scene) > 1)
    thing = scene[0]
    wrong = [_named(other) for other in rng.sample(world.misreadings(thing), RESPONSES)]
    question = f"what is at the {world.PLACES[thing.cell]}?"
    yield _row(f"ref:{key}", scene, question, [_named(thing)], wrong, "Ties")
    there = [_named(one) for one in scene]
    wrong = [name for one in scene for name in map(_named, rng.sample(world.misreadings(one), 2)) if name not in there]
    yield _row(f"tied:{key}", scene, "name one thing that is there.", there, list(dict.fromkeys(wrong)), "Ties")


def _named(thing: world.Thing) -> str:
    return f"a {thing.size} {thing.color} {thing.shape}."


def _row(
    name: str, scene: world.Scene, question: str, chosen: list[str], rejected: list[str], subset: str
) -> dict[str, Any]:
    prompt = f"{world.caption(scene)} {question}"
    return {"id": name, "prompt": prompt, "chosen": chosen, "rejected": rejected, "subset": subset}
