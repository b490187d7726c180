"""The agreement of experts and label told in full: where experts go wrong together, and what their margin is worth.

All of it is said of margins that `confidence` has normalised, shape [pairs, experts], positive where an expert prefers
the labelled response. None of it decides anything: it is there to be looked at.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.data.preferences import stream_pairs
from harness.settings import WorldSettings
from harness.training.confidence import Margins, read_split
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress, Stages

BINS = 10
"""Bins of about as many pairs each."""
SHARES = tuple(share / 20 for share in range(1, 21))
"""Shares of the pairs that a threshold keeps, where its precision is told."""


def told_in_full(margins: Margins) -> dict[str, Any]:
    """Tell what can be told without knowing the truth."""
    return {
        "experts_together": together(margins > 0),
        "calibration": calibration(margins),
        "left_out_curve": left_out_curve(margins),
    }


def together(right: NDArray[np.bool_]) -> dict[str, dict[str, float | None]]:
    """Tell of every two experts how their errors go together.

    Args:
        right: whether each expert is right, or confirms the label, shape [pairs, experts].

    Returns:
        By `i-j`: the correlation of their errors (phi), how far they agree beyond chance (Cohen's kappa), the share of
        pairs in which both err, and what that share would be if they erred apart. None where one never errs, or always.
    """
    wrong = ~right
    found: dict[str, dict[str, float | None]] = {}
    for i in range(wrong.shape[1]):
        for j in range(i + 1, wrong.shape[1]):
            one, other = float(wrong[:, i].mean()), float(wrong[:, j].mean())
            both, same = float((wrong[:, i] & wrong[:, j]).mean()), float((wrong[:, i] == wrong[:, j]).mean())
            spread = (one * (1 - one) * other * (1 - other)) ** 0.5
            chance = one * other + (1 - one) * (1 - other)
            found[f"{i}-{j}"] = {
                "phi": round((both - one * other) / spread, 4) if spread else None,
                "kappa": round((same - chance) / (1 - chance), 4) if chance < 1 else None,
                "both_err": round(both, 4),
                "both_err_apart": round(one * other, 4),
            }
    return found


def calibration(margins: Margins, label_right: NDArray[np.bool_] | None = None) -> list[dict[str, float]]:
    """Tell by the size of the mean margin how often the experts confirm the label, and how often they are right.

    Args:
        margins: normalised.
        label_right: whether each label is right, where that is known.
    """
    mean = margins.mean(axis=1)
    order = np.argsort(np.abs(mean), kind="stable")
    rows = []
    for part in np.array_split(order, min(BINS, len(order))):
        row = {
            "pairs": len(part),
            "margin": round(float(np.abs(mean[part]).mean()), 4),
            "confirmed": round(float((mean[part] > 0).mean()), 4),
        }
        if label_right is not None:
            row["right"] = round(float(((mean[part] > 0) == label_right[part]).mean()), 4)
        rows.append(row)
    return rows


def left_out_curve(margins: Margins) -> list[dict[str, float]]:
    """Stand in for the precision of a threshold where no truth is known; empty where there is only one expert.

    Each expert is left out in turn: the others' mean margin says what is kept, and it says how often it agrees with
    the kept labels. Experts that go wrong together make this too high, and an expert's own errors make it too low.
    """
    experts = margins.shape[1]
    if experts < 2:
        return []
    agreed = np.zeros(len(SHARES))
    for expert in range(experts):
        others = np.delete(margins, expert, axis=1).mean(axis=1)
        agreed += [float((margins[kept, expert] > 0).mean()) for kept in _kept(others)] 
    mean = margins.mean(axis=1)
    return [
        {"share": share, "threshold": round(float(mean[kept].min()), 4), "agreement": round(float(value), 4)}
        for share, kept, value in zip(SHARES, _kept(mean), agreed / experts, strict=True)
    ]


def precision_curve(margins: Margins, label_right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Tell how many labels are right among the pairs that a threshold of the mean margin keeps."""
    mean = margins.mean(axis=1)
    return [
        {
            "share": share,
            "threshold": round(float(mean[kept].min()), 4),
            "precision": round(float(label_right[kept].mean()), 4),
        }
        for share, kept in zip(SHARES, _kept(mean), strict=True)
    ]


def _kept(mean: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """List for each share the pairs of the largest margins."""
    order = np.argsort(-mean, kind="stable")
    return [order[: max(1, round(share * len(order)))] for share in SHARES]


def agreement_with_truth(
    out: Path, pairs: Artifact, split: Artifact, world: WorldSettings, *, progress: Progress
) -> dict[str, Any]:
    """Hold labels, experts and split of embedded pairs against what is true; nothing that trains may call this."""
    from harness.embedded.data import preference_truth

    truth, content = preference_truth(world), read_split(split)
    slices = {row["id"]: row["slice"] or "all" for row in stream_pairs(pairs.path / PAIRS, ["id", "slice"])}
    ids = list(content["margins"])
    margins = np.array([content["margins"][name] for name in ids])
    label_right = np.array([truth[name].label_right for name in ids])
    high = set(content["high"])
    kept = np.array([name in high for name in ids])
    right = (margins > 0) == label_right[:, None]
    where = np.array([slices[name] for name in ids])
    return {
        **_standing(kept, label_right, right),
        "by_slice": {
            str(name): _standing(kept[where == name], label_right[where == name], right[where == name])
            for name in np.unique(where)
        },
        "experts_together": together(right),
        "calibration": calibration(margins, label_right),
        "precision_curve": precision_curve(margins, label_right),
    }


def _standing(
    kept: NDArray[np.bool_], label_right: NDArray[np.bool_], right: NDArray[np.bool_]
) -> dict[str, Any]:
    """Count how many labels are right, of those that are kept too, and how often each expert is."""
    return {
        "pairs": len(kept),
        "labels_right": round(float(label_right.mean()), 4),
        "precision": round(float(label_right[kept].mean()), 4) if kept.any() else None,
        "recall": round(float(kept[label_right].mean()), 4) if label_right.any() else None,
        "experts_right": [round(float(share), 4) for share in right.mean(axis=0)],
    }


def hold_against_truth(run: Stages, config: RunConfig, pairs: Artifact, split: Artifact) -> None:
    """Do so where the pairs are the embedded world's; the record then has it for the report."""
    if config.preferences == "embedded" and config.world is not None:
        world = config.world.model_copy(update={"items": 1, "split": "test"})
        run(agreement_with_truth, pairs, split, world)
