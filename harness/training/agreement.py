"""The agreement of experts and label told in full: where experts go wrong together, and what their margin is worth.

All of it is said of margins that `confidence` has normalised, shape [pairs, experts], positive where an expert prefers
the labelled response, and of the pairs that were read: a pair without a caption has a margin of 0 from everyone. None
of it decides anything: it is there to be looked at.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Margins = NDArray[np.float64]
BINS = 10
"""Bins of about as many pairs each."""
SHARES = tuple(share / 20 for share in range(1, 21))
"""Shares of the pairs that a threshold keeps, where its precision is told."""


def told_in_full(margins: Margins, keep: NDArray[np.bool_], slices: Sequence[str | None]) -> dict[str, Any]:
    """Tell what can be told without knowing the truth.

    Args:
        margins: of every pair.
        keep: which pairs are high-confidence.
        slices: of each pair, where the data say.
    """
    read = margins[was_read(margins)]
    return {
        **by_slice(margins > 0, keep, slices),
        "experts_together": together(read > 0),
        "calibration": calibration(read),
        "left_out_curve": left_out_curve(read),
    }


def by_slice(agrees: NDArray[np.bool_], keep: NDArray[np.bool_], slices: Sequence[str | None]) -> dict[str, Any]:
    """Tell how often each expert agrees with the label, shape [pairs, experts], in all and by slice."""
    names = np.array([name or "all" for name in slices])
    return {
        "agreement": {f"expert {i}": round(float(a), 4) for i, a in enumerate(agrees.mean(axis=0))},
        "by_slice": {
            str(name): {
                "pairs": int((names == name).sum()),
                "kept": round(float(keep[names == name].mean()), 4),
                "agreement": [round(float(a), 4) for a in agrees[names == name].mean(axis=0)],
            }
            for name in np.unique(names)
        },
    }


def was_read(margins: Margins) -> NDArray[np.bool_]:
    """Tell which pairs the experts read."""
    return np.asarray((margins != 0).any(axis=1))


def together(right: NDArray[np.bool_]) -> dict[str, dict[str, float | None]]:
    """Tell of every two experts how their errors go together.

    Args:
        right: whether each expert is right, or confirms the label, shape [pairs, experts].

    Returns:
        By `i-j`: the correlation of their errors (phi), how far they agree beyond chance (Cohen's kappa), the share of
        pairs in which both err, and what that share would be if they erred apart. None where one never errs, or always.
    """
    wrong = ~right
    if not len(wrong):
        return {}
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
    if not len(margins):
        return []
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
    if experts < 2 or not len(margins):
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
    if not len(margins):
        return []
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
