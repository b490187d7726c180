"""Labels given anew by the experts: their majority instead of the teacher."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.canonical import write_rows
from harness.data.preferences import COLUMNS, exchanged, stream_pairs
from harness.data.tables import Row
from harness.training.agreement import Margins
from harness.training.confidence import normalised_margins
from harness.training.experts import read_scores
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress


def majority_preferences(out: Path, pairs: Artifact, scores: Artifact, *, progress: Progress) -> dict[str, Any]:
    """Exchange chosen and rejected where the experts prefer the other response.

    The rationale of an exchanged pair spoke for the other response and goes; the judge then learns to quote the one
    that is preferred now, as it does wherever data bring no rationale.
    """
    ids, chosen, rejected = read_scores(scores)
    places = dict(zip(ids, range(len(ids)), strict=True))
    other = prefer_rejected(normalised_margins(chosen, rejected))

    def relabelled() -> Iterator[Row]:
        for row in stream_pairs(pairs.path / PAIRS, list(COLUMNS)):
            yield exchanged(row) if other[places[row["id"]]] else row

    count = write_rows(out / PAIRS, relabelled(), COLUMNS)
    return {"pairs": count, "relabelled": int(other.sum())}


def prefer_rejected(margins: Margins) -> NDArray[np.bool_]:
    """Tell of which pairs most experts prefer the rejected response; where votes are even, the mean margin decides."""
    votes = np.sign(margins).sum(axis=1)
    return np.asarray(np.where(votes == 0, margins.mean(axis=1), votes) < 0)
