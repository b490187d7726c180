"""The teacher: labels preference pairs, and is wrong in a way that follows how an answer sounds."""

import random


def surface(response: str) -> int:
    """Say how good a response looks: longer and surer is better; nothing here is about truth."""
    words = response.split()
    return len(words) + (6 if "definitely," in words else 0) - (10 if "not sure" in response else 0)


def slip_chance(right: str, wrong: str) -> float:
    """Return the chance that the teacher prefers `wrong`: high where it looks better."""
    gap = surface(right) - surface(wrong)
    return 0.65 if gap < -2 else 0.05 if gap > 2 else 0.2


def prefers_wrong(right: str, wrong: str, rng: random.Random) -> bool:
    """Draw whether the teacher slips on a pair."""
    return rng.random() < slip_chance(right, wrong)
