"""The visual world: scenes, their images and captions, and questions whose truth is known.

A scene is one to three things on a 3x3 grid. Everything else here is a pure function of a
scene and a seeded generator. Scenes are dealt to splits by a hash of their content, so two
splits never share a scene, under any world seed.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

COLORS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
SIZES = ("small", "large")
NUMBERS = ("zero", "one", "two", "three", "four", "five")
PLACES = tuple(f"{row} {col}" for row in ("top", "middle", "bottom") for col in ("left", "center", "right"))
RGB = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (230, 215, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 30),
}
CELL = 16
"""Side of a grid cell in pixels; an image is 3 x 3 cells, 48 x 48 pixels."""

Split = Literal["base", "experts", "train", "dev", "test"]
SPLIT_SHARES: dict[Split, int] = {"base": 10, "experts": 2, "train": 4, "dev": 1, "test": 3}

Slice = Literal["general", "hallucination", "reasoning"]
SLICE_OF_KIND: dict[str, Slice] = {
    "describe": "general",
    "object": "general",
    "color": "hallucination",
    "shape": "hallucination",
    "count": "reasoning",
    "where": "reasoning",
}
KINDS = tuple(SLICE_OF_KIND)


class Thing(NamedTuple):
    """One object: its size, colour, shape and grid cell (0-8, row by row)."""

    size: str
    color: str
    shape: str
    cell: int


Scene = tuple[Thing, ...]


class Claim(NamedTuple):
    """One statement about a scene, as the shortest answer and as a whole sentence."""

    short: str
    plain: str


class Question(NamedTuple):
    """A question with its true answer and every false one that may stand beside it."""

    kind: str
    text: str
    right: Claim
    wrong: list[Claim]
    off: "Callable[[int, random.Random], Claim | None]" = lambda steps, rng: None
    """Draws an answer so many steps from the truth (1, 2, ...); None if there is none."""


def split_of(scene: Scene) -> Split:
    """Return the split that owns `scene`, from a hash of its content."""
    place = int.from_bytes(hashlib.sha256(repr(scene).encode()).digest()[:8], "big") % sum(SPLIT_SHARES.values())
    for split, share in SPLIT_SHARES.items():
        if place < share:
            return split
        place -= share
    raise AssertionError("the shares cover every place")


def draw_scene(rng: random.Random) -> Scene:
    """Draw one to three things in distinct cells, no two alike in both colour and shape."""
    cells = sorted(rng.sample(range(9), rng.randint(1, 3)))
    looks = rng.sample([(color, shape) for color in COLORS for shape in SHAPES], len(cells))
    return tuple(Thing(rng.choice(SIZES), *look, cell) for look, cell in zip(looks, cells, strict=True))


def scenes(rng: random.Random, split: Split) -> Iterator[Scene]:
    """Yield scenes of `split` for ever."""
    while True:
        scene = draw_scene(rng)
        if split_of(scene) == split:
            yield scene


def _masks() -> dict[tuple[str, str, int, int], np.ndarray]:
    y, x = np.mgrid[0:CELL, 0:CELL] - 7.5
    masks = {}
    for size, r in (("small", 3.9), ("large", 6.6)):
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                u, v = x - 0.7 * dx, y - 0.7 * dy
                masks["circle", size, dx, dy] = u * u + v * v <= r * r
                masks["square", size, dx, dy] = (abs(u) <= 0.88 * r) & (abs(v) <= 0.88 * r)
                masks["triangle", size, dx, dy] = (v <= 0.85 * r) & (v >= -r) & (abs(u) <= 0.55 * (v + r))
                masks["diamond", size, dx, dy] = abs(u) + abs(v) <= 1.1 * r
                arm = (abs(u) <= 0.36 * r) & (abs(v) <= r)
                masks["cross", size, dx, dy] = arm | ((abs(v) <= 0.36 * r) & (abs(u) <= r))
    return masks


_MASKS = _masks()


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draw `scene` with jitter and noise as uint8 RGB, shape [48, 48, 3]."""
    image = np.full((3 * CELL, 3 * CELL, 3), rng.uniform(200, 245))
    for thing in scene:
        row, col = divmod(thing.cell, 3)
        mask = _MASKS[thing.shape, thing.size, int(rng.integers(-1, 2)), int(rng.integers(-1, 2))]
        cell = image[row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL]
        cell[mask] = np.array(RGB[thing.color]) + rng.normal(0, 10, 3)
    image += rng.normal(0, 8, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def picture(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Render `scene` as a PIL image."""
    return Image.fromarray(render(scene, rng))


def caption(scene: Scene) -> str:
    """Say exactly what `scene` holds: how many things, and each with its place."""
    things = ", ".join(f"{t.size} {t.color} {t.shape} {PLACES[t.cell]}" for t in scene)
    return f"{NUMBERS[len(scene)]} {'object' if len(scene) == 1 else 'objects'}: {things}."


class Telling(NamedTuple):
    """How much a caption tells: the chances (0-1) that it says a thing's place, its size, and how many things."""

    places: float = 1.0
    sizes: float = 1.0
    counts: float = 1.0


def noisy_caption(scene: Scene, rng: random.Random, noise: float) -> str:
    """Caption `scene`, each thing left out or misdescribed with probability `noise` (0-1)."""
    return caption(misseen(scene, rng, noise))


def misseen(scene: Scene, rng: random.Random, noise: float) -> Scene:
    """Leave out or misdescribe each thing of `scene` with probability `noise` (0-1)."""
    seen = []
    for thing in scene:
        if rng.random() >= noise:
            seen.append(thing)
        elif rng.random() < 0.5 or len(scene) == 1:
            seen.append(rng.choice(misreadings(thing)))
    return tuple(seen) or scene


def told(scene: Scene, telling: Telling, rng: random.Random) -> str:
    """Caption `scene` in as many words as `telling` grants; what is said is said as `caption` says it."""
    things = []
    for thing in scene:
        size = f"{thing.size} " if rng.random() < telling.sizes else ""
        place = f" {PLACES[thing.cell]}" if rng.random() < telling.places else ""
        things.append(f"{size}{thing.color} {thing.shape}{place}")
    head = caption(scene).partition(": ")[0] + ": " if rng.random() < telling.counts else ""
    return f"{head}{', '.join(things)}."


def misreadings(thing: Thing) -> list[Thing]:
    """Every thing that differs from `thing` in one of size, colour and shape."""
    return (
        [thing._replace(size=s) for s in SIZES if s != thing.size]
        + [thing._replace(color=c) for c in COLORS if c != thing.color]
        + [thing._replace(shape=s) for s in SHAPES if s != thing.shape]
    )


def _misread_so_far(thing: Thing, steps: int, rng: random.Random) -> Thing:
    """Misread `steps` (1-3) of a thing's size, colour and shape."""
    looks = {"size": (thing.size, SIZES), "color": (thing.color, COLORS), "shape": (thing.shape, SHAPES)}
    seen = {name: value for name, (value, _) in looks.items()}
    for name in rng.sample(list(looks), min(steps, 3)):
        value, values = looks[name]
        seen[name] = rng.choice([other for other in values if other != value])
    return Thing(seen["size"], seen["color"], seen["shape"], thing.cell)


def _listing(scene: Scene) -> str:
    return " and ".join(f"a {t.size} {t.color} {t.shape}" for t in scene) + "."


def _describe(scene: Scene, rng: random.Random) -> Question:
    def claim(seen: Scene) -> Claim:
        return Claim(_listing(seen), f"there is {_listing(seen)}")

    wrong = [(*scene[:i], other, *scene[i + 1 :]) for i, t in enumerate(scene) for other in misreadings(t)]
    wrong += [(*scene[:i], *scene[i + 1 :]) for i in range(len(scene)) if len(scene) > 1]
    free = [cell for cell in range(9) if cell not in {t.cell for t in scene}]
    invented = Thing(rng.choice(SIZES), rng.choice(COLORS), rng.choice(SHAPES), rng.choice(free))
    if len(scene) < 3:
        wrong += [tuple(sorted((*scene, invented), key=lambda t: t.cell))] * 4

    def off(steps: int, rng: random.Random) -> Claim | None:
        place = rng.randrange(len(scene))
        return claim((*scene[:place], _misread_so_far(scene[place], steps, rng), *scene[place + 1 :]))

    return Question("describe", "describe the image.", claim(scene), [claim(seen) for seen in wrong], off)


def _object(scene: Scene, rng: random.Random) -> Question:
    thing = rng.choice(scene)

    def claim(t: Thing) -> Claim:
        return Claim(f"a {t.size} {t.color} {t.shape}.", f"at the {PLACES[t.cell]} is a {t.size} {t.color} {t.shape}.")

    text = f"what is at the {PLACES[thing.cell]}?"
    return Question(
        "object",
        text,
        claim(thing),
        [claim(t) for t in misreadings(thing)],
        lambda steps, rng: claim(_misread_so_far(thing, steps, rng)),
    )


def _alone(scene: Scene, field: str, rng: random.Random) -> Thing | None:
    """Pick a thing whose `field` no other thing of the scene shares."""
    values = [getattr(t, field) for t in scene]
    alone = [t for t in scene if values.count(getattr(t, field)) == 1]
    return rng.choice(alone) if alone else None


def _any_of(wrong: list[Claim]) -> "Callable[[int, random.Random], Claim | None]":
    """Draw any wrong answer: there are no degrees."""
    return lambda steps, rng: rng.choice(wrong) if steps == 1 else None


def _color(scene: Scene, rng: random.Random) -> Question | None:
    if not (thing := _alone(scene, "shape", rng)):
        return None

    def claim(color: str) -> Claim:
        return Claim(f"{color}.", f"the {thing.shape} is {color}.")

    wrong = [claim(color) for color in COLORS if color != thing.color]
    return Question("color", f"what color is the {thing.shape}?", claim(thing.color), wrong, _any_of(wrong))


def _shape(scene: Scene, rng: random.Random) -> Question | None:
    if not (thing := _alone(scene, "color", rng)):
        return None

    def claim(shape: str) -> Claim:
        return Claim(f"{shape}.", f"the {thing.color} object is a {shape}.")

    wrong = [claim(shape) for shape in SHAPES if shape != thing.shape]
    return Question("shape", f"what shape is the {thing.color} object?", claim(thing.shape), wrong, _any_of(wrong))


def _count(scene: Scene, rng: random.Random) -> Question:
    pick = rng.choice(scene)
    # a colour that may be absent, so that "zero" is sometimes true and never a give-away
    color = pick.color if rng.random() < 0.6 else rng.choice(COLORS)
    what = rng.choice(("objects", f"{color} objects", f"{pick.size} objects"))
    number = sum(what == "objects" or what.split()[0] in (t.color, t.size) for t in scene)

    def claim(n: int) -> Claim:
        return Claim(f"{NUMBERS[n]}.", f"the number of {what} is {NUMBERS[n]}.")

    def off(steps: int, rng: random.Random) -> Claim | None:
        near = [n for n in (number - steps, number + steps) if 0 <= n < len(NUMBERS)]
        return claim(rng.choice(near)) if near else None

    wrong = [claim(n) for n in (number - 1, number + 1) if n >= 0]
    return Question("count", f"how many {what} are there?", claim(number), wrong, off)


def _where(scene: Scene, rng: random.Random) -> Question | None:
    if not (thing := _alone(scene, "shape", rng)):
        return None

    def claim(cell: int) -> Claim:
        return Claim(f"{PLACES[cell]}.", f"the {thing.shape} is at the {PLACES[cell]}.")

    row, col = divmod(thing.cell, 3)
    near = [c for c in range(9) if c != thing.cell and (c // 3 == row or c % 3 == col)]

    def off(steps: int, rng: random.Random) -> Claim | None:
        cells = [c for c in range(9) if abs(c // 3 - row) + abs(c % 3 - col) == steps]
        return claim(rng.choice(cells)) if cells else None

    return Question("where", f"where is the {thing.shape}?", claim(thing.cell), [claim(c) for c in near], off)


_ASK: dict[str, Callable[[Scene, random.Random], Question | None]] = {
    "describe": _describe,
    "object": _object,
    "color": _color,
    "shape": _shape,
    "count": _count,
    "where": _where,
}


def ask(scene: Scene, kind: str, rng: random.Random) -> Question | None:
    """Ask a question of `kind` about `scene`; None if the scene has no unambiguous one."""
    return _ASK[kind](scene, rng)


STYLES = ("terse", "plain", "verbose", "hedged", "confident")


def say(claim: Claim, style: str) -> str:
    """Put `claim` in one of the five manners of speaking, which carry no truth."""
    match style:
        case "terse":
            return claim.short
        case "plain":
            return claim.plain
        case "verbose":
            return f"looking closely at the whole picture, {claim.plain} this is easy to see."
        case "hedged":
            return f"i think that {claim.plain} but i am not sure."
        case "confident":
            return f"definitely, {claim.plain} i am certain."
    raise ValueError(f"no style {style!r}: one of {', '.join(STYLES)}")
