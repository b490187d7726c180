"""What a judge that scores says: its scores, and the judgment they make, in words that the readers read.

Scores are written so that each float32 is told from every other; what is read is what was written.
"""

import math
from collections.abc import Sequence

from harness.protocols.reading import EQUAL


def number(value: float) -> str:
    """Write a float32 in as few digits as tell it from every other."""
    return f"{value:.9g}"


def logistic(value: float) -> float:
    """Map a real number to (0, 1), as Bradley and Terry's model maps a difference of rewards to P(better)."""
    small = math.exp(-abs(value))
    return 1 / (1 + small) if value >= 0 else small / (1 + small)


def verdict(advantage: float) -> str:
    """Write the verdict on two responses: `advantage` is above 0 where the first is better, and 0 where none is."""
    return f"Overall Judgment: Answer {1 if advantage > 0 else 2} is better." if advantage else EQUAL


def by_rewards(rewards: Sequence[float]) -> str:
    """Write a judgment of the responses shown: the reward of one, the better of two, or the order of several.

    Of several responses, equal rewards make no order, and none is written.
    """
    if len(rewards) == 1:
        return f"Reward: {number(rewards[0])}"
    names = "12" if len(rewards) == 2 else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(rewards)]
    told = [f"Reward of answer {name}: {number(value)}" for name, value in zip(names, rewards, strict=True)]
    if len(rewards) == 2:
        return "\n".join([*told, verdict(rewards[0] - rewards[1])])
    order = sorted(range(len(rewards)), key=lambda place: -rewards[place])
    ranked = ", ".join(f"[[{names[place]}]]" for place in order)
    ranked = ranked if len(set(rewards)) == len(rewards) else "equal rewards, no order."
    return "\n".join([*told, f"Overall Judgment: {ranked}"])


def by_experts(caption: str, scores: Sequence[tuple[float, float]]) -> tuple[str, float]:
    """Write what experts make of two responses; return it with P(first).

    The majority decides; where it is even, the mean of the experts' P; where that is one half, nobody does.

    Args:
        caption: what they read instead of the image.
        scores: of each expert, for the first and for the second response shown.

    Returns:
        The judgment, and the mean over the experts of P by Bradley and Terry's model, which reward models are trained
        by: scores of two experts are on two scales, their probabilities on one. It may be on the minority's side.
    """
    p_first = sum(logistic(first - second) for first, second in scores) / len(scores)
    votes = sum((first > second) - (first < second) for first, second in scores)
    # brackets in a caption would be read for a verdict
    told = f"Caption: {' '.join(caption.split()).replace('[[', '[ [')}"
    sides = (", ".join(map(number, side)) for side in zip(*scores, strict=True))
    lines = [told, *(f"Scores of answer {place}: {listed}" for place, listed in enumerate(sides, 1))]
    return "\n".join([*lines, verdict(votes or p_first - 0.5)]), p_first
