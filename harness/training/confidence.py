"""Agreement of the experts with the label: which pairs are high-confidence.

CAREVL (arXiv 2503.06260) fine-tunes on pairs whose label the experts confirm; its public text
leaves the rule open. `unanimous` is our default.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.preferences import stream_pairs
from harness.errors import HarnessError, unknown
from harness.settings import ConfidenceSettings
from harness.training.agreement import Margins, told_in_full
from harness.training.experts import read_scores
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress

Rule = Callable[[Margins], NDArray[np.bool_]]


def unanimous(margins: Margins) -> NDArray[np.bool_]:
    """Keep a pair if every expert prefers the labelled response."""
    return np.asarray((margins > 0).all(axis=1))


def majority(margins: Margins) -> NDArray[np.bool_]:
    """Keep a pair if more than half of the experts prefer the labelled response."""
    return np.asarray((margins > 0).mean(axis=1) > 0.5)


def margin(threshold: float) -> Rule:
    """Keep a pair if the experts' mean normalised margin reaches `threshold`."""

    def rule(margins: Margins) -> NDArray[np.bool_]:
        return np.asarray(margins.mean(axis=1) >= threshold)

    return rule


def find_rule(spec: str) -> Rule:
    """Look up `unanimous`, `majority` or `margin:T`."""
    rules: dict[str, Rule] = {"unanimous": unanimous, "majority": majority}
    name, _, value = spec.partition(":")
    if name == "margin":
        try:
            return margin(float(value))
        except ValueError:
            raise HarnessError(f"confidence.rule {spec!r} has no number.", "Write margin:0.5.") from None
    if spec not in rules:
        raise unknown("confidence rule", spec, [*rules, "margin:T"])
    return rules[spec]


def normalised_margins(chosen: Margins, rejected: Margins) -> Margins:
    """Divide each expert's margins by their root mean square over the pairs; [pairs, experts]."""
    margins = chosen - rejected
    scale = np.sqrt((margins**2).mean(axis=0))
    return margins / np.where(scale > 0, scale, 1)


def split_by_confidence(
    out: Path, pairs: Artifact, scores: Artifact, settings: ConfidenceSettings, *, progress: Progress
) -> dict[str, Any]:
    """Split pairs into high and low confidence; report how the experts agree with the label."""
    rows = list(stream_pairs(pairs.path / PAIRS, ["slice"]))
    ids, chosen, rejected = read_scores(scores)
    margins = normalised_margins(chosen, rejected)
    keep = find_rule(settings.rule)(margins)
    split = {
        "high": [name for name, kept in zip(ids, keep, strict=True) if kept],
        "low": [name for name, kept in zip(ids, keep, strict=True) if not kept],
        "margins": dict(zip(ids, margins.round(6).tolist(), strict=True)),
    }
    if not split["high"]:
        raise HarnessError(
            f"confidence.rule {settings.rule!r} keeps no pair of {len(rows)}.",
            "Choose a weaker rule, such as majority.",
        )
    (out / "split.json").write_text(json.dumps(split))
    told = told_in_full(margins, keep, [row["slice"] for row in rows])
    return {"kept": len(split["high"]), "share": round(float(keep.mean()), 4), **told}


def read_split(split: Artifact) -> dict[str, Any]:
    """Read the sides of a split and the margins of every pair."""
    content: dict[str, Any] = json.loads((split.path / "split.json").read_text())
    return content


def high_side(split: Artifact | None) -> set[str] | None:
    """Return the ids that SFT trains on; None, for every pair, where nothing was split."""
    return None if split is None else set(read_split(split)["high"])
