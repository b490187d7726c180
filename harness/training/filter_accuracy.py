"""How good the filter is where that can be known: labels, experts and split of embedded pairs against the truth.

It is for figures about a method. The split does not hang on it, and nothing that trains may read it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.preferences import stream_pairs
from harness.settings import WorldSettings
from harness.training.agreement import calibration, precision_curve, together, was_read
from harness.training.confidence import read_split
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress


def filter_accuracy(
    out: Path, pairs: Artifact, split: Artifact, world: WorldSettings, *, progress: Progress
) -> dict[str, Any]:
    """Report how often labels, those that are kept, and experts are right, and how experts go wrong together.

    Shares, in all and by slice: `labels_right` of all labels, `precision` of those that the split keeps, `recall` how
    many of the right ones it keeps, `experts_right` of each expert's preferences.
    """
    from harness.embedded.data import preference_truth

    truth, content = preference_truth(world), read_split(split)
    slices = {row["id"]: row["slice"] or "all" for row in stream_pairs(pairs.path / PAIRS, ["id", "slice"])}
    ids = list(content["margins"])
    margins = np.array([content["margins"][name] for name in ids])
    label_right = np.array([truth[name].label_right for name in ids])
    kept = np.isin(ids, content["high"])
    right, read = (margins > 0) == label_right[:, None], was_read(margins)
    where = np.array([slices[name] for name in ids])
    return {
        **_standing(kept, label_right, right),
        "by_slice": {
            str(name): _standing(kept[where == name], label_right[where == name], right[where == name])
            for name in np.unique(where)
        },
        "experts_together": together(right[read]),
        "calibration": calibration(margins[read], label_right[read]),
        "precision_curve": precision_curve(margins[read], label_right[read]),
    }


def _standing(kept: NDArray[np.bool_], label_right: NDArray[np.bool_], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Count how many labels are right, of those that are kept too, and how often each expert is."""
    return {
        "pairs": len(kept),
        "labels_right": round(float(label_right.mean()), 4),
        "precision": round(float(label_right[kept].mean()), 4) if kept.any() else None,
        "recall": round(float(kept[label_right].mean()), 4) if label_right.any() else None,
        "experts_right": [round(float(share), 4) for share in right.mean(axis=0)],
    }
