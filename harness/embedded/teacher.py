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


def p_chosen(chosen: str, rejected: str) -> float:
    """Return the probability that the response which the teacher has preferred is the better one.

    It is what an honest teacher can state without knowing the truth: how often it is right where it prefers an
    answer that looks so beside one that looks so. By Bayes' rule, either answer being right half the time, it weighs
    the chance that it did not slip against the chance that it did: 0.59 where the preferred answer looks better,
    0.8 where both look alike, 0.88 where it was preferred in spite of its looks. Its chance to slip on this very pair
    would give the truth away, as that depends on which answer is right.
    """
    kept, slipped = 1 - slip_chance(chosen, rejected), slip_chance(rejected, chosen)
    return kept / (kept + slipped)
