"""Embedded items in MMRB2's fields: pictures in requests and in responses.

| part | the request | a response |
| --- | --- | --- |
| `t2i` | a scene in words | a picture of it, or of one that was misread |
| `edit` | a picture, and a thing to recolour | the picture with that thing recoloured, or with another change |
| `interleaved` | two scenes in words | each scene in words and as a picture; of the worse, one picture is another's |
| `reasoning` | one to three pictures, and a question about one | an answer, sometimes with that picture again |

Scenes are the benchmark's own splits; nothing is shared with training.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from harness.embedded import world
from harness.embedded.data import png
from harness.settings import WorldSettings


class Said(NamedTuple):
    """A text with its pictures, which stand in it as `<image_1>`, `<image_2>`."""

    text: str
    images: tuple[bytes, ...] = ()


class Asked(NamedTuple):
    """A request with a better and a worse response."""

    kind: str
    request: Said
    better: Said
    worse: Said


class Studio(NamedTuple):
    """Draws scenes, and pictures of them."""

    rng: random.Random
    noise: np.random.Generator
    scenes: Iterator[world.Scene]

    def picture(self, scene: world.Scene) -> bytes:
        """Draw a scene, each time with other noise."""
        return png(scene, self.noise)

    def misread(self, scene: world.Scene) -> world.Scene:
        """Change one look of one thing."""
        place = self.rng.randrange(len(scene))
        return (*scene[:place], self.rng.choice(world.misreadings(scene[place])), *scene[place + 1 :])


def _t2i(studio: Studio) -> Asked:
    scene = next(studio.scenes)
    better, worse = (Said("", (studio.picture(one),)) for one in (scene, studio.misread(scene)))
    return Asked("picture", Said(f"draw {world.caption(scene)}"), better, worse)


def _edit(studio: Studio) -> Asked:
    scene = next(studio.scenes)
    place = studio.rng.randrange(len(scene))
    thing = scene[place]
    wanted, other = studio.rng.sample([color for color in world.COLORS if color != thing.color], 2)
    right, wrong = ((*scene[:place], thing._replace(color=c), *scene[place + 1 :]) for c in (wanted, other))
    request = Said(f"<image_1>\nmake the thing at the {world.PLACES[thing.cell]} {wanted}.", (studio.picture(scene),))
    return Asked("recolour", request, Said("", (studio.picture(right),)), Said("", (studio.picture(wrong),)))


def _interleaved(studio: Studio) -> Asked:
    scenes = [next(studio.scenes) for _ in range(2)]
    told = [world.caption(scene) for scene in scenes]
    request = Said(f"tell of two scenes, each with a picture. first: {told[0]} second: {told[1]}")

    def response(drawn: list[world.Scene]) -> Said:
        text = f"first: {told[0]}\n<image_1>\nsecond: {told[1]}\n<image_2>"
        return Said(text, tuple(map(studio.picture, drawn)))

    changed = studio.rng.randrange(2)
    worse = [studio.misread(scene) if place == changed else scene for place, scene in enumerate(scenes)]
    return Asked("two scenes", request, response(scenes), response(worse))


def _reasoning(studio: Studio) -> Asked | None:
    rng = studio.rng
    scenes = [next(studio.scenes) for _ in range(rng.choice((1, 1, 2, 3)))]
    place = rng.randrange(len(scenes))
    question = world.ask(scenes[place], rng.choice(world.KINDS), rng)
    if question is None:
        return None
    images = tuple(map(studio.picture, scenes))
    marks = "\n".join(f"<image_{number + 1}>" for number in range(len(images)))
    which = f"look at picture {place + 1}. " if len(images) > 1 else ""

    def response(claim: world.Claim) -> Said:
        said = world.say(claim, rng.choice(world.STYLES))
        return Said(f"<image_1>\n{said}", (images[place],)) if rng.random() < 0.5 else Said(said)

    better, worse = response(question.right), response(rng.choice(question.wrong))
    return Asked(question.kind, Said(f"{marks}\n{which}{question.text}", images), better, worse)


# the order is part of what is drawn
_DRAW: dict[str, Callable[[Studio], Asked | None]] = {
    "t2i": _t2i,
    "edit": _edit,
    "interleaved": _interleaved,
    "reasoning": _reasoning,
}


def rows(part: str, settings: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield `world.items` items of a part."""
    rng = random.Random(f"mmrb2 {part} {settings.split} {settings.seed}")
    noise = np.random.default_rng([settings.seed, 8 if settings.split == "test" else 9, list(_DRAW).index(part)])
    studio = Studio(rng, noise, world.scenes(rng, settings.split))
    number = 0
    while number < settings.items:
        asked = _DRAW[part](studio)
        if asked is None:
            continue
        a_is_better = rng.random() < 0.5
        a, b = (asked.better, asked.worse) if a_is_better else (asked.worse, asked.better)
        yield {
            "pair_id": f"{part}-{number:05d}",
            "prompt_text": asked.request.text,
            "prompt_images": list(asked.request.images),
            "response_a_text": a.text,
            "response_a_images": list(a.images),
            "response_b_text": b.text,
            "response_b_images": list(b.images),
            "chosen": "A" if a_is_better else "B",
            "prompt_source": f"embedded/{asked.kind}",
            "prompt_metadata": f"{number}",
        }
        number += 1
