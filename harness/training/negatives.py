"""Negative sampling: which scored judgments become chosen and rejected."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import unknown
from harness.settings import NegativeSettings
from harness.training.lines import read_lines, write_lines
from harness.training.stages import Artifact, Progress

Judgment = dict[str, Any]
Rule = Callable[[list[Judgment], NegativeSettings, random.Random], list[tuple[Judgment, Judgment]]]
"""(judgments from best to worst, settings, generator) to pairs of chosen and rejected."""


def best_to_worse(
    ranked: list[Judgment], settings: NegativeSettings, rng: random.Random
) -> list[tuple[Judgment, Judgment]]:
    """Set the best judgment against those down the ranking, from the next-best to the worst.

    Of the judgments at least `min_gap` below the best, at most `max_per_item` are drawn, evenly
    down the ranking, so that near misses and plain failures both teach. CAREVL names the idea
    (Best-to-Worse negative sampling); spacing and gap are ours.
    """
    best, *others = ranked
    below = [judgment for judgment in others if best["score"] - judgment["score"] >= settings.min_gap]
    if len(below) > settings.max_per_item:
        steps = settings.max_per_item - 1
        places = [round(k * (len(below) - 1) / steps) for k in range(steps + 1)] if steps else [0]
        below = [below[place] for place in places]
    return [(best, judgment) for judgment in below]


def best_worst(
    ranked: list[Judgment], settings: NegativeSettings, rng: random.Random
) -> list[tuple[Judgment, Judgment]]:
    """Set the best judgment against the worst only."""
    best, worst = ranked[0], ranked[-1]
    return [(best, worst)] if best["score"] - worst["score"] >= settings.min_gap else []


def adjacent(ranked: list[Judgment], settings: NegativeSettings, rng: random.Random) -> list[tuple[Judgment, Judgment]]:
    """Set neighbours of the ranking against each other, from the top down."""
    pairs = [(a, b) for a, b in itertools.pairwise(ranked) if a["score"] - b["score"] >= settings.min_gap]
    return pairs[: settings.max_per_item]


def random_pairs(
    ranked: list[Judgment], settings: NegativeSettings, rng: random.Random
) -> list[tuple[Judgment, Judgment]]:
    """Set judgments against each other at random, the better-scored one chosen."""
    pairs = [
        (a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 :] if a["score"] - b["score"] >= settings.min_gap
    ]
    return rng.sample(pairs, min(len(pairs), settings.max_per_item))


RULES: dict[str, Rule] = {
    "best-to-worse": best_to_worse,
    "best-worst": best_worst,
    "adjacent": adjacent,
    "random": random_pairs,
}


def find_rule(name: str) -> Rule:
    """Look up a rule of negative sampling."""
    if name not in RULES:
        raise unknown("negative sampling rule", name, RULES)
    return RULES[name]


def sample_negatives(
    out: Path, scored: Artifact, settings: NegativeSettings, *, seed: int, progress: Progress
) -> dict[str, Any]:
    """Turn scored judgments into pairs of chosen and rejected ones.

    Judgments of the same text count once, and one without a readable verdict is never chosen.
    """
    rule = find_rule(settings.rule)
    rng = random.Random(f"negatives {seed}")
    records = read_lines(scored.path / "scored.jsonl")
    orders = Counter(record["id"] for record in records)
    pairs = []
    for record in records:
        distinct = {judgment["text"]: judgment for judgment in record["judgments"]}
        ranked = sorted(distinct.values(), key=lambda j: (-j["score"], j["text"]))
        # an item's orders share its allowance evenly
        share = settings.model_copy(update={"max_per_item": max(1, settings.max_per_item // orders[record["id"]])})
        for chosen, rejected in rule(ranked, share, rng):
            if chosen["for_chosen"] is None:
                continue
            pairs.append(
                {
                    "id": record["id"],
                    "chosen_second": record["chosen_second"],
                    "chosen": chosen["text"],
                    "rejected": rejected["text"],
                    "chosen_is_label": chosen["for_chosen"],
                    "verdicts_differ": chosen["for_chosen"] != rejected["for_chosen"],
                    "gap": round(chosen["score"] - rejected["score"], 6),
                }
            )
    write_lines(out / "contrasts.jsonl", pairs)
    differ = sum(pair["verdicts_differ"] for pair in pairs)
    verdicts = [{judgment["for_chosen"] for judgment in record["judgments"]} - {None} for record in records]
    mixed = sum(len(each) == 2 for each in verdicts)
    return {"pairs": len(pairs), "presentations": len(records), "mixed": mixed, "verdicts_differ": differ}


def best_judgments(out: Path, scored: Artifact, settings: NegativeSettings, *, progress: Progress) -> dict[str, Any]:
    """Keep the best-scored judgment of each presentation that stands `min_gap` above its worst, for SFT on it.

    Rejection sampling: RAFT (arXiv 2304.06767), RFT (arXiv 2308.01825). Contrasts of the same presentations would
    hold the same judgments as the chosen ones.
    """
    lines = []
    for record in read_lines(scored.path / "scored.jsonl"):
        ranked = sorted(record["judgments"], key=lambda j: (-j["score"], j["text"]))
        if not ranked or ranked[0]["for_chosen"] is None:
            continue
        if ranked[0]["score"] - ranked[-1]["score"] >= settings.min_gap:
            lines.append({"id": record["id"], "chosen_second": record["chosen_second"], "text": ranked[0]["text"]})
    write_lines(out / "judgments.jsonl", lines)
    return {"judgments": len(lines)}


def read_judgments(judgments: Artifact) -> list[dict[str, Any]]:
    """Read judgments kept by `best_judgments`."""
    return read_lines(judgments.path / "judgments.jsonl")


def read_contrasts(contrasts: Artifact) -> list[dict[str, Any]]:
    """Read the pairs of judgments."""
    return read_lines(contrasts.path / "contrasts.jsonl")
